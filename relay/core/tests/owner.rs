//! The box's end against relays that are played by the test: ticks, opening, answers, and what bad cells and commands do.

use std::collections::VecDeque;

use voicebox_core::cell::{parse_cell, serialise_cell, Body, Cell};
use voicebox_core::endtoend::{parse_content, serialise_content, Codec, Content};
use voicebox_core::layer::Layer;
use voicebox_core::owner::Owner;
use voicebox_core::random::{RandomSource, SeededRandom};
use voicebox_core::rtp::{parse_event, parse_rtp, serialise_event, serialise_rtp, RtpPacket, TelephoneEvent};
use voicebox_core::speech::{parse_speech, serialise_short, Carousel, Kind, CREATED_OCTETS, HANDSHAKE_OCTETS};
use voicebox_core::{CircId, Command, Context, Counters, DropReason, Event, LinkId, Micros, Output, PortId, Slot};

const LINK: LinkId = LinkId(1);
const CIRCUIT: CircId = CircId(0x1234_5678);
const PORT: PortId = PortId(7);
const SLOT_US: u64 = 20_000;
/// By how much a tick may be off 20 ms without a shift: 300 ppm of clock, and its rounding (PROTOCOL.md §5.6).
const UNEVEN_US: u64 = 8;
const UP_AT: Micros = 5_003_210;
const FORWARD: [[u8; 16]; 2] = [[1; 16], [2; 16]];
const BACKWARD: [[u8; 16]; 2] = [[3; 16], [4; 16]];
const TO_PEER: [u8; 16] = [5; 16];
const FROM_PEER: [u8; 16] = [6; 16];
const NOTHING: Content<'static> = Content { codec: None, frame: &[], segment: &[], ends_message: false, copy: &[], of_streams: false, metered: false };

/// Inputs of a test that takes anything: 10^5, or 10^7 where VOICEBOX_LONG is set.
fn rounds() -> u32 {
    std::env::var_os("VOICEBOX_LONG").map_or(100_000, |_| 10_000_000)
}

