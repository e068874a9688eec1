//! Two associations and a wire that loses, delays and reorders, in virtual time. Seeds are in the failure texts.

mod dice;

use std::net::IpAddr;

use boring::asn1::Asn1Time;
use boring::bn::BigNum;
use boring::ec::{EcGroup, EcKey};
use boring::hash::MessageDigest;
use boring::nid::Nid;
use boring::pkey::PKey;
use boring::x509::X509Builder;
use dice::Dice;
use voicebox_dtls::{
    hello, Association, BoringAssociation, Cookie, CookieJar, Dial, Dialer, Error, Identity, Listener, Received, State, CELL_OCTETS, COOKIE_OCTETS,
    HELLO_NUMBER_OCTETS, HELLO_OCTETS, KIND_FIRST, MAX_DATAGRAM_OCTETS, RECORD_OCTETS,
};

const ADDRESS: &[u8] = b"an address";
const PIN: [u8; 32] = [6; 32];
const NUMBER: [u8; HELLO_NUMBER_OCTETS] = [3; HELLO_NUMBER_OCTETS];

fn identity() -> (Vec<u8>, Vec<u8>) {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("P-256 is built in");
    let key = PKey::from_ec_key(EcKey::generate(&group).expect("a key is drawn")).expect("an EC key fits");
    let mut builder = X509Builder::new().expect("memory");
    builder.set_version(2).expect("version 3");
    let serial = BigNum::from_u32(1).and_then(|number| number.to_asn1_integer()).expect("memory");
    builder.set_serial_number(&serial).expect("memory");
    builder.set_not_before(&Asn1Time::days_from_now(0).expect("now")).expect("memory");
    builder.set_not_after(&Asn1Time::days_from_now(1).expect("tomorrow")).expect("memory");
    builder.set_pubkey(&key).expect("the key fits");
    builder.sign(&key, MessageDigest::sha256()).expect("the key signs");
    (builder.build().to_der().expect("DER"), key.private_key_to_der_pkcs8().expect("DER"))
}

struct Wire {
    dice: Dice,
    loss_percent: u64,
    jitter_us: u64,
    flying: Vec<(u64, bool, Vec<u8>)>,
    sent: [Vec<usize>; 2],
    first_cell: [Option<usize>; 2],
}

impl Wire {
    fn send(&mut self, now: u64, forward: bool, datagram: Vec<u8>) {
        self.sent[usize::from(!forward)].push(datagram.len());
        if self.dice.below(100) >= self.loss_percent {
            let delay = 5_000 + self.dice.below(self.jitter_us + 1);
            self.flying.push((now + delay, forward, datagram));
        }
    }

    fn arrived(&mut self, now: u64) -> Vec<(bool, Vec<u8>)> {
        let mut out = Vec::new();
        self.flying.sort_by_key(|(at, _, _)| *at);
        while self.flying.first().is_some_and(|(at, _, _)| *at <= now) {
            let (_, forward, datagram) = self.flying.remove(0);
            out.push((forward, datagram));
        }
        out
    }
}

struct Pair {
    dialled: Dial<BoringAssociation>,
    listener: Listener,
    jar: CookieJar,
    accepted: Option<(Cookie, BoringAssociation)>,
    wire: Wire,
    cells: [u32; 2],
    now: u64,
}

impl Pair {
    fn new(seed: u64, loss_percent: u64, jitter_us: u64, shows: bool, right_pin: bool) -> Self {
        let (certificate, key) = identity();
        let server = Identity::from_der(&certificate, &key).expect("just made");
        let mut pin = server.pin().expect("just made");
        let hello = hello(&pin, NUMBER).expect("the library works");
        pin[0] ^= u8::from(!right_pin);
        let client = identity();
        let client = shows.then(|| Identity::from_der(&client.0, &client.1).expect("just made"));
        let dialer = Dialer::new(client.as_ref()).expect("settings are taken");
        Self {
            dialled: Dial::new(0, hello, move |now| dialer.connect(pin, now)),
            listener: Listener::new(&server).expect("settings are taken"),
            jar: CookieJar::new([7; 32]),
            accepted: None,
            wire: Wire { dice: Dice(seed * 2 + 1), loss_percent, jitter_us, flying: Vec::new(), sent: [Vec::new(), Vec::new()], first_cell: [None, None] },
            cells: [0, 0],
            now: 0,
        }
    }

