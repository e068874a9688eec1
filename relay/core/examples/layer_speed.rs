//! Prints what a layer costs: `cargo run --release --example layer_speed`.

use voicebox_core::layer::Layer;

/// Return the CPU time of this process, so that a busy machine does not falsify the figures.
fn cpu_ns() -> f64 {
    let schedstat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    schedstat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(f64::NAN)
}

fn main() {
    const ROUNDS: u32 = 2_000_000;
    let layer = Layer::new(&[7; 16]);
    let mut body = [1u8; 248];
    println!("octets of a prepared key: {}", std::mem::size_of::<Layer>());
    let begin = cpu_ns();
    for slot in 0..ROUNDS {
        layer.encipher(&slot.to_be_bytes(), &mut body);
    }
    println!("encipher 248 octets: {:.0} ns", (cpu_ns() - begin) / f64::from(ROUNDS));
    let begin = cpu_ns();
    for slot in (0..ROUNDS).rev() {
        layer.decipher(&slot.to_be_bytes(), &mut body);
    }
    println!("decipher 248 octets: {:.0} ns", (cpu_ns() - begin) / f64::from(ROUNDS));
    assert_eq!(body, [1u8; 248]);
}
