//! Tokens, knocks, joins, parts, and the bodies of a splice (PROTOCOL.md §5.5, §6.2).

use crate::peer::{Relay, BACKWARD_KEY, FROM};
use voicebox_core::cell::{shows_zeros, Body};
use voicebox_core::ids::SLOT_US;
use voicebox_core::layer::Layer;
use voicebox_core::speech::{parse_speech, Kind};
use voicebox_core::Input;

const TOKEN: [u8; 16] = [0x70; 16];

/// A junction with settled circuits 1, 2 and 3, whose cells arrive 3, 11 and 17 ms into the slot; circuit 2 has left TOKEN.
struct Hall {
    relay: Relay,
    slot: u32,
}

impl Hall {
    fn new() -> Self {
        let mut relay = Relay::new(16);
        for circuit in 1..=3 {
            relay.open(FROM, circuit, true);
            relay.say(FROM, circuit, Kind::Settle as u8, vec![0; 4]);
        }
        let slot = relay.slot() + 1;
        let mut hall = Self { relay, slot };
        for _ in 0..55 {
            hall.feed([None, None, None]);
        }
        let mut tokens = vec![0x11; 2_048];
        tokens[..16].copy_from_slice(&TOKEN);
        hall.say_whole(2, Kind::Tokens, tokens);
        hall
    }

    /// Let one slot pass, in which each circuit brings a body or noise.
    fn feed(&mut self, bodies: [Option<Body>; 3]) {
        for (index, (body, ms)) in bodies.into_iter().zip([3, 11, 17]).enumerate() {
            self.relay.wait_until(u64::from(self.slot) * SLOT_US + ms * 1_000);
            let body = body.map_or([self.slot as u8 | 1; 248], |body| self.relay.inside(self.slot, &body));
            self.relay.cell(FROM, index as u32 + 1, self.slot, &body);
        }
        self.slot += 1;
    }

    /// Say a message on one circuit, one fragment a slot.
    fn say_whole(&mut self, circuit: u32, kind: Kind, payload: Vec<u8>) {
        let mut carousel = voicebox_core::speech::Carousel::new(kind as u8, self.number(), payload).expect("short enough");
        for _ in 0..carousel.count() {
            let mut bodies = [None; 3];
            bodies[circuit as usize - 1] = Some(carousel.next_body());
            self.feed(bodies);
        }
    }

    /// Numbers only have to rise: the slot will do.
    fn number(&self) -> u16 {
        self.slot as u16
    }

    fn knock(&mut self, circuit: u32, token: [u8; 16], join: u8) {
        self.say_whole(circuit, Kind::Knock, [&token[..], &[join; 16], &[0x5e; 184]].concat());
    }

    fn join(&mut self, circuit: u32, join: u8) {
        let ticket = self.ticket(join);
        self.say_whole(circuit, Kind::Join, [&[join; 16][..], &ticket].concat());
    }

    /// The ticket that came with a knock, to whomever; zeros where none did.
    fn ticket(&self, join: u8) -> [u8; 8] {
        let mut delivered = (1..=3).flat_map(|circuit| self.relay.answers(FROM, circuit)).filter(|(kind, _)| *kind == Kind::Knocked as u8);
        let ticket = delivered.rfind(|(_, payload)| payload[16] == join).map(|(_, payload)| payload[216..].try_into());
        ticket.map_or([0; 8], |ticket| ticket.expect("eight octets"))
    }

    fn part(&mut self, circuit: u32, join: u8) {
        self.say_whole(circuit, Kind::Part, vec![join; 16]);
    }

    fn leave(&mut self, circuit: u32, token: [u8; 16]) {
        let mut tokens = vec![0x11 + circuit as u8; 2_048];
        tokens[..16].copy_from_slice(&token);
        self.say_whole(circuit, Kind::Tokens, tokens);
    }