/// A box with one access link, and what the test needs to play its guard and junction.
struct Bench {
    owner: Owner,
    random: SeededRandom,
    outputs: VecDeque<Output>,
    counters: Counters,
    now: Micros,
    forward: Vec<Layer>,
    backward: Vec<Layer>,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self {
            owner: Owner::new(false),
            random: SeededRandom::new([8; 32]),
            outputs: VecDeque::new(),
            counters: Counters::new(),
            now: UP_AT,
            forward: FORWARD.iter().map(Layer::new).collect(),
            backward: BACKWARD.iter().map(Layer::new).collect(),
        };
        bench.with(|owner, ctx| owner.link_up(ctx, UP_AT, LINK));
        bench
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Owner, &mut Context<'_>) -> T) -> T {
        let mut ctx = Context { random: &mut self.random, outputs: &mut self.outputs, counters: &mut self.counters };
        act(&mut self.owner, &mut ctx)
    }

    fn command(&mut self, command: Command) {
        let now = self.now;
        self.with(|owner, ctx| owner.command(ctx, now, command)).expect("a command of a box");
    }

    /// Obey a command that must be ignored and counted.
    fn refused(&mut self, what: &str, command: Command) {
        let before = self.counters.get(DropReason::BadCommand);
        self.command(command);
        assert_eq!(self.counters.get(DropReason::BadCommand), before + 1, "{what}");
    }

    fn cell(&mut self, cell: &Cell) {
        let now = self.now;
        self.with(|owner, ctx| owner.cell(ctx, now, LINK, cell));
    }

    fn events(&mut self) -> Vec<Event> {
        self.outputs.drain(..).filter_map(|output| if let Output::Event(event) = output { Some(event) } else { None }).collect()
    }

    /// Run to the next tick; return when its cell leaves, and the cell.
    fn tick(&mut self) -> (Micros, Cell) {
        loop {
            self.now = self.owner.next_timer().expect("a link always ticks");
            let now = self.now;
            self.with(|owner, ctx| owner.run_next(ctx, now));
            let sent = self.outputs.iter().position(|output| matches!(output, Output::Send { .. }));
            if let Some(Output::Send { link, cell, at }) = sent.and_then(|index| self.outputs.remove(index)) {
                assert_eq!((link, now), (LINK, at - 1_000), "put together 1 ms before it is due");
                return (at, cell);
            }
        }
    }

    /// What a tick's cell says to a hop (0, 1), or end to end (2), with the layers before it removed.
    fn tick_peeled(&mut self) -> (usize, Body) {
        let (_, cell) = self.tick();
        let (circuit, number, mut body) = parse_cell(&cell);
        assert_eq!(circuit, CIRCUIT);
        for (hop, layer) in self.forward.iter().enumerate() {
            layer.decipher(&number.0.to_be_bytes(), &mut body);
            if body[..16] == [0; 16] {
                return (hop, body);
            }
        }
        Layer::new(&TO_PEER).decipher(&[], &mut body);
        (2, body)
    }

    /// Send a backward cell that hop `from` made (the last is the junction), under this number.
    fn send_back(&mut self, from: usize, number: Slot, mut body: Body) {
        for layer in self.backward[..=from].iter().rev() {
            layer.encipher(&number.0.to_be_bytes(), &mut body);
        }
        self.cell(&serialise_cell(CIRCUIT, number, &body));
    }

    fn number_now(&self) -> Slot {
        Slot((self.now / SLOT_US) as u32)
    }

    fn peer_says(&mut self, number: Slot, counter: u64, content: &Content<'_>) {
        let mut body = [0; 248];
        serialise_content(&mut body, counter, content);
        Layer::new(&FROM_PEER).encipher(&[], &mut body);
        self.send_back(1, number, body);
    }

    /// Open a circuit of two hops; the guard's `created` has come.
    fn open(&mut self) {
        self.command(Command::Open { link: LINK, circuit: CIRCUIT, handshake: vec![9; HANDSHAKE_OCTETS] });
        self.tick();
        self.created();
        for hop in 0..2 {
            self.command(Command::AddHop { link: LINK, circuit: CIRCUIT, forward_key: FORWARD[hop], backward_key: BACKWARD[hop] });
        }
        assert!(self.events() == [Event::Created { link: LINK, circuit: CIRCUIT, payload: vec![7; CREATED_OCTETS] }]);
    }

    /// Let the guard's `created` come, under numbers up to that of this moment.
    fn created(&mut self) {
        let mut created = Carousel::new(Kind::Created as u8, 1, vec![7; CREATED_OCTETS]).expect("short enough");
        let number = self.number_now().0;
        for behind in (0..u32::from(created.count())).rev() {
            self.cell(&serialise_cell(CIRCUIT, Slot(number - behind), &created.next_body()));
        }
    }

    fn speak(&mut self) {
        self.command(Command::Speak { link: LINK, circuit: CIRCUIT, send_key: Some(TO_PEER), receive_keys: vec![[77; 16], FROM_PEER] });
    }

    fn say(&mut self, hop: u8, kind: Kind, payload: &[u8], every: u32, times: u32) {
        self.command(Command::Say { link: LINK, circuit: CIRCUIT, hop, kind: kind as u8, payload: payload.to_vec(), every, times });
    }
}

#[test]
fn from_the_first_tick_on_a_cell_leaves_every_20_ms_whatever_happens() {
    let mut bench = Bench::new();
    let (mut due, first) = bench.tick();
    let mut number = parse_cell(&first).1 .0;
    assert!((UP_AT + 1_000..UP_AT + 1_000 + SLOT_US).contains(&due));
    assert_eq!(u64::from(number), due / SLOT_US);
    for step in 0..400u64 {
        match step {
            10 => bench.command(Command::Open { link: LINK, circuit: CIRCUIT, handshake: vec![9; HANDSHAKE_OCTETS] }),
            60 => bench.created(),
            70 => bench.command(Command::AddHop { link: LINK, circuit: CIRCUIT, forward_key: FORWARD[0], backward_key: BACKWARD[0] }),
            100 => bench.say(0, Kind::Tokens, &[1; 2_048], 1, 0),
            200 => bench.speak(),
            300 => bench.command(Command::Quiet { link: LINK, circuit: CIRCUIT }),
            350 => bench.command(Command::Close { link: LINK, circuit: CIRCUIT }),
            _ => {}
        }
        let (at, cell) = bench.tick();
        let (circuit, next, _) = parse_cell(&cell);
        assert!((at - due).abs_diff(SLOT_US) <= UNEVEN_US && next.0 == number + 1, "step {step}: {} us", at - due);
        // Link control before the circuit, between created and its keys, and after it.
        assert_eq!(circuit == CIRCUIT, (10..60).contains(&step) || (70..350).contains(&step), "step {step}");
        (due, number) = (at, next.0);
    }
    assert!(bench.events().len() == 2, "created and ended");
}

