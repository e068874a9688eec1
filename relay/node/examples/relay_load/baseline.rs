//! What the machine takes by itself: a bare forwarder of datagrams, and a thread that only sleeps.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// The longest datagram that is passed on.
const MAX_OCTETS: usize = 2_048;
/// The grid of PROTOCOL.md §1.2.
const SLEEP_US: u64 = 250;

/// Pass every datagram on to `to`, one call to receive and one to send; says `port PORT`, ends with the process.
pub(crate) fn forward(to: &str) -> Result<(), String> {
    let to: SocketAddr = to.parse().map_err(|_| "bad address")?;
    let socket = UdpSocket::bind((to.ip(), 0)).map_err(|_| "no socket")?;
    println!("port {}", socket.local_addr().map_err(|_| "no address")?.port());
    let mut octets = [0; MAX_OCTETS];
    loop {
        let Ok(count) = socket.recv(&mut octets) else { continue };
        // A datagram that the kernel does not take is lost, as on any path; the sink counts.
        let _ = socket.send_to(&octets[..count], to);
    }
}

/// Wake up at every grid time and do nothing; says `turns N` where a line is heard.
#[allow(clippy::disallowed_methods)] // a benchmark's own clock
pub(crate) fn sleep() -> Result<(), String> {
    println!("sleeping");
    let heard = crate::lines();
    let (mut turns, mut due) = (0u64, Instant::now());
    while heard.try_recv().is_err() {
        due += Duration::from_micros(SLEEP_US);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        turns += 1;
    }
    println!("turns {turns}");
    Ok(())
}
