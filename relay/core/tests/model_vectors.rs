//! The core against the vectors that the model makes (tests/vectors/*.json, tools/make_vectors.py): the same octets, times and numbers.

use serde_json::Value;
use voicebox_core::cell::{parse_cell, serialise_cell, Body};
use voicebox_core::coarse::{coarse_copy, frame_of_copy};
use voicebox_core::endtoend::{parse_content, serialise_content, Codec, CounterWindow};
use voicebox_core::layer::Layer;
use voicebox_core::owner::clock::Clock;
use voicebox_core::random::SeededRandom;
use voicebox_core::slots::{Due, Ring, Settling};
use voicebox_core::speech::{parse_speech, serialise_speech, Carousel, Collected, Collector};
use voicebox_core::streams::fragment::{parse_fragment, serialise_fragment, Fragment};
use voicebox_core::streams::frame::{parse_frame, serialise_frame};
use voicebox_core::streams::segment::{parse_segment, serialise_acknowledgement, ACKNOWLEDGEMENT_OCTETS, FRAGMENTS, MAX_RANGES, RANGE_OCTETS};
use voicebox_core::streams::{Bundle, StreamEvent, StreamId, Way};
use voicebox_core::{CircId, Slot};

fn file(name: &str) -> Value {
    let path = format!("{}/../../tests/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).expect("the vectors are there")).expect("JSON")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().filter(|list| !list.is_empty()).expect("a list with something in it")
}

fn octets(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().expect("hexadecimal text");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits")).collect()
}

fn array<const N: usize>(hex: &Value) -> [u8; N] {
    octets(hex).try_into().expect("as many octets as the field has")
}

fn number<T: TryFrom<i64>>(value: &Value) -> T {
    T::try_from(value.as_i64().expect("a number")).ok().expect("a number of this width")
}

#[test]
fn cells() {
    let file = file("cells");
    for vector in list(&file["valid"]) {
        let (circuit, slot, body) = (CircId(number(&vector["circuit"])), Slot(number(&vector["slot"])), array(&vector["body"]));
        assert_eq!(serialise_cell(circuit, slot, &body), array(&vector["cell"]));
        assert_eq!(parse_cell(&array(&vector["cell"])), (circuit, slot, body));
    }
    assert!(list(&file["invalid"]).iter().all(|vector| octets(&vector["cell"]).len() != 256), "what is no cell cannot be given to the core");
}

#[test]
fn speech() {
    let file = file("speech");
    for vector in list(&file["valid"]) {
        let body: Body = array(&vector["body"]);
        let speech = parse_speech(&body).expect("valid");
        assert_eq!((speech.kind, speech.index), (number(&vector["kind"]), number(&vector["index"])));
        assert_eq!((speech.count, speech.number), (number(&vector["count"]), number(&vector["number"])));
        assert_eq!((speech.fragment, serialise_speech(&speech)), (&octets(&vector["fragment"])[..], body));
    }
    for vector in list(&file["invalid"]) {
        assert!(parse_speech(&array(&vector["body"])).is_none(), "{}", vector["why"]);
    }
    for vector in list(&file["messages"]) {
        let mut carousel = Carousel::new(number(&vector["kind"]), number(&vector["number"]), octets(&vector["payload"])).expect("short enough");
        let mut collector = Collector::default();
        let bodies = list(&vector["bodies"]);
        assert_eq!(usize::from(carousel.count()), bodies.len());
        for (index, body) in bodies.iter().enumerate() {
            let said = carousel.next_body();
            assert_eq!(said, array(body));
            let last = index + 1 == bodies.len();
            let expected = if last { Collected::Whole(octets(&vector["payload"])) } else { Collected::Partial };
            assert_eq!(collector.add(&parse_speech(&said).expect("own speech")), expected);
        }
    }
}

#[test]
fn layers() {
    for path in list(&file("layers")["paths"]) {
        let tweak = number::<u32>(&path["slot"]).to_be_bytes();
        let keys: Vec<Layer> = list(&path["keys"]).iter().map(|key| Layer::new(&array(key))).collect();
        let mut body: Body = array(&path["body"]);
        for (layer, link) in keys.iter().zip(list(&path["links"])).rev() {
            layer.encipher(&tweak, &mut body);
            assert_eq!(body, array(link));
        }
        for layer in &keys {
            layer.decipher(&tweak, &mut body);
        }
        assert_eq!(body, array(&path["body"]));
    }
}

#[test]
fn due_times() {
    let file = file("due_times");
    let mut settling = Settling::new(Some(number(&file["first"])), number(&file["step_us"]));
    let arrivals = list(&file["arrivals"]).iter();
    let bases: Vec<Option<i64>> = arrivals.map(|arrival| settling.measure(number(&arrival[0]), number(&arrival[1]))).collect();
    let fixed = bases.iter().position(Option::is_some).expect("fixed by one of them");
    assert_eq!(fixed, number::<usize>(&file["fixed_by_arrival"]));
    let due = Due { base_us: bases[fixed].expect("fixed"), started: None };
    for vector in list(&file["due"]) {
        assert_eq!(due.time_us(number(&vector[0])), number::<i64>(&vector[1]));
    }
    for junction in [false, true] {
        let mut ring = Ring::new(junction);
        for vector in list(&file["taken"]) {
            let slot = number(&vector["slot"]);
            let refusal = ring.refusal(slot, &due, number(&vector["now_us"]));
            assert_eq!(refusal.map(|reason| reason.name()), vector["refusal"].as_str());
            if refusal.is_none() {
                ring.put(slot, None);
            }
        }
    }
}

#[test]
fn clock() {
    let file = file("clock");
    let mut clock = Clock::new(&mut SeededRandom::new([0; 32]));
    let (anchor, begin): (usize, usize) = (number(&file["anchor"]), number(&file["begin"]));
    let mut states = list(&file["states"]).iter().map(|state| {
        let numbers: Vec<i64> = state.as_str().expect("text").split(' ').map(|word| word.parse().expect("a number")).collect();
        numbers
    });
    let mut state = states.next();
    for (tick, offset_us) in file["offsets_us"].as_str().expect("text").split(' ').enumerate() {
        if tick == anchor {
            clock.anchor();
        }
        if tick == begin {
            clock.begin(true);
        }
        offset_us.parse().into_iter().for_each(|offset_us| clock.note(offset_us));
        let now = [tick as i64, 0, 0, 0, clock.tick(1)];
        if state.as_ref().is_some_and(|state| state[0] == now[0]) {
            assert_eq!(state, Some([now[0], clock.rate, clock.model, clock.beat, now[4]].to_vec()));
            state = states.next();
        } else {
            assert_eq!(now[4], 0, "tick {tick}: a jump");
        }
    }
    assert_eq!(state, None);
}

#[test]
fn splice() {
    for case in list(&file("splice")["cases"]) {
        let given = Due { base_us: number(&case["giver_base_us"]), started: None };
        let (slot, leaves_us): (i64, i64) = (number(&case["next_slot"]), number(&case["leaves_us"]));
        assert_eq!(leaves_us, 20_000 * slot + number::<i64>(&case["phase_us"]));
        let last = given.last_slot(leaves_us);
        assert_eq!((slot - last, given.time_us(last)), (number(&case["offset"]), number(&case["given_due_us"])));
    }
}

#[test]
fn end_to_end() {
    let file = file("end_to_end");
    let layer = Layer::new(&array(&file["key"]));
    for vector in list(&file["valid"]) {
        let mut body: Body = array(&vector["sealed"]);
        layer.decipher(&[], &mut body);
        assert_eq!(body, array(&vector["body"]));
        let (counter, content) = parse_content(&body).expect("valid");
        let copies = number::<u8>(&vector["flags"]) & 2 != 0;
        let (second, third) = if copies { (content.copy, content.segment) } else { (content.segment, &[][..]) };
        assert_eq!((Some(counter), content.frame), (vector["counter"].as_u64(), &octets(&vector["frame"])[..]));
        assert_eq!((second, third), (&octets(&vector["second"])[..], &octets(&vector["third"])[..]));
        assert_eq!(content.metered, number::<u8>(&vector["flags"]) & 4 != 0);
        let mut again = [0; 248];
        serialise_content(&mut again, counter, &content);
        assert_eq!(again, body);
    }
    for vector in list(&file["invalid"]) {
        assert!(parse_content(&array(&vector["body"])).is_none(), "{}", vector["why"]);
    }
    let mut window = CounterWindow::default();
    for vector in list(&file["window"]) {
        assert_eq!(Some(window.take(vector["counter"].as_u64().expect("a counter"))), vector["taken"].as_bool(), "{vector}");
    }
}

#[test]
fn coarse() {
    let file = file("coarse");
    for vector in list(&file["valid"]) {
        let codec = Codec::from_code(number(&vector["codec"])).expect("a codec");
        let copy = octets(&vector["copy"]);
        assert_eq!(coarse_copy(codec, &array(&vector["frame"]))[..], copy);
        assert_eq!(frame_of_copy(codec, &copy), Some(array(&vector["heard"])));
    }
    for vector in list(&file["invalid"]) {
        assert_eq!(frame_of_copy(Codec::Pcma, &octets(&vector["copy"])), None, "{}", vector["why"]);
    }
}

#[test]
fn segments_and_frames_of_streams() {
    let file = file("streams");
    for vector in list(&file["segments"]) {
        let octets_of = octets(&vector["segment"]);
        let read = parse_segment(&octets_of).expect("valid");
        let told = &read.acknowledgement;
        assert_eq!((told.heard, told.next, told.more), (number(&vector["heard"]), number(&vector["next"]), vector["more"].as_bool().expect("a truth")));
        let ranges: Vec<(u16, u16)> = vector["ranges"].as_array().expect("a list").iter().map(|each| (number(&each[0]), number(&each[1]))).collect();
        assert_eq!(told.ranges, ranges);
        let piece = vector["piece"].as_str().map(|_| (number::<u32>(&vector["offset"]), octets(&vector["piece"])));
        assert_eq!(read.piece.map(|(offset, octets)| (offset, octets.to_vec())), piece);
        let mut out = [0; ACKNOWLEDGEMENT_OCTETS + MAX_RANGES * RANGE_OCTETS];
        let end = serialise_acknowledgement(&mut out, told);
        out[6] |= if read.fragments.is_empty() { 0 } else { FRAGMENTS };
        assert_eq!((&out[..end], read.fragments), (&octets_of[..end], &octets(&vector["fragments"])[..]));
    }
    for vector in list(&file["no_segments"]) {
        assert!(parse_segment(&octets(&vector["segment"])).is_none(), "{}", vector["why"]);
    }
    for vector in list(&file["frames"]) {
        let octets = octets(&vector["frame"]);
        let (stream, frame, length) = parse_frame(&octets).expect("valid").expect("whole");
        assert_eq!((stream.ours, stream.number, length), (vector["yours"].as_bool().expect("a truth"), number(&vector["stream"]), octets.len()));
        let mut row = Vec::new();
        serialise_frame(&mut row, StreamId { ours: !stream.ours, ..stream }, &frame); // as the other side names it
        assert_eq!(row, octets);
        assert_eq!(parse_frame(&octets[..octets.len() - 1]).expect("not broken"), None);
    }
    for vector in list(&file["fragments"]) {
        let octets = octets(&vector["fragment"]);
        let (fragment, length) = parse_fragment(&octets).expect("valid");
        let truth = |name: &str| vector[name].as_bool().expect("a truth");
        assert_eq!((fragment.stream.ours, fragment.last, length), (truth("yours"), truth("last"), octets.len()));
        assert_eq!((fragment.stream.number, fragment.number, fragment.place), (number(&vector["stream"]), number(&vector["number"]), number(&vector["place"])));
        let mut out = Vec::new();
        serialise_fragment(&mut out, &Fragment { stream: StreamId { ours: !fragment.stream.ours, ..fragment.stream }, ..fragment });
        assert_eq!(out, octets);
    }
    for vector in list(&file["no_fragments"]) {
        assert!(parse_fragment(&octets(&vector["fragment"])).is_err(), "{}", vector["why"]);
    }
    for vector in list(&file["no_frames"]) {
        assert!(parse_frame(&octets(vector)).is_err(), "{vector}");
    }
}

#[test]
fn rows_of_streams_whose_pieces_come_in_any_order() {
    for row in list(&file("streams")["rows"]) {
        let mut bundle = Bundle::new();
        for step in list(&row["steps"]) {
            bundle.take_segment(number::<u32>(&step["counter"]).into(), &octets(&step["segment"])).expect("valid");
            let mut out = [0; 220];
            let end = bundle.segment_for_slot(1, &mut out);
            assert_eq!(out[..end], octets(&step["answer"])[..]);
        }
        let stream = StreamId { ours: false, number: number(&row["stream"]) };
        let mut read = [0; 2_048];
        let length = bundle.read(stream, &mut read);
        assert_eq!(read[..length], octets(&row["said"])[..]);
        assert_eq!(bundle.poll(), Some(StreamEvent::Asked { stream, port: number(&row["port"]), way: Way::Row }));
        assert!(bundle.is_read(stream));
    }
}