#[test]
fn create_is_said_in_the_clear_until_it_is_answered() {
    let mut bench = Bench::new();
    let handshake: Vec<u8> = (0..HANDSHAKE_OCTETS).map(|index| index as u8).collect();
    bench.command(Command::Open { link: LINK, circuit: CIRCUIT, handshake: handshake.clone() });
    let mut whole = Vec::new();
    for index in 0..12u8 {
        let (circuit, _, body) = parse_cell(&bench.tick().1);
        let speech = parse_speech(&body).expect("speech in the clear");
        assert_eq!((circuit, speech.kind, speech.index, speech.count, speech.number), (CIRCUIT, 1, index % 6, 6, 1));
        whole.extend_from_slice(speech.fragment);
    }
    assert_eq!(whole, [&handshake[..], &handshake[..]].concat());
    bench.refused("one circuit on a link", Command::Open { link: LINK, circuit: CircId(9), handshake: handshake.clone() });
    let answer = |bench: &mut Bench, body: Body| {
        bench.tick();
        let number = bench.number_now();
        bench.cell(&serialise_cell(CIRCUIT, number, &body));
    };
    for (kind, number, octets) in [(Kind::Created, 2, 64), (Kind::Created, 1, 63), (Kind::Extended, 1, 64), (Kind::Refused, 1, 2)] {
        answer(&mut bench, serialise_short(kind, number, &vec![7; octets]));
    }
    assert_eq!(bench.counters.get(DropReason::SpeechMalformed), 4);
    assert!(bench.events().is_empty());
    answer(&mut bench, serialise_short(Kind::Refused, 1, &[3]));
    assert!(bench.events() == [Event::Refused { link: LINK, circuit: CIRCUIT, reason: 3 }]);
    bench.command(Command::Open { link: LINK, circuit: CircId(10), handshake });
    assert_eq!(parse_cell(&bench.tick().1).0, CircId(10), "the link is free for another");
}

#[test]
fn a_message_is_said_to_its_hop_in_its_slots_until_it_is_answered() {
    let mut bench = Bench::new();
    bench.open();
    bench.say(1, Kind::Extend, &[6; Kind::Extend.payload_octets()], 2, 0);
    for tick in 0..20u8 {
        let (hop, body) = bench.tick_peeled();
        if tick % 2 == 0 {
            let speech = parse_speech(&body).expect("speech to hop 1");
            assert_eq!((hop, speech.kind, speech.index, speech.number), (1, 16, tick / 2 % 6, 1));
        } else {
            assert_eq!(hop, 2, "filler: nobody can read it");
        }
    }
    let number = bench.number_now();
    bench.send_back(1, number, serialise_short(Kind::Extended, 2, &[5; 64]));
    bench.send_back(0, Slot(number.0 + 1), serialise_short(Kind::Extended, 1, &[5; 64]));
    bench.send_back(1, Slot(number.0 + 2), serialise_short(Kind::Settled, 1, &[0; 2]));
    assert_eq!(bench.counters.get(DropReason::Unasked), 3, "another number, another hop, another kind");
    bench.send_back(1, Slot(number.0 + 3), serialise_short(Kind::Extended, 1, &[5; 63]));
    assert_eq!(bench.counters.get(DropReason::SpeechMalformed), 1);
    assert!(bench.events().is_empty());
    bench.send_back(1, Slot(number.0 + 4), serialise_short(Kind::NotExtended, 1, &[4]));
    assert!(bench.events() == [Event::Answer { link: LINK, circuit: CIRCUIT, hop: 1, kind: 18, payload: vec![4] }]);
    assert_eq!(bench.tick_peeled().0, 2, "nothing is said any more");
    bench.send_back(1, Slot(number.0 + 5), serialise_short(Kind::Knocked, 1, &[8; 224]));
    bench.send_back(1, Slot(number.0 + 6), serialise_short(Kind::Knocked, 1, &[8; 224]));
    assert_eq!(bench.events().len(), 2, "a knock is told each time it comes");
    bench.say(0, Kind::Part, &[6; 16], 1, 3);
    let said: Vec<_> = (0..5).map(|_| bench.tick_peeled().0).collect();
    assert_eq!(said, [0, 0, 0, 2, 2], "three rounds");
    bench.say(1, Kind::Join, &[6; 24], 1, 0);
    assert_eq!(bench.tick_peeled().0, 1);
    bench.command(Command::Hush { link: LINK, circuit: CIRCUIT });
    assert_eq!(bench.tick_peeled().0, 2);
}