    fn at_listener(&mut self, datagram: &[u8]) {
        let mut cell = [0; CELL_OCTETS];
        match datagram[0] {
            1 => {
                let answer = self.jar.answer(self.now, ADDRESS, self.listener.pin(), datagram).expect("a hello of ours");
                self.wire.send(self.now, false, answer.to_vec());
            }
            KIND_FIRST => {
                let cookie: Cookie = datagram[1..=COOKIE_OCTETS].try_into().expect("length");
                if self.accepted.is_none() {
                    assert!(self.jar.accepts(self.now, ADDRESS, &cookie));
                    self.accepted = Some((cookie, self.listener.accept(self.now).expect("settings are taken")));
                }
                if let Some((_, accepted)) = self.accepted.as_mut() {
                    accepted.handle_datagram(self.now, &datagram[COOKIE_OCTETS + 1..], &mut cell);
                }
            }
            _ => {
                if let Some((_, accepted)) = self.accepted.as_mut() {
                    if accepted.handle_datagram(self.now, datagram, &mut cell) == Received::Cell {
                        self.cells[1] += 1;
                    }
                }
            }
        }
    }

    /// One millisecond: what arrived, timers, and every 20 ms a cell each way where it may be.
    fn step(&mut self) {
        self.now += 1_000;
        let mut cell = [0; CELL_OCTETS];
        for (forward, datagram) in self.wire.arrived(self.now) {
            if forward {
                self.at_listener(&datagram);
            } else if self.dialled.handle_datagram(self.now, &datagram, &mut cell) == Received::Cell {
                self.cells[0] += 1;
            }
        }
        let mut sides: Vec<(bool, &mut dyn Association)> = vec![(true, &mut self.dialled)];
        if let Some((_, accepted)) = self.accepted.as_mut() {
            sides.push((false, accepted));
        }
        for (forward, side) in sides {
            if side.next_timeout(self.now).is_some_and(|at| at <= self.now) {
                side.handle_timeout(self.now);
            }
            while let Some(datagram) = side.poll_datagram() {
                assert!(datagram.len() <= MAX_DATAGRAM_OCTETS);
                self.wire.send(self.now, forward, datagram);
            }
            if self.now % 20_000 == 0 && side.state() == State::Open {
                let mut datagram = [0; RECORD_OCTETS];
                side.seal(&[9; CELL_OCTETS], &mut datagram).expect("it is open");
                let before = self.wire.sent[usize::from(!forward)].len();
                self.wire.first_cell[usize::from(!forward)].get_or_insert(before);
                self.wire.send(self.now, forward, datagram.to_vec());
            }
        }
    }

    fn run(&mut self, milliseconds: u32) {
        for _ in 0..milliseconds {
            self.step();
        }
    }

    fn listener_state(&self) -> Option<State> {
        self.accepted.as_ref().map(|(_, accepted)| accepted.state())
    }
}

/// From the first cell on, in each direction, nothing of another length. Returns how many cells were sent.
fn assert_one_length(wire: &Wire, seed: u64) -> usize {
    let mut cells = 0;
    for (sent, first_cell) in wire.sent.iter().zip(wire.first_cell) {
        let Some(first_cell) = first_cell else { continue };
        cells += sent.len() - first_cell;
        assert!(sent[first_cell..].iter().all(|&octets| octets == RECORD_OCTETS), "seed {seed}: other lengths among cells: {sent:?}");
    }
    cells
}

#[test]
fn cells_flow_both_ways_and_have_one_length() {
    let mut pair = Pair::new(1, 0, 0, false, true);
    pair.run(5_000);
    assert!(pair.cells.iter().all(|&cells| cells > 200), "{:?}", pair.cells);
    assert_eq!(pair.dialled.state(), State::Open);
    let (_, accepted) = pair.accepted.as_ref().expect("it came");
    assert_eq!(accepted.peer_pin(), None, "a box shows no certificate");
    assert!(assert_one_length(&pair.wire, 1) > 400);
    // Hello, two fragments of the ClientHello, Finished: no more datagrams than that before the cells.
    println!("forward {:?} backward {:?}", &pair.wire.sent[0][..6], &pair.wire.sent[1][..6]);
}

#[test]
fn a_relay_shows_its_key() {
    let mut pair = Pair::new(1, 0, 0, true, true);
    pair.run(1_000);
    let (_, accepted) = pair.accepted.as_ref().expect("it came");
    assert_eq!(accepted.state(), State::Open);
    assert!(accepted.peer_pin().is_some());
    assert_ne!(accepted.peer_pin(), pair.dialled.peer_pin());
}