    /// What the junction has said to a circuit: slot, kind, and the payload without the ticket, which is drawn.
    fn heard(&self, circuit: u32) -> Vec<(u32, u8, Vec<u8>)> {
        let layer = Layer::new(&BACKWARD_KEY);
        let cells = self.relay.left.iter().filter(|left| left.circuit == circuit);
        let said = cells.filter_map(|left| {
            let mut body = left.body;
            layer.decipher(&left.slot.to_be_bytes(), &mut body);
            let speech = parse_speech(&body).filter(|_| shows_zeros(&body))?;
            Some((left.slot, speech.kind, speech.fragment[..speech.fragment.len().min(216)].to_vec()))
        });
        said.collect()
    }

    fn rest(&mut self, slots: u32) {
        for _ in 0..slots {
            self.feed([None, None, None]);
        }
    }

    fn knocked(&self, circuit: u32) -> usize {
        self.relay.answers(FROM, circuit).iter().filter(|(kind, _)| *kind == Kind::Knocked as u8).count()
    }

    /// Send a body on one circuit and return (slot, delay in us) at which it leaves on another, if it does.
    fn carried(&mut self, from: u32, to: u32) -> Option<(i64, u64)> {
        let mut body = [0xc3; 248];
        body[..4].copy_from_slice(&self.slot.to_be_bytes());
        let (slot, mut bodies) = (self.slot, [None; 3]);
        bodies[from as usize - 1] = Some(body);
        self.feed(bodies);
        self.rest(3);
        let layer = Layer::new(&BACKWARD_KEY);
        self.relay.left.iter().filter(|left| left.circuit == to).find_map(|left| {
            let mut opened = left.body;
            layer.decipher(&left.slot.to_be_bytes(), &mut opened);
            (opened == body).then(|| (i64::from(left.slot) - i64::from(slot), left.at - u64::from(slot) * SLOT_US))
        })
    }
}

#[test]
fn a_knock_is_delivered_once_for_each_time_it_comes_and_a_wrong_token_is_met_with_silence() {
    let mut hall = Hall::new();
    hall.relay.left.clear();
    for _ in 0..3 {
        hall.knock(1, TOKEN, 1);
        hall.rest(5);
    }
    assert_eq!((hall.knocked(1), hall.knocked(2), hall.knocked(3)), (0, 3, 0));
    let cells = hall.relay.left.len();
    hall.relay.left.clear();
    for _ in 0..3 {
        hall.knock(1, [0x71; 16], 2);
        hall.rest(5);
    }
    assert_eq!((hall.knocked(2), hall.relay.count("unknown_token")), (0, 3));
    assert_eq!(hall.relay.left.len(), cells, "the same number of cells leaves");
    hall.knock(2, TOKEN, 3);
    assert_eq!(hall.relay.count("unknown_token"), 4, "nobody knocks at their own door");
}

#[test]
fn a_circuit_knocks_in_every_second_slot_and_with_two_join_ids_at_once() {
    let mut hall = Hall::new();
    hall.knock(1, TOKEN, 1);
    hall.knock(1, TOKEN, 1);
    assert_eq!(hall.relay.count("knock_limit"), 1);
    hall.rest(1);
    hall.knock(1, TOKEN, 2);
    hall.rest(1);
    hall.knock(1, TOKEN, 3);
    assert_eq!(hall.relay.count("knock_limit"), 2);
    hall.knock(3, TOKEN, 2);
    assert_eq!(hall.relay.count("knock_limit"), 3, "an id belongs to whoever used it first");
    for join in 3..=6 {
        hall.rest(60);
        hall.knock(1, TOKEN, join);
    }
    assert_eq!(hall.relay.count("knock_limit"), 3);
    hall.rest(4);
    hall.join(2, 5);
    assert_eq!(hall.relay.count("unknown_join"), 1, "the last id alone is remembered");
    hall.join(2, 6);
    assert!(hall.carried(1, 2).is_some());
}