#[test]
fn speaking_makes_every_cell_a_valid_one_and_its_counter_the_clock() {
    let mut bench = Bench::new();
    bench.open();
    bench.command(Command::Speak { link: LINK, circuit: CIRCUIT, send_key: None, receive_keys: vec![] });
    assert_ne!(bench.tick_peeled().1[..16], [0; 16], "no key: filler as yet");
    bench.speak();
    bench.say(0, Kind::Join, &[6; 24], 3, 0);
    let mut counters = Vec::new();
    for _ in 0..6 {
        let (hop, body) = bench.tick_peeled();
        if hop == 2 {
            let (counter, content) = parse_content(&body).expect("a valid cell");
            assert_eq!(content, NOTHING);
            counters.push(counter);
        }
    }
    assert_eq!(counters, [3, 4, 6, 7], "slots without a key and slots of speech count too");
    bench.command(Command::Hush { link: LINK, circuit: CIRCUIT });
    bench.command(Command::ChannelSend { link: LINK, circuit: CIRCUIT, message: b"ringing".to_vec() });
    let (_, body) = bench.tick_peeled();
    let (_, content) = parse_content(&body).expect("a valid cell");
    assert_eq!((content.segment, content.ends_message), (&b"\0\0\0\0\0\0ringing"[..], true));
    bench.command(Command::Quiet { link: LINK, circuit: CIRCUIT });
    assert_ne!(bench.tick_peeled().1[..16], [0; 16]);
    bench.speak();
    assert_eq!(parse_content(&bench.tick_peeled().1).map(|(counter, _)| counter), Some(1), "a new splice begins anew");
}

#[test]
fn valid_cells_are_heard_once_and_their_absence_is_told_after_10_s() {
    let mut bench = Bench::new();
    bench.open();
    bench.speak();
    let began = bench.now;
    let hello = Content { segment: b"\0\0\0\0\0\0hello", ends_message: true, ..NOTHING };
    let number = Slot(bench.number_now().0 + 1);
    bench.peer_says(number, 1, &hello);
    assert!(
        bench.events()
            == [Event::Heard { link: LINK, circuit: CIRCUIT, key_index: 1 }, Event::Message { link: LINK, circuit: CIRCUIT, message: b"hello".to_vec() }]
    );
    bench.peer_says(Slot(number.0 + 1), 2, &hello);
    bench.peer_says(Slot(number.0 + 1), 3, &NOTHING);
    bench.peer_says(Slot(number.0 + 2), 2, &NOTHING);
    bench.peer_says(Slot(number.0 + 3), 3, &Content { segment: b"\0", ..NOTHING });
    bench.send_back(1, Slot(number.0 + 4), [0x55; 248]);
    assert!(bench.events().is_empty());
    let counted = [DropReason::OwnerReplayed, DropReason::EndToEndReplayed, DropReason::ChannelJunk, DropReason::NotOpened];
    assert_eq!(counted.map(|reason| bench.counters.get(reason)), [1, 1, 1, 1]);
    let mut silent_after = Vec::new();
    while bench.now < began + 25_000_000 {
        bench.tick();
        silent_after.extend(bench.events().iter().map(|_| (bench.now - began) / SLOT_US));
    }
    assert_eq!(silent_after, [500], "once");
    let number = bench.number_now();
    bench.peer_says(number, 9, &NOTHING);
    let mut told = 0;
    for _ in 0..520 {
        bench.tick();
        told += bench.events().len();
    }
    assert_eq!(told, 1, "and again after the next valid cell");
}