#[test]
fn with_loss_and_reordering_nothing_follows_the_first_cell_but_cells() {
    let (mut opened, mut repeated, mut cells) = (0, 0, 0);
    for seed in 1..=200 {
        let mut pair = Pair::new(seed, 20, 60_000, seed % 2 == 0, true);
        pair.run(9_000);
        cells += assert_one_length(&pair.wire, seed);
        opened += usize::from(pair.dialled.state() == State::Open && pair.listener_state() == Some(State::Open));
        // A Finished said twice is answered with an ACK twice; the test is void if that never happens.
        repeated += usize::from(pair.wire.first_cell[0].is_some_and(|first| first > 4));
    }
    println!("opened {opened} of 200, {repeated} of them after repeating; {cells} cells");
    assert!(opened >= 190 && repeated >= 50, "opened {opened}, repeated {repeated}");
}

#[test]
fn another_key_than_the_pinned_one_fails_in_silence() {
    let mut pair = Pair::new(1, 0, 0, false, false);
    pair.run(300);
    assert_eq!(pair.dialled.state(), State::Failed);
    let sent = pair.wire.sent[0].len();
    pair.run(11_000);
    assert_eq!(pair.wire.sent[0].len(), sent, "no alert, nothing");
    assert_eq!(pair.listener_state(), Some(State::Failed), "the listener gives up too");
}

#[test]
fn a_dial_without_an_answer_ends() {
    let mut pair = Pair::new(1, 100, 0, false, true);
    pair.run(9_000);
    assert_eq!(pair.dialled.state(), State::Handshaking);
    pair.run(2_000);
    assert_eq!(pair.dialled.state(), State::Failed);
    assert_eq!(pair.wire.sent[0], [HELLO_OCTETS; 20]);
}

fn open_pair() -> (Dial<BoringAssociation>, BoringAssociation) {
    let mut pair = Pair::new(1, 0, 0, false, true);
    pair.run(500);
    let (_, accepted) = pair.accepted.expect("it came");
    (pair.dialled, accepted)
}

#[test]
fn each_record_is_taken_once_in_any_order() {
    let (mut dialled, mut accepted) = open_pair();
    let mut records = Vec::new();
    for number in 0..200u8 {
        let mut datagram = [0; RECORD_OCTETS];
        dialled.seal(&[number; CELL_OCTETS], &mut datagram).expect("open");
        records.push(datagram);
    }
    let mut cell = [0; CELL_OCTETS];
    for number in (0..200u8).rev() {
        assert_eq!(accepted.handle_datagram(600_000, &records[usize::from(number)], &mut cell), Received::Cell);
        assert_eq!(cell, [number; CELL_OCTETS]);
    }
    for record in &records {
        assert_eq!(accepted.handle_datagram(600_000, record, &mut cell), Received::Invalid, "a replay");
    }
    assert_eq!(accepted.state(), State::Open);
}

#[test]
fn a_flip_of_any_octet_is_dropped_and_harms_nothing() {
    let (mut dialled, mut accepted) = open_pair();
    let mut cell = [0; CELL_OCTETS];
    let mut datagram = [0; RECORD_OCTETS];
    dialled.seal(&[5; CELL_OCTETS], &mut datagram).expect("open");
    for octet in 0..RECORD_OCTETS {
        let mut flipped = datagram;
        flipped[octet] ^= 1;
        assert_ne!(accepted.handle_datagram(600_000, &flipped, &mut cell), Received::Cell, "octet {octet}");
    }
    for length in [0, 1, 64, 277, 279, 1_200] {
        assert_eq!(accepted.handle_datagram(600_000, &vec![32; length], &mut cell), Received::Misfit);
    }
    assert_eq!(accepted.handle_datagram(600_000, &datagram, &mut cell), Received::Cell);
    assert!(accepted.poll_datagram().is_none());
}

#[test]
fn random_datagrams_during_the_handshake_are_survived() {
    let mut dice = Dice(99);
    let mut kinds = [0u32; 2];
    for _ in 0..300 {
        let (certificate, key) = identity();
        let server = Identity::from_der(&certificate, &key).expect("just made");
        let mut accepted = Listener::new(&server).and_then(|listener| listener.accept(0)).expect("settings are taken");
        for _ in 0..40 {
            let mut datagram: Vec<u8> = (0..dice.below(1_300)).map(|_| dice.below(256) as u8).collect();
            if let (Some(first), true) = (datagram.first_mut(), dice.below(4) > 0) {
                *first = [22, 32, 47][dice.below(3) as usize];
            }
            let received = accepted.handle_datagram(1, &datagram, &mut [0; CELL_OCTETS]);
            kinds[usize::from(received == Received::Handshake)] += 1;
            assert_ne!(received, Received::Cell);
            assert!(accepted.state() == State::Handshaking || accepted.state() == State::Failed);
            if accepted.state() == State::Failed {
                assert!(accepted.poll_datagram().is_none(), "no alert");
            }
        }
    }
    println!("dropped, handed to the library: {kinds:?}");
    assert!(kinds.iter().all(|&count| count > 0));
}

