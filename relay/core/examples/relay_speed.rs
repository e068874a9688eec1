//! Prints what a relay's core costs per cell, layer included: `cargo run --release --example relay_speed [CIRCUITS]`.
//!
//! A relay in the middle: circuits come over one link and go on over another, forward settled, cells both ways, phases spread over the slot.

use voicebox_core::cell::serialise_cell;
use voicebox_core::ids::SLOT_US;
use voicebox_core::layer::Layer;
use voicebox_core::speech::{Carousel, Kind, CREATED_OCTETS, HANDSHAKE_OCTETS};
use voicebox_core::{CircId, Command, Config, Core, Input, LinkId, LinkKind, Output, SeededRandom, Slot};

const FROM: LinkId = LinkId(1);
const TO: LinkId = LinkId(2);
const KEY: [u8; 16] = [9; 16];

struct Bench {
    core: Core,
    now: u64,
    layer: Layer,
    sent: u64,
}

impl Bench {
    fn give(&mut self, at: u64, input: Input<'_>) {
        while let Some(timer) = self.core.next_timer().filter(|timer| *timer <= at) {
            self.handle(timer, Input::Timer);
        }
        self.handle(at, input);
    }

    fn handle(&mut self, at: u64, input: Input<'_>) {
        self.now = at;
        self.core.handle(at, input);
        while let Some(output) = self.core.poll() {
            self.sent += u64::from(matches!(output, Output::Send { .. }));
        }
    }

    fn say(&mut self, circuit: u32, kind: Kind, number: u16, payload: Vec<u8>) {
        let mut carousel = Carousel::new(kind as u8, number, payload).expect("short enough");
        for _ in 0..carousel.count() {
            let slot = Slot((self.now / SLOT_US) as u32);
            let mut body = carousel.next_body();
            self.layer.encipher(&slot.0.to_be_bytes(), &mut body);
            self.give(self.now + 1, Input::Cell { link: FROM, cell: &serialise_cell(CircId(circuit), slot, &body) });
        }
    }

    /// Make a circuit from FROM to TO, as far as `settle`.
    fn make(&mut self, circuit: u32) {
        let mut create = Carousel::new(Kind::Create as u8, 1, vec![1; HANDSHAKE_OCTETS]).expect("short enough");
        for _ in 0..create.count() {
            self.give(self.now + 1, Input::Cell { link: FROM, cell: &serialise_cell(CircId(circuit), Slot(0), &create.next_body()) });
        }
        let (forward_key, backward_key, created) = (KEY, KEY, Box::new([2; CREATED_OCTETS]));
        self.give(
            self.now,
            Input::Command(Command::Accept {
                link: FROM,
                circuit: CircId(circuit),
                forward_key,
                backward_key,
                created,
                junction: false,
                forward_step_us: 5_000,
                backward_step_us: 5_000,
            }),
        );
        self.say(circuit, Kind::Extend, 1, vec![3; Kind::Extend.payload_octets()]);
        let handshake = vec![1; HANDSHAKE_OCTETS];
        self.give(self.now, Input::Command(Command::Extend { link: FROM, circuit: CircId(circuit), next_link: TO, next_circuit: CircId(circuit), handshake }));
        let mut made = Carousel::new(Kind::Created as u8, 1, vec![4; CREATED_OCTETS]).expect("short enough");
        for _ in 0..made.count() {
            self.give(self.now + 1, Input::Cell { link: TO, cell: &serialise_cell(CircId(circuit), Slot(0), &made.next_body()) });
        }
        self.say(circuit, Kind::Settle, 2, vec![0; 4]);
    }
}

/// Return the resident memory of this process.
fn resident_octets() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok()).unwrap_or(f64::NAN) * 4_096.0
}

/// Return the CPU time of this process, so that a busy machine does not falsify the figures.
fn cpu_ns() -> f64 {
    let schedstat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    schedstat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(f64::NAN)
}

fn main() {
    let circuits: u32 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1_000);
    let core = Core::new(Config::default(), Box::new(SeededRandom::new([1; 32])));
    let mut bench = Bench { core, now: 10 * SLOT_US, layer: Layer::new(&KEY), sent: 0 };
    for link in [FROM, TO] {
        bench.give(bench.now, Input::LinkUp { link, kind: LinkKind::Relay });
    }
    let before = resident_octets();
    for circuit in 1..=circuits {
        bench.make(circuit);
    }
    let first = bench.now / SLOT_US + 1;
    let mut begin = cpu_ns();
    for slot in first..first + 300 {
        if slot == first + 100 {
            (bench.sent, begin) = (0, cpu_ns());
        }
        for circuit in 1..=circuits {
            let at = slot * SLOT_US + u64::from(circuit) * SLOT_US / u64::from(circuits + 1);
            let cell = serialise_cell(CircId(circuit), Slot(slot as u32), &[slot as u8 | 1; 248]);
            bench.give(at, Input::Cell { link: FROM, cell: &cell });
            bench.give(at, Input::Cell { link: TO, cell: &cell });
        }
    }
    let each = (cpu_ns() - begin) / bench.sent as f64;
    println!("{circuits} circuits, {} cells sent, {each:.0} ns of core a cell (making the cells included)", bench.sent);
    println!("  {:.1} KB a circuit", (resident_octets() - before) / f64::from(circuits) / 1_024.0);
    for (name, total) in bench.core.counters().iter().filter(|(_, total)| *total > 0) {
        println!("  {name} {total}");
    }
}