#[test]
fn bad_cells_are_counted_and_change_nothing() {
    let mut bench = Bench::new();
    bench.open();
    bench.speak();
    let number = bench.number_now();
    bench.cell(&serialise_cell(CircId(0), number, &[1; 248]));
    bench.cell(&serialise_cell(CircId(99), number, &[1; 248]));
    let mut zeros_and_junk = [0; 248];
    zeros_and_junk[16..].fill(0xee);
    bench.send_back(0, Slot(number.0 + 1), zeros_and_junk);
    bench.send_back(0, Slot(number.0 + 1), zeros_and_junk);
    let counted = [DropReason::ControlIn, DropReason::OwnerUnknownCircuit, DropReason::SpeechMalformed, DropReason::OwnerReplayed];
    assert_eq!(counted.map(|reason| bench.counters.get(reason)), [1, 1, 1, 1]);
    let mut random = SeededRandom::new([4; 32]);
    let rounds = rounds();
    for round in 0..rounds {
        let mut cell = [0; 256];
        random.fill(&mut cell);
        cell[..4].copy_from_slice(&CIRCUIT.0.to_be_bytes());
        // Half of the numbers rise, half are somewhere within 128 behind.
        let behind = if round % 2 == 0 { 0 } else { u32::from(cell[4] % 128) };
        cell[4..8].copy_from_slice(&(number.0 + 130 + round - behind).to_be_bytes());
        bench.cell(&cell);
    }
    assert!(bench.events().is_empty());
    let (opened, dropped) = (bench.counters.get(DropReason::NotOpened), bench.counters.get(DropReason::OwnerReplayed));
    println!("random cells: {opened} peeled as filler, {dropped} out of the window");
    assert_eq!(opened + dropped, u64::from(rounds) + 1);
    assert!(opened > 1_000 && dropped > 1_000);
    assert_eq!(bench.tick_peeled().0, 2);
}

#[test]
fn commands_out_of_place_are_counted_and_ignored() {
    let mut bench = Bench::new();
    let (link, circuit) = (LINK, CIRCUIT);
    let add_hop = Command::AddHop { link, circuit, forward_key: [0; 16], backward_key: [0; 16] };
    let say = |hop, every, octets| Command::Say { link, circuit, hop, kind: 20, payload: vec![0; octets], every, times: 0 };
    let speak = |keys| Command::Speak { link, circuit, send_key: None, receive_keys: vec![[0; 16]; keys] };
    bench.refused("another link", Command::Open { link: LinkId(2), circuit, handshake: vec![0; HANDSHAKE_OCTETS] });
    bench.refused("circuit 0", Command::Open { link, circuit: CircId(0), handshake: vec![0; HANDSHAKE_OCTETS] });
    bench.refused("a short handshake", Command::Open { link, circuit, handshake: vec![0; HANDSHAKE_OCTETS - 1] });
    bench.refused("no circuit yet", Command::Close { link, circuit });
    bench.command(Command::Open { link, circuit, handshake: vec![0; HANDSHAKE_OCTETS] });
    bench.refused("no answer yet", add_hop.clone());
    bench.refused("no hop yet", say(0, 1, 0));
    bench.refused("no hop yet", speak(0));
    bench.refused("no hop yet", Command::SettleOwn { link, circuit, step_us: 5_000 });
    bench.command(Command::Close { link, circuit });
    assert!(bench.events() == [Event::Ended { link, circuit }]);
    bench.open();
    bench.command(add_hop.clone());
    bench.command(add_hop.clone());
    bench.refused("a fifth hop", add_hop);
    bench.refused("no such hop", say(4, 1, 0));
    bench.refused("every 0th slot", say(0, 0, 0));
    bench.refused("longer than 16 fragments", say(0, 1, 3_585));
    bench.refused("nine keys", speak(9));
    bench.refused("nobody speaks", Command::ChannelSend { link, circuit, message: vec![1] });
    bench.refused("more than a slot", Command::Shift { link, delay_us: 20_001 });
    bench.refused("no port", Command::MediaBind { port: PORT, link, circuit, codec: 2 });
    bench.refused("no port", Command::MediaClose { port: PORT });
    bench.command(Command::MediaOpen { port: PORT });
    bench.refused("no such codec", Command::MediaBind { port: PORT, link, circuit, codec: 5 });
    bench.refused("no such codec", Command::MediaRemote { port: PORT, codec: 0, payload_type: 8, event_payload_type: None });
    bench.refused("a payload type of 8 bits", Command::MediaRemote { port: PORT, codec: 2, payload_type: 128, event_payload_type: None });
    bench.refused("no circuit", Command::MediaBind { port: PORT, link, circuit: CircId(1), codec: 2 });
    bench.refused("the port is there", Command::MediaOpen { port: PORT });
    for port in 100..355 {
        bench.command(Command::MediaOpen { port: PortId(port) });
    }
    bench.refused("a 257th port", Command::MediaOpen { port: PortId(400) });
    let accept = Command::Refuse { link, circuit, reason: 1 };
    assert!(bench.with(|owner, ctx| owner.command(ctx, UP_AT, accept.clone())) == Err(accept), "a relay's command comes back");
}

