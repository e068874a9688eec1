//! Any input is dropped with a reason or parsed; nothing else. 10^5 inputs for each parser and for the whole machine, 10^7 with VOICEBOX_LONG=1.

use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use voicebox_core::cell::{parse_cell, serialise_cell, shows_zeros, Body, Cell, CELL_OCTETS};
use voicebox_core::ids::METERED;
use voicebox_core::speech::{parse_speech, serialise_speech, Collected, Collector, CREATED_OCTETS, HANDSHAKE_OCTETS, MAX_MESSAGE_OCTETS, QUESTION_OCTETS};
use voicebox_core::{CircId, Command, Config, Core, Input, LinkId, LinkKind, Output, PortId, SeededRandom, Slot};

/// Run a property over many inputs, and print how many.
fn check<S: Strategy>(name: &str, inputs_of_a_case: u32, strategy: &S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let inputs = if std::env::var_os("VOICEBOX_LONG").is_some_and(|value| value == "1") { 10_000_000 } else { 100_000 };
    let cases = Cases { cases: inputs / inputs_of_a_case, failure_persistence: None, ..Cases::default() };
    TestRunner::new_with_rng(cases, proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha))
        .run(strategy, property)
        .unwrap_or_else(|failure| panic!("{name}: {failure}"));
    println!("{name}: {inputs} inputs");
}

fn body() -> impl Strategy<Value = Body> {
    prop::collection::vec(any::<u8>(), 248).prop_map(|octets| octets.try_into().expect("248 octets"))
}

/// Bodies that are nearly speech: zeros in front, small numbers in the head, mostly a clean rest.
fn near_speech() -> impl Strategy<Value = Body> {
    let head = (0u8..32, 0u8..18, 0u8..18, prop_oneof![9 => Just(0u8), 1 => any::<u8>()], 0u16..4, prop_oneof![0u16..=224, any::<u16>()]);
    (head, body(), any::<bool>()).prop_map(|((kind, index, count, zero, number, length), mut body, clean)| {
        body[..16].fill(0);
        body[16..20].copy_from_slice(&[kind, index, count, zero]);
        body[20..22].copy_from_slice(&number.to_be_bytes());
        body[22..24].copy_from_slice(&length.to_be_bytes());
        if clean {
            body[24 + usize::from(length).min(224)..].fill(0);
        }
        body
    })
}

#[test]
fn any_256_octets_are_a_cell() {
    let cell = (any::<u32>(), any::<u32>(), body());
    check("cell", 1, &cell, |(circuit, slot, body)| {
        let cell = serialise_cell(CircId(circuit), Slot(slot), &body);
        prop_assert_eq!(parse_cell(&cell), (CircId(circuit), Slot(slot), body));
        Ok(())
    });
}

#[test]
fn any_body_is_a_fragment_or_is_not() {
    check("speech", 1, &prop_oneof![3 => near_speech(), 1 => body()], |body| {
        if let Some(speech) = parse_speech(&body).filter(|_| shows_zeros(&body)) {
            prop_assert_eq!(serialise_speech(&speech), body);
            prop_assert!(speech.index < speech.count && speech.fragment.len() <= 224);
        }
        Ok(())
    });
}

#[test]
fn any_row_of_fragments_is_collected_within_bounds() {
    check("collector", 20, &prop::collection::vec(near_speech(), 20), |bodies| {
        let mut collector = Collector::default();
        for body in &bodies {
            let Some(speech) = parse_speech(body) else { continue };
            if let Collected::Whole(message) = collector.add(&speech) {
                prop_assert!(message.len() <= MAX_MESSAGE_OCTETS && message.len().div_ceil(224).max(1) == usize::from(speech.count));
            }
        }
        Ok(())
    });
}

/// One thing that happens to the machine.
#[derive(Clone, Debug)]
enum Given {
    Cell(u32, u32, u32, Body),
    Rtp(u32, Vec<u8>),
    Up(u32, LinkKind),
    Down(u32),
    Timer,
    Command(Command),
}