#[test]
fn a_join_splices_both_ways_within_a_slot_and_a_part_ends_it() {
    let mut hall = Hall::new();
    hall.join(2, 9);
    assert_eq!(hall.relay.count("unknown_join"), 1);
    hall.knock(1, TOKEN, 9);
    hall.rest(4);
    hall.join(2, 9);
    for (from, to, arrives_us) in [(1, 2, 3_000), (2, 1, 11_000)] {
        let carried: Vec<(i64, u64)> = (0..5).filter_map(|_| hall.carried(from, to)).collect();
        assert!(carried.len() >= 4, "{carried:?}"); // One may give way to the junction's own speech.
        assert!(carried.windows(2).all(|pair| pair[0].0 == pair[1].0), "c is fixed: {carried:?}");
        // Due 5 ms after the earliest arrival, then at most a slot until the other circuit's slot.
        assert!(carried.iter().all(|(_, us)| (arrives_us + 5_000..arrives_us + 26_000).contains(us)), "{carried:?}");
    }
    // While spliced nobody else gets in, and repetitions do nothing.
    hall.join(2, 9);
    hall.knock(3, TOKEN, 8);
    hall.rest(60);
    hall.join(3, 8);
    assert_eq!(hall.relay.count("join_not_free"), 1, "nobody joins the own knock");
    hall.join(3, 9);
    assert_eq!(hall.relay.count("unknown_join"), 2, "a knock is joined once");
    assert!(hall.carried(1, 2).is_some() && hall.carried(3, 2).is_none());
    hall.part(1, 4);
    assert!(hall.carried(1, 2).is_some(), "another id parts nothing");
    hall.part(1, 9);
    assert!(hall.carried(1, 2).is_none() && hall.carried(2, 1).is_none());
    hall.join(2, 8);
    assert!(hall.carried(3, 2).is_some(), "both are free again");
}

#[test]
fn late_repetitions_of_a_knock_take_no_slot_of_the_call() {
    let mut hall = Hall::new();
    hall.knock(1, TOKEN, 9);
    hall.rest(4);
    let knocked = hall.knocked(2);
    // A repetition and the join in one slot: the knock still waits when the splice is made.
    hall.rest(1);
    let joins = [&[9; 16][..], &hall.ticket(9)].concat();
    let words = [(1, Kind::Knock, [&TOKEN[..], &[9; 16], &[0x5e; 184]].concat()), (2, Kind::Join, joins)];
    let mut bodies = [None; 3];
    for (circuit, kind, payload) in words {
        bodies[circuit - 1] = voicebox_core::speech::Carousel::new(kind as u8, hall.number(), payload).map(|mut said| said.next_body());
    }
    hall.feed(bodies);
    for _ in 0..5 {
        hall.rest(1);
        hall.knock(1, TOKEN, 9);
    }
    assert_eq!((hall.knocked(2), hall.relay.count("knock_spliced")), (knocked, 5));
    assert!(hall.carried(1, 2).is_some());
    hall.rest(60);
    hall.knock(3, TOKEN, 8);
    hall.rest(4);
    assert_eq!(hall.knocked(2), knocked + 1, "somebody else's knock is delivered in a call too");
}

#[test]
fn knocks_at_a_circuit_in_a_call_take_one_of_its_slots_in_fifty() {
    let mut hall = Hall::new();
    hall.knock(1, TOKEN, 9);
    hall.rest(4);
    hall.join(2, 9);
    assert!(hall.carried(1, 2).is_some());
    let before = hall.knocked(2);
    for _ in 0..100 {
        hall.knock(3, TOKEN, 8);
        hall.rest(1);
    }
    assert_eq!(hall.knocked(2) - before, 4, "200 slots");
    hall.part(1, 9);
    hall.part(2, 9);
    let before = hall.knocked(2);
    for _ in 0..10 {
        hall.knock(3, TOKEN, 8);
        hall.rest(3);
    }
    assert!(hall.knocked(2) - before >= 9, "outside a call as often as it comes");
}

#[test]
fn whoever_joins_or_knocks_anew_leaves_what_it_was_in() {
    let mut hall = Hall::new();
    hall.leave(3, [0x73; 16]);
    hall.knock(1, TOKEN, 9);
    hall.rest(4);
    hall.join(2, 9);
    hall.knock(3, TOKEN, 8);
    hall.rest(60);
    hall.join(2, 8);
    assert!(hall.carried(1, 2).is_none() && hall.carried(3, 2).is_some());
    hall.knock(2, [0x73; 16], 7);
    assert!(hall.carried(3, 2).is_none());
    hall.rest(60);
    hall.join(3, 7);
    assert!(hall.carried(3, 2).is_some());
}

