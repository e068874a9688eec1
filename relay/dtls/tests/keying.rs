//! Two sides of a handshake for SRTP and a wire that loses, in virtual time. Seeds are in the failure texts.

mod dice;

use boring::hash::MessageDigest;
use boring::x509::X509;
use dice::Dice;
use voicebox_dtls::{Fingerprint, Identity, Keying, KeyingState, Keys};
use voicebox_srtp::{Receiver, Sender};

fn fingerprint(identity: &Identity) -> Fingerprint {
    Fingerprint::new("sha-256", &identity.fingerprint().expect("a digest")).expect("32 octets")
}

/// A box that says hello and a phone, or the other way round.
struct Pair {
    sides: [Keying; 2],
    keys: [Option<Keys>; 2],
    now: u64,
    flying: Vec<(u64, usize, Vec<u8>)>,
    dice: Dice,
    loss_percent: u64,
    lengths: Vec<usize>,
}

impl Pair {
    fn new(expected: impl Fn(usize, &[Identity; 2]) -> Fingerprint, loss_percent: u64, seed: u64) -> Self {
        let identities = [Identity::fresh().expect("a key"), Identity::fresh().expect("a key")];
        let side = |at: usize| Keying::new(&identities[at], at == 0, expected(at, &identities), 0).expect("the library works");
        Self { sides: [side(0), side(1)], keys: [None, None], now: 0, flying: Vec::new(), dice: Dice(seed * 2 + 1), loss_percent, lengths: Vec::new() }
    }

    fn say(&mut self) {
        for at in 0..2 {
            while let Some(datagram) = self.sides[at].poll_datagram() {
                self.lengths.push(datagram.len());
                if self.dice.below(100) >= self.loss_percent {
                    self.flying.push((self.now + 1_000 + self.dice.below(3_000), 1 - at, datagram));
                }
            }
        }
    }

    /// Let time pass until nothing happens any more.
    fn run(&mut self, until: u64) {
        loop {
            self.say();
            let arrival = self.flying.iter().map(|(at, ..)| *at).min();
            let timer = self.sides.iter().filter_map(|side| side.next_timeout(self.now)).min();
            let Some(next) = [arrival, timer].into_iter().flatten().min().filter(|at| *at <= until) else { return };
            self.now = self.now.max(next);
            let now = self.now;
            let (due, later) = std::mem::take(&mut self.flying).into_iter().partition(|(at, ..)| *at <= now);
            self.flying = later;
            let due: Vec<(u64, usize, Vec<u8>)> = due;
            for (_, to, datagram) in due {
                if let Some(keys) = self.sides[to].handle_datagram(now, &datagram) {
                    assert!(self.keys[to].replace(keys).is_none(), "keys come once");
                }
            }
            for side in &mut self.sides {
                if side.next_timeout(now).is_some_and(|at| at <= now) {
                    side.handle_timeout(now);
                }
            }
        }
    }

    fn states(&self) -> [KeyingState; 2] {
        [self.sides[0].state(), self.sides[1].state()]
    }
}

fn rtp() -> Vec<u8> {
    let mut packet = vec![0x80, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7];
    packet.extend_from_slice(&[0x55; 160]);
    packet
}

#[test]
fn both_sides_come_to_the_same_keys_whatever_is_lost() {
    for seed in 0..40 {
        let mut pair = Pair::new(|at, identities| fingerprint(&identities[1 - at]), if seed < 4 { 0 } else { 20 }, seed);
        pair.run(19_000_000);
        assert_eq!(pair.states(), [KeyingState::Standing; 2], "seed {seed}");
        let [Some(one), Some(other)] = pair.keys else { panic!("no keys, seed {seed}") };
        for (from, to) in [(one.send.clone(), other.receive.clone()), (other.send.clone(), one.receive.clone())] {
            let sealed = Sender::new(from).protect(&rtp()).expect("fresh");
            assert_eq!(sealed.len(), rtp().len() + 16, "AEAD_AES_128_GCM, the first of the list");
            assert_eq!(Receiver::new(to).unprotect(&sealed), Ok(rtp()));
        }
        assert!(one.send != one.receive);
        assert!(pair.lengths.iter().all(|length| *length <= 1_200));
    }
}