/// A few numbers, of circuits that are metered and of others.
fn circuit_number() -> impl Strategy<Value = u32> {
    (0u32..4, any::<bool>()).prop_map(|(number, metered)| if metered { number | METERED } else { number })
}

fn circuit_command() -> impl Strategy<Value = Command> {
    let name = || (1u32..6).prop_map(LinkId);
    let circuit = || circuit_number().prop_map(CircId);
    let handshake = || prop_oneof![4 => Just(vec![7; HANDSHAKE_OCTETS]), 1 => prop::collection::vec(any::<u8>(), 0..1_300)];
    let payload = || prop::collection::vec(any::<u8>(), 0..300);
    let question = || prop_oneof![2 => Just(vec![7; QUESTION_OCTETS]), 1 => payload()];
    prop_oneof![
        (name(), circuit(), any::<bool>(), 0u32..10).prop_map(|(link, circuit, junction, fives)| Command::Accept {
            link,
            circuit,
            forward_key: [1; 16],
            backward_key: [2; 16],
            created: Box::new([3; CREATED_OCTETS]),
            junction,
            forward_step_us: 5_000 * fives.clamp(1, 4),
            backward_step_us: 5_000 * fives,
        }),
        (name(), circuit(), any::<u8>()).prop_map(|(link, circuit, reason)| Command::Refuse { link, circuit, reason }),
        (name(), circuit(), name(), circuit(), handshake()).prop_map(|(link, circuit, next_link, next_circuit, handshake)| Command::Extend {
            link,
            circuit,
            next_link,
            next_circuit,
            handshake
        }),
        (name(), circuit(), any::<u16>(), question()).prop_map(|(link, circuit, number, payload)| Command::AnswerAsk { link, circuit, number, payload }),
        (name(), circuit(), handshake()).prop_map(|(link, circuit, handshake)| Command::Open { link, circuit, handshake }),
        (name(), circuit()).prop_map(|(link, circuit)| Command::AddHop { link, circuit, forward_key: [1; 16], backward_key: [2; 16] }),
        (name(), circuit(), 0u8..5, 14u8..36, payload(), 0u32..4, 0u32..4).prop_map(|(link, circuit, hop, kind, payload, every, times)| Command::Say {
            link,
            circuit,
            hop,
            kind,
            payload,
            every,
            times
        }),
        (name(), any::<u32>()).prop_map(|(link, delay_us)| Command::Shift { link, delay_us }),
        (name(), circuit(), 0u32..10).prop_map(|(link, circuit, fives)| Command::SettleOwn { link, circuit, step_us: 5_000 * fives }),
        (name(), circuit(), 0usize..10).prop_map(|(link, circuit, keys)| Command::Speak {
            link,
            circuit,
            send_key: Some([4; 16]),
            receive_keys: vec![[5; 16]; keys]
        }),
        (name(), circuit(), name(), circuit()).prop_map(|(link, circuit, spare_link, spare_circuit)| Command::Couple {
            link,
            circuit,
            spare_link,
            spare_circuit
        }),
        (name(), circuit()).prop_map(|(link, circuit)| Command::Quiet { link, circuit }),
        (name(), circuit(), payload()).prop_map(|(link, circuit, message)| Command::ChannelSend { link, circuit, message }),
        (name(), circuit()).prop_map(|(link, circuit)| Command::Close { link, circuit }),
    ]
}