#[test]
fn the_tick_is_shifted_by_half_a_millisecond_at_a_time() {
    let mut bench = Bench::new();
    let (mut before, _) = bench.tick();
    bench.command(Command::Shift { link: LINK, delay_us: 1_700 });
    // The pending tick stands; then 1 700 us in all.
    for expected in [20_000, 20_500, 20_500, 20_500, 20_200, 20_000u64] {
        let (at, _) = bench.tick();
        let gap = at - std::mem::replace(&mut before, at);
        assert!(gap.abs_diff(expected) <= UNEVEN_US, "{gap} us instead of {expected}");
    }
}

#[test]
fn after_a_long_stall_slots_are_skipped_instead_of_sent_in_a_burst() {
    let mut bench = Bench::new();
    bench.open();
    bench.speak();
    let (at, cell) = bench.tick();
    let number = parse_cell(&cell).1 .0;
    let late = at + 10_000_000;
    bench.with(|owner, ctx| owner.run_next(ctx, late));
    assert!(bench.outputs.is_empty());
    let (next_at, next) = bench.tick();
    assert!(next_at > late && next_at <= late + SLOT_US + 1_000);
    assert_eq!(u64::from(parse_cell(&next).1 .0 - number), (next_at - at) / SLOT_US, "number and time still belong together");
    let (hop, body) = bench.tick_peeled();
    assert_eq!((hop, parse_content(&body).map(|(counter, _)| counter)), (2, Some(u64::from(parse_cell(&next).1 .0 - number) + 2)));
}

fn rtp(sequence_number: u16, payload: &[u8]) -> Vec<u8> {
    serialise_rtp(&RtpPacket { marker: false, payload_type: 8, sequence_number, rtp_timestamp: 160 * u32::from(sequence_number), ssrc: 1, payload })
}

#[test]
fn a_frame_of_the_phone_leaves_in_the_next_cell_and_one_of_the_peer_reaches_the_phone_when_due() {
    let mut bench = Bench::new();
    bench.open();
    bench.speak();
    bench.command(Command::MediaOpen { port: PORT });
    bench.command(Command::MediaRemote { port: PORT, codec: 2, payload_type: 8, event_payload_type: Some(101) });
    bench.command(Command::MediaBind { port: PORT, link: LINK, circuit: CIRCUIT, codec: 2 });
    bench.command(Command::SettleOwn { link: LINK, circuit: CIRCUIT, step_us: 5_000 });
    let base = bench.now + 3_300;
    let first = bench.number_now().0 + 1;
    let arrival = |count: u32| base + SLOT_US * u64::from(count) + u64::from(count % 5) * 400;
    let due = |count: u32| (base + 5_000 + SLOT_US * u64::from(count)).next_multiple_of(250);
    let mut heard = Vec::new();
    for count in 0..80u32 {
        while bench.owner.next_timer().is_some_and(|timer| timer <= arrival(count)) {
            bench.now = bench.owner.next_timer().expect("just seen");
            let now = bench.now;
            bench.with(|owner, ctx| owner.run_next(ctx, now));
        }
        bench.now = arrival(count);
        let now = bench.now;
        bench.with(|owner, ctx| owner.rtp(ctx, now, PORT, &rtp(count as u16, &[count as u8; 160])));
        let frame = [count as u8 + 100; 160];
        bench.peer_says(Slot(first + count), u64::from(count) + 1, &Content { codec: Some(Codec::Pcma), frame: &frame, ..NOTHING });
        heard.extend(bench.outputs.iter().filter_map(|output| match output {
            Output::SendRtp { port: PORT, rtcp: false, datagram, at } => Some((parse_rtp(datagram).expect("RTP").payload[0], *at)),
            _ => None,
        }));
        bench.outputs.clear();
    }
    let expected: Vec<_> = (50..79).map(|count| (count as u8 + 100, due(count))).collect();
    assert_eq!(heard, expected, "from the 51st cell on, each at its due time");
    let (_, body) = bench.tick_peeled();
    let (_, content) = parse_content(&body).expect("a valid cell");
    assert_eq!((content.codec, content.frame), (Some(Codec::Pcma), &[79u8; 160][..]), "the frame that came last");
    bench.command(Command::Quiet { link: LINK, circuit: CIRCUIT });
    let before = bench.counters.get(DropReason::SoundCodec);
    let now = bench.now;
    bench.with(|owner, ctx| owner.rtp(ctx, now, PORT, &rtp(80, &[1; 160])));
    assert_eq!(bench.counters.get(DropReason::SoundCodec), before + 1, "quiet unbinds the port");
}