#[test]
fn another_certificate_than_the_one_of_sdp_gives_no_keys() {
    for wrong in 0..2 {
        let stranger = Identity::fresh().expect("a key");
        let expected = |at: usize, identities: &[Identity; 2]| if at == wrong { fingerprint(&stranger) } else { fingerprint(&identities[1 - at]) };
        let mut pair = Pair::new(expected, 0, 1);
        pair.run(30_000_000);
        assert_eq!(pair.states()[wrong], KeyingState::Failed);
        assert!(pair.keys[wrong].is_none());
    }
}

#[test]
fn a_phone_that_says_nothing_is_given_up() {
    let mut pair = Pair::new(|at, identities| fingerprint(&identities[1 - at]), 100, 1);
    pair.run(60_000_000);
    assert_eq!(pair.states(), [KeyingState::Failed; 2]);
    assert!(pair.sides.iter().all(Keying::is_unheard));
    assert!(pair.now <= 20_000_000);
    assert!(pair.lengths.len() < 20, "{} datagrams into the void", pair.lengths.len());
}

#[test]
fn noise_and_alerts_in_the_clear_change_nothing() {
    let mut pair = Pair::new(|at, identities| fingerprint(&identities[1 - at]), 0, 1);
    for noise in [&b""[..], &[0x80; 40], &[21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40], &[23; 60]] {
        for side in &mut pair.sides {
            assert!(side.handle_datagram(0, noise).is_none());
            assert!(side.is_unheard());
        }
    }
    pair.run(5_000_000);
    assert_eq!(pair.states(), [KeyingState::Standing; 2]);
}

#[test]
fn a_last_flight_that_was_lost_is_said_again_but_not_for_ever() {
    let mut pair = Pair::new(|at, identities| fingerprint(&identities[1 - at]), 0, 1);
    // The phone answers; what it says last is lost each time.
    let mut flights = 0;
    for _ in 0..400 {
        while let Some(datagram) = pair.sides[0].poll_datagram() {
            pair.sides[1].handle_datagram(pair.now, &datagram);
        }
        if pair.sides[1].state() == KeyingState::Standing {
            flights += usize::from(std::iter::from_fn(|| pair.sides[1].poll_datagram()).count() > 0);
        } else {
            while let Some(datagram) = pair.sides[1].poll_datagram() {
                pair.sides[0].handle_datagram(pair.now, &datagram);
            }
        }
        if let Some(at) = pair.sides[0].next_timeout(pair.now) {
            pair.now = at;
            pair.sides[0].handle_timeout(at);
        }
    }
    assert!((2..20).contains(&flights), "{flights}");
    assert_eq!(pair.states(), [KeyingState::Failed, KeyingState::Standing]);
}

#[test]
fn certificates_differ_in_nothing_but_key_and_serial() {
    let one = Identity::fresh().expect("a key").certificate_der().expect("DER");
    let other = Identity::fresh().expect("a key").certificate_der().expect("DER");
    let (first, second) = (X509::from_der(&one).expect("X.509"), X509::from_der(&other).expect("X.509"));
    assert_ne!(first.digest(MessageDigest::sha256()).expect("a digest").as_ref(), second.digest(MessageDigest::sha256()).expect("a digest").as_ref());
    let told = |each: &X509| (each.subject_name().print_ex(0), each.issuer_name().print_ex(0), each.not_before().to_string(), each.not_after().to_string());
    assert_eq!(told(&first), told(&second));
    assert!(first.subject_alt_names().is_none());
}

#[test]
fn fingerprints_of_weak_hashes_and_other_lengths_are_none() {
    for (hash, length) in [("sha-1", 20), ("md5", 16), ("sha-256", 31), ("sha-256", 0), ("sha-512", 32), ("SHA-256", 32), ("", 32)] {
        assert!(Fingerprint::new(hash, &vec![0; length]).is_none(), "{hash} {length}");
    }
    for (hash, length) in [("sha-256", 32), ("sha-384", 48), ("sha-512", 64)] {
        assert!(Fingerprint::new(hash, &vec![0; length]).is_some());
    }
}