type Try = (&'static str, fn(&mut Hall));

/// Circuit 1 knocks at 2, which joins or does not. What circuit 1, and circuit 3 beside it, then get of the junction is the same to the slot.
#[test]
fn whoever_knocked_cannot_find_out_whether_it_was_joined() {
    let (own, beside) = ([0x71; 16], [0x73; 16]);
    let tries: [Try; 8] = [
        ("waits for long", |hall| hall.rest(600)),
        ("joins in its place", |hall| hall.say_whole(3, Kind::Join, [9; 24].to_vec())),
        ("uses the same id", |hall| hall.knock(3, [0x71; 16], 9)),
        ("is knocked at", |hall| {
            for _ in 0..80 {
                hall.knock(3, [0x71; 16], 8);
                hall.rest(1);
            }
        }),
        ("repeats at another token", |hall| hall.knock(1, [0x73; 16], 9)),
        ("takes the token away", |hall| {
            hall.leave(3, TOKEN);
            hall.knock(1, TOKEN, 9);
        }),
        ("knocks elsewhere", |hall| {
            hall.knock(1, [0x73; 16], 7);
            hall.rest(5);
            hall.join(3, 7);
        }),
        ("joins elsewhere", |hall| {
            hall.knock(3, [0x71; 16], 6);
            hall.rest(60);
            hall.join(1, 6);
        }),
    ];
    for (what, attempt) in tries {
        let seen: Vec<_> = [false, true]
            .map(|joined| {
                let mut hall = Hall::new();
                hall.leave(1, own);
                hall.leave(3, beside);
                hall.knock(1, TOKEN, 9);
                hall.rest(5);
                if joined {
                    hall.join(2, 9);
                    assert!(hall.carried(1, 2).is_some());
                } else {
                    hall.rest(5);
                }
                attempt(&mut hall);
                hall.rest(60);
                (
                    hall.carried(1, 3).is_some(),
                    hall.carried(3, 1).is_some(),
                    hall.heard(1),
                    hall.heard(3),
                    hall.relay.left.iter().filter(|left| left.circuit != 2).count(),
                )
            })
            .into();
        assert!(seen[0] == seen[1], "{what}");
        assert_eq!(seen[0].0, what.ends_with("elsewhere"), "{what}");
    }
}

#[test]
fn an_old_knock_is_forgotten_and_so_is_what_a_gone_circuit_left() {
    let mut hall = Hall::new();
    hall.knock(1, TOKEN, 1);
    hall.rest(514);
    hall.join(2, 1);
    assert_eq!(hall.relay.count("unknown_join"), 1);
    hall.knock(1, TOKEN, 2);
    hall.rest(4);
    hall.join(2, 2);
    assert!(hall.carried(1, 2).is_some());
    hall.say_whole(2, Kind::Extend, vec![0; Kind::Extend.payload_octets()]); // not for a junction: circuit 2 ends
    assert_eq!(hall.relay.core.circuits(), 2);
    let before = hall.relay.left.len();
    hall.rest(10);
    let own: Vec<u32> = hall.relay.left[before..].iter().map(|left| left.circuit).collect();
    assert_eq!((own.iter().filter(|circuit| **circuit == 1).count(), own.contains(&2)), (10, false), "the other goes on with filler");
    hall.rest(2);
    hall.knock(1, TOKEN, 3);
    assert_eq!(hall.relay.count("unknown_token"), 1);
    hall.relay.give(Input::LinkDown { link: FROM });
    assert_eq!(hall.relay.core.circuits(), 0);
    let silent = hall.relay.left.len();
    hall.relay.wait(10 * SLOT_US);
    assert_eq!(hall.relay.left.len(), silent);
}

#[test]
fn speech_of_the_junction_never_shows_outside_the_layer() {
    let mut hall = Hall::new();
    let before = hall.relay.left.len();
    for _ in 0..10 {
        hall.knock(1, TOKEN, 1);
        hall.rest(4);
    }
    assert!(hall.relay.left[before..].iter().all(|left| !shows_zeros(&left.body)));
    assert_eq!(hall.knocked(2), 10);
}