#[test]
fn digits_pass_as_events_and_rtcp_ends_here() {
    let mut bench = Bench::new();
    bench.command(Command::MediaOpen { port: PORT });
    bench.refused("the phone has no address yet", Command::MediaDigit { port: PORT, code: 5, duration_ms: 100 });
    bench.command(Command::MediaRemote { port: PORT, codec: 2, payload_type: 8, event_payload_type: Some(101) });
    let payload = serialise_event(&TelephoneEvent { code: 11, ends: true, volume: 10, duration: 960 });
    let pressed = RtpPacket { marker: false, payload_type: 101, sequence_number: 3, rtp_timestamp: 9, ssrc: 1, payload: &payload };
    let now = bench.now;
    for datagram in [serialise_rtp(&pressed), serialise_rtp(&RtpPacket { sequence_number: 4, ..pressed }), vec![0x80, 200, 0, 1, 0, 0, 0, 1]] {
        bench.with(|owner, ctx| owner.rtp(ctx, now, PORT, &datagram));
    }
    assert!(bench.events() == [Event::Digit { port: PORT, code: 11, duration_ms: 120 }]);
    assert_eq!(bench.counters.get(DropReason::RtcpIn), 1);
    bench.command(Command::MediaDigit { port: PORT, code: 5, duration_ms: 100 });
    bench.refused("no such digit", Command::MediaDigit { port: PORT, code: 16, duration_ms: 100 });
    let mut events = Vec::new();
    while bench.now < now + SLOT_US * 20 {
        bench.tick();
        let sent = std::mem::take(&mut bench.outputs);
        events.extend(sent.into_iter().filter_map(|output| match output {
            Output::SendRtp { port: PORT, rtcp: false, datagram, .. } => parse_event(parse_rtp(&datagram).expect("RTP").payload),
            _ => None,
        }));
    }
    let said: Vec<_> = events.iter().map(|event| (event.code, event.ends, event.duration)).collect();
    let expected = [(5, false, 160), (5, false, 320), (5, false, 480), (5, false, 640), (5, true, 800), (5, true, 800), (5, true, 800)];
    assert_eq!(said, expected);
}

#[test]
fn a_segment_that_was_cut_before_the_sound_began_gets_a_cell_of_its_own() {
    let mut bench = Bench::new();
    bench.open();
    bench.speak();
    bench.command(Command::ChannelSend { link: LINK, circuit: CIRCUIT, message: vec![8; 212] });
    bench.tick();
    bench.command(Command::MediaOpen { port: PORT });
    bench.command(Command::MediaRemote { port: PORT, codec: 2, payload_type: 8, event_payload_type: None });
    bench.command(Command::MediaBind { port: PORT, link: LINK, circuit: CIRCUIT, codec: 2 });
    let mut said = Vec::new();
    for count in 0..40u16 {
        let now = bench.now;
        bench.with(|owner, ctx| owner.rtp(ctx, now, PORT, &rtp(count, &[count as u8; 160])));
        let (_, body) = bench.tick_peeled();
        let (_, content) = parse_content(&body).expect("a valid cell");
        said.push((content.frame.first().copied(), content.segment.len()));
    }
    let whole: Vec<_> = said.iter().filter(|(_, segment)| *segment == 218).collect();
    assert!((3..=5).contains(&whole.len()), "{said:?}");
    assert!(whole.iter().all(|(frame, _)| frame.is_none()));
    // The other cells carry the sound, in order, and the acknowledgement alone.
    let frames: Vec<_> = said.iter().filter_map(|(frame, _)| *frame).collect();
    assert_eq!(frames.len() + whole.len(), said.len());
    assert!(frames.windows(2).all(|pair| pair[0] < pair[1]));
}