#[test]
fn a_cookie_is_good_for_its_address_and_ten_seconds() {
    let jar = CookieJar::new([1; 32]);
    let mut hello = hello(&PIN, NUMBER).expect("the library works");
    let answer = jar.answer(5_000_000, ADDRESS, &PIN, &hello).expect("a hello");
    let cookie: Cookie = answer[1..=COOKIE_OCTETS].try_into().expect("length");
    assert!(jar.accepts(5_000_000, ADDRESS, &cookie));
    assert!(jar.accepts(15_000_000, ADDRESS, &cookie));
    assert!(!jar.accepts(16_000_000, ADDRESS, &cookie), "too old");
    assert!(!jar.accepts(4_000_000, ADDRESS, &cookie), "from the future");
    assert!(!jar.accepts(5_000_000, b"another one", &cookie));
    assert!(!CookieJar::new([2; 32]).accepts(5_000_000, ADDRESS, &cookie));
    for octet in 0..COOKIE_OCTETS {
        let mut flipped = cookie;
        flipped[octet] ^= 1;
        assert!(!jar.accepts(5_000_000, ADDRESS, &flipped), "octet {octet}");
    }
    assert!(jar.answer(0, ADDRESS, &PIN, &hello[1..]).is_none());
    assert!(jar.answer(0, ADDRESS, &[7; 32], &hello).is_none(), "who does not know the pin hears nothing");
    for octet in 0..HELLO_OCTETS {
        hello[octet] ^= 1;
        assert!(jar.answer(0, ADDRESS, &PIN, &hello).is_none(), "octet {octet}");
        hello[octet] ^= 1;
    }
    let mut zeros = [0; HELLO_OCTETS];
    zeros[0] = 1;
    assert!(jar.answer(0, ADDRESS, &PIN, &zeros).is_none());
}

#[test]
fn a_reach_is_answered_to_the_port_it_names_and_needs_a_cookie() {
    let jar = CookieJar::new([1; 32]);
    let hello = hello(&PIN, NUMBER).expect("the library works");
    let cookie = jar.answer(5_000_000, ADDRESS, &PIN, &hello).expect("a hello");
    let mut reach = [0; HELLO_OCTETS];
    reach[0] = 4;
    reach[1..=COOKIE_OCTETS].copy_from_slice(&cookie[1..=COOKIE_OCTETS]);
    reach[21..23].copy_from_slice(&40_000u16.to_be_bytes());
    reach[23..39].fill(9);
    let (v4, v6) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]));
    let (port, told) = jar.reached(6_000_000, ADDRESS, v4, &reach).expect("a reach");
    assert_eq!((port, told[0], &told[1..17]), (40_000, 5, &[9; 16][..]));
    assert_eq!(told[17..33], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1]);
    assert_eq!(told[33..], [0; 31]);
    assert_eq!(jar.reached(6_000_000, ADDRESS, v6, &reach).expect("a reach").1[17..21], [0x20, 0x01, 0x0d, 0xb8]);
    assert!(jar.reached(16_000_000, ADDRESS, v4, &reach).is_none(), "an old cookie");
    assert!(jar.reached(6_000_000, b"another one", v4, &reach).is_none(), "another's cookie");
    assert!(jar.reached(6_000_000, ADDRESS, v4, &reach[..63]).is_none());
    for octet in (0..=COOKIE_OCTETS).chain(39..HELLO_OCTETS) {
        reach[octet] ^= 1;
        assert!(jar.reached(6_000_000, ADDRESS, v4, &reach).is_none(), "octet {octet}");
        reach[octet] ^= 1;
    }
    reach[21..23].fill(0);
    assert!(jar.reached(6_000_000, ADDRESS, v4, &reach).is_none(), "no port");
}

#[test]
fn nothing_is_sealed_before_the_link_is_open() {
    let (certificate, key) = identity();
    let server = Identity::from_der(&certificate, &key).expect("just made");
    let mut accepted = Listener::new(&server).and_then(|listener| listener.accept(0)).expect("settings are taken");
    assert_eq!(accepted.seal(&[0; CELL_OCTETS], &mut [0; RECORD_OCTETS]), Err(Error::NotOpen));
    let (_, other_key) = identity();
    assert_eq!(Identity::from_der(&certificate, &other_key).err(), Some(Error::Mismatch));
    assert_eq!(Identity::from_der(&certificate[1..], &key).err(), Some(Error::Certificate));
    assert_eq!(Identity::from_der(&certificate, &key[1..]).err(), Some(Error::Key));
}
