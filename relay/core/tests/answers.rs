//! Answers of several fragments at a box, which come in any order, some of them twice or never (PROTOCOL.md §3.1).

use voicebox_core::cell::{parse_cell, serialise_cell, shows_zeros, Body};
use voicebox_core::layer::Layer;
use voicebox_core::speech::{Carousel, Kind, CREATED_OCTETS, HANDSHAKE_OCTETS};
use voicebox_core::{CircId, Command, Config, Core, Event, Input, LinkId, LinkKind, Output, SeededRandom, Slot};

const LINK: LinkId = LinkId(1);
const CIRCUIT: CircId = CircId(7);
const KEYS: [[u8; 16]; 2] = [[1; 16], [2; 16]];
const FIRST_SLOT: u32 = 1_000;

/// A box with one circuit, whose guard is played by the test.
struct Bench {
    core: Core,
    slot: u32,
    events: Vec<Event>,
    last_cell: Option<[u8; 256]>,
}

impl Bench {
    fn give(&mut self, input: Input<'_>) {
        self.core.handle(u64::from(self.slot) * 20_000, input);
        while let Some(output) = self.core.poll() {
            match output {
                Output::Event(event) => self.events.push(event),
                Output::Send { cell, .. } => self.last_cell = Some(cell),
                Output::SendRtp { .. } | Output::CloseLink { .. } => panic!("no phone, and no link that ends"),
            }
        }
    }

    /// Let a cell of the circuit come, a slot after the one before.
    fn cell(&mut self, body: &Body) {
        self.slot += 1;
        let cell = serialise_cell(CIRCUIT, Slot(self.slot), body);
        self.give(Input::Cell { link: LINK, cell: &cell });
    }

    fn cell_inside(&mut self, body: &Body) {
        let mut body = *body;
        Layer::new(&KEYS[1]).encipher(&(self.slot + 1).to_be_bytes(), &mut body);
        self.cell(&body);
    }

    /// Say whether the next tick's cell says something to the guard.
    fn says_something(&mut self) -> bool {
        self.slot += 1;
        self.give(Input::Timer);
        let (_, slot, mut body) = parse_cell(&self.last_cell.expect("a link always ticks"));
        Layer::new(&KEYS[0]).decipher(&slot.0.to_be_bytes(), &mut body);
        shows_zeros(&body)
    }
}

fn fragments(kind: Kind, payload: &[u8]) -> Vec<Body> {
    let mut carousel = Carousel::new(kind as u8, 1, payload.to_vec()).expect("short enough");
    (0..carousel.count()).map(|_| carousel.next_body()).collect()
}

#[test]
fn created_and_extended_are_told_when_they_are_whole_and_asked_for_till_then() {
    let core = Core::new(Config::default(), Box::new(SeededRandom::new([1; 32])));
    let mut bench = Bench { core, slot: FIRST_SLOT, events: vec![], last_cell: None };
    let payload: Vec<u8> = (0..CREATED_OCTETS).map(|index| index as u8).collect();
    bench.give(Input::LinkUp { link: LINK, kind: LinkKind::AccessOwner });
    bench.give(Input::Command(Command::Open { link: LINK, circuit: CIRCUIT, handshake: vec![9; HANDSHAKE_OCTETS] }));
    let created = fragments(Kind::Created, &payload);
    for index in [3, 0, 0, 5, 1, 4] {
        bench.cell(&created[index]);
        assert!(bench.events.is_empty());
    }
    bench.cell(&created[2]);
    assert_eq!(bench.events, [Event::Created { link: LINK, circuit: CIRCUIT, payload: payload.clone() }]);
    bench.give(Input::Command(Command::AddHop { link: LINK, circuit: CIRCUIT, forward_key: KEYS[0], backward_key: KEYS[1] }));
    let extend = vec![6; Kind::Extend.payload_octets()];
    bench.give(Input::Command(Command::Say { link: LINK, circuit: CIRCUIT, hop: 0, kind: Kind::Extend as u8, payload: extend, every: 1, times: 0 }));
    let extended = fragments(Kind::Extended, &payload);
    for index in [4, 2, 2, 1, 5, 3] {
        bench.cell_inside(&extended[index]);
        assert!(bench.says_something());
    }
    assert_eq!(bench.events.len(), 1);
    bench.cell_inside(&extended[0]);
    assert_eq!(bench.events[1..], [Event::Answer { link: LINK, circuit: CIRCUIT, hop: 0, kind: Kind::Extended as u8, payload }]);
    assert!(!bench.says_something());
    bench.cell_inside(&extended[0]);
    assert_eq!(bench.events.len(), 2);
}