/// Let a phone talk for some slots and return counter, first octet of the frame, segment and copy of each cell.
fn cells_of_a_call(bench: &mut Bench, slots: std::ops::Range<u16>, frame: impl Fn(u16) -> Vec<u8>) -> Vec<(u64, Option<u8>, usize, Vec<u8>)> {
    let mut said = Vec::new();
    for count in slots {
        let now = bench.now;
        let octets = frame(count);
        bench.with(|owner, ctx| owner.rtp(ctx, now, PORT, &rtp(count, &octets)));
        let (_, body) = bench.tick_peeled();
        let (counter, content) = parse_content(&body).expect("a valid cell");
        said.push((counter, content.frame.first().copied(), content.segment.len(), content.copy.to_vec()));
    }
    said
}

fn talking(codec: u8) -> Bench {
    let mut bench = Bench::new();
    bench.open();
    bench.speak();
    bench.command(Command::MediaOpen { port: PORT });
    bench.command(Command::MediaRemote { port: PORT, codec, payload_type: 8, event_payload_type: None });
    bench.command(Command::MediaBind { port: PORT, link: LINK, circuit: CIRCUIT, codec });
    bench
}

#[test]
fn each_cell_says_the_frame_before_once_more_also_where_the_channel_speaks() {
    let mut bench = talking(1);
    let said = cells_of_a_call(&mut bench, 0..10, |count| vec![count as u8 + 1; 60]);
    for (place, (_, frame, segment, copy)) in said.iter().enumerate() {
        let before = if place == 0 { vec![] } else { vec![place as u8; 60] };
        assert_eq!((*frame, *segment, copy), (Some(place as u8 + 1), 0, &before));
    }
    bench.command(Command::ChannelSend { link: LINK, circuit: CIRCUIT, message: vec![8; 20] });
    let said = cells_of_a_call(&mut bench, 10..13, |count| vec![count as u8 + 1; 60]);
    assert!(said.iter().all(|(_, frame, segment, copy)| frame.is_some() && *segment == 26 && copy.len() == 60), "until it is acknowledged");
    bench.peer_says(bench.number_now(), 1, &Content { segment: b"\0\x01\0\0\0\0hello", ends_message: true, ..NOTHING });
    let said = cells_of_a_call(&mut bench, 13..16, |count| vec![count as u8 + 1; 60]);
    let seconds: Vec<_> = said.iter().map(|(_, _, segment, copy)| (*segment, copy.len())).collect();
    assert_eq!(seconds, [(4, 60), (4, 60), (0, 60)], "the acknowledgement twice");
}

#[test]
fn a_copy_is_said_where_it_fits_and_of_the_very_frame_before_only() {
    let mut bench = talking(1);
    let sizes = [110, 110, 111, 110, 100, 120, 100];
    let said = cells_of_a_call(&mut bench, 0..7, |count| vec![count as u8 + 1; sizes[usize::from(count)]]);
    assert_eq!(said.iter().map(|(_, _, _, copy)| copy.len()).collect::<Vec<_>>(), [0, 110, 0, 0, 110, 100, 120]);
    let content = parse_content(&bench.tick_peeled().1).map(|(_, content)| (content.frame.len(), content.copy.len()));
    assert_eq!(content, Some((0, 100)), "a slot without a frame says the one before");
    let said = cells_of_a_call(&mut bench, 7..9, |_| vec![9; 60]);
    assert_eq!(said.iter().map(|(_, _, _, copy)| copy.len()).collect::<Vec<_>>(), [0, 60], "after it there is nothing to say again");
}

#[test]
fn of_g711_the_copy_is_coarse() {
    let mut bench = talking(2);
    let frame = |count: u16| (0..160u16).map(|place| (place * 3 + count) as u8).collect::<Vec<_>>();
    let said = cells_of_a_call(&mut bench, 0..4, frame);
    assert!(said[0].3.is_empty());
    for count in 1..4 {
        let before: [u8; 160] = frame(count - 1).try_into().expect("160 octets");
        assert_eq!(said[usize::from(count)].3, voicebox_core::coarse::coarse_copy(Codec::Pcma, &before));
    }
}