fn media_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        (0u32..3).prop_map(|port| Command::MediaOpen { port: PortId(port) }),
        (0u32..3, 0u8..6, any::<u8>()).prop_map(|(port, codec, payload_type)| Command::MediaRemote {
            port: PortId(port),
            codec,
            payload_type,
            event_payload_type: Some(101)
        }),
        (0u32..3, (1u32..6).prop_map(LinkId), circuit_number().prop_map(CircId), 0u8..6).prop_map(|(port, link, circuit, codec)| Command::MediaBind {
            port: PortId(port),
            link,
            circuit,
            codec
        }),
        (0u32..3, 0u8..70).prop_map(|(port, packet_ms)| Command::MediaPackets { port: PortId(port), packet_ms }),
        (0u32..3, 0u32..3, 0u8..6).prop_map(|(port, other, codec)| Command::MediaJoin { port: PortId(port), other: PortId(other), codec }),
        (0u32..3, 0u8..6, prop_oneof![Just(160usize), 0usize..200], 0usize..900).prop_map(|(port, codec, frame_octets, octets)| Command::MediaPlay {
            port: PortId(port),
            codec,
            frame_octets,
            frames: vec![7; octets]
        }),
        (0u32..3, prop_oneof![0u32..40, any::<u32>()]).prop_map(|(port, slots)| Command::MediaTape { port: PortId(port), slots }),
        (0u32..3, any::<u8>(), any::<u16>()).prop_map(|(port, code, duration_ms)| Command::MediaDigit { port: PortId(port), code, duration_ms }),
        (0u32..3).prop_map(|port| Command::MediaClose { port: PortId(port) }),
    ]
}

fn given() -> impl Strategy<Value = Given> {
    let kind = prop_oneof![Just(LinkKind::AccessOwner), Just(LinkKind::AccessGuard), Just(LinkKind::Relay)];
    let slot = prop_oneof![4 => 0u32..200, 1 => any::<u32>()];
    prop_oneof![
        12 => (1u32..6, circuit_number(), slot, prop_oneof![near_speech(), body()]).prop_map(|(link, circuit, slot, body)| Given::Cell(link, circuit, slot, body)),
        1 => (0u32..3, prop::collection::vec(any::<u8>(), 0..200)).prop_map(|(port, datagram)| Given::Rtp(port, datagram)),
        3 => (1u32..6, kind).prop_map(|(link, kind)| Given::Up(link, kind)),
        1 => (1u32..6).prop_map(Given::Down),
        4 => Just(Given::Timer),
        6 => circuit_command().prop_map(Given::Command),
        2 => media_command().prop_map(Given::Command),
    ]
}

#[test]
fn the_machine_takes_anything_and_stays_within_its_bounds() {
    let history = prop::collection::vec((0u64..30_000, given()), 200);
    check("machine", 200, &history, |history| {
        let metered = history[0].0 % 2 == 0;
        let mut core = Core::new(Config { max_circuits: 3, metered }, Box::new(SeededRandom::new([5; 32])));
        let mut now = 1_000_000;
        for (pause_us, given) in history {
            now += pause_us;
            match &given {
                Given::Cell(link, circuit, slot, body) => {
                    let cell: Cell = serialise_cell(CircId(*circuit), Slot(*slot), body);
                    core.handle(now, Input::Cell { link: LinkId(*link), cell: &cell });
                }
                Given::Rtp(port, datagram) => core.handle(now, Input::Rtp { port: PortId(*port), datagram }),
                Given::Up(link, kind) => core.handle(now, Input::LinkUp { link: LinkId(*link), kind: *kind }),
                Given::Down(link) => core.handle(now, Input::LinkDown { link: LinkId(*link) }),
                Given::Timer => core.handle(now, Input::Timer),
                Given::Command(command) => core.handle(now, Input::Command(command.clone())),
            }
            let mut outputs = 0;
            while let Some(output) = core.poll() {
                outputs += 1;
                if let Output::Send { cell, at, .. } = output {
                    prop_assert_eq!(cell.len(), CELL_OCTETS);
                    prop_assert!(at + 30_000 > now && at < now + 100_000, "a cell for {} at {}", at, now);
                }
            }
            // 30 ms hold at most two slots of five links and three circuits, and their events.
            prop_assert!(outputs <= 40, "{} outputs", outputs);
            prop_assert!(core.circuits() <= 3);
            // What an input made due at once is done with the next one.
            core.handle(now, Input::Timer);
            while core.poll().is_some() {}
            prop_assert!(core.next_timer().is_some_and(|timer| timer > now), "after {:?}", given);
        }
        Ok(())
    });
}
