//! The table of links: which datagram belongs to which association, and what becomes of associations (PROTOCOL.md §2).
//! No socket and no clock here: sockets are numbers, `now` comes in, datagrams to send go out.
//!
//! An address has at most two incoming links: the one that stands, and one that is being made (the peer started anew).
//! The new one takes the old one's place with its first cell, never earlier: until then it has proved nothing but an address.

mod heard;
mod ports;
mod rates;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

use voicebox_core::random::draw_u32;
use voicebox_core::{LinkKind, RandomSource};
use voicebox_dtls::{
    hello, Association, BoringAssociation, Cookie, CookieJar, Dial, Dialer, Listener, Pin, Received, State, COOKIE_OCTETS, FIRST_PREFIX_OCTETS,
    HELLO_NUMBER_OCTETS, KIND_COOKIE, KIND_FIRST, KIND_HELLO, KIND_REACH, RECORD_OCTETS,
};

use crate::bucket::{discards, Bucket};
use crate::counters::{Counter, Counters};
use crate::crowding::{address_octets, crowding};
use crate::datagrams::RawAddress;
use crate::random::Expanded;
use ports::PORT_TRIES_PER_S;
use rates::{Kind, Rates};

/// How many incoming handshakes may begin in a second: each costs about 0.3 ms of the thread that also sends the ticks.
const BEGIN_PER_S: u64 = 200;
/// Nodes a second that are told whether they are reachable.
const REACHES_PER_S: u64 = 20;
/// A hello from an address whose link is this fresh is a copy of an old one, or forged; a peer that started anew repeats its own.
const LIVE_US: u64 = 1_000_000;

/// A socket of this node, by number.
pub(crate) type SocketNumber = u32;

/// What the table has to say after a call.
pub(crate) enum Happening {
    /// Send this at once.
    Reply { socket: SocketNumber, to: SocketAddr, datagram: Vec<u8> },
    /// A link stands. certificate: what an incoming peer showed, DER.
    Up { link: u32, kind: LinkKind, incoming: bool, peer_pin: Option<Pin>, certificate: Option<Vec<u8>> },
    /// A link that was asked for did not come about.
    Failed { link: u32 },
    /// A link that stood is gone.
    Down { link: u32 },
}

struct Link {
    association: Box<dyn Association>,
    socket: SocketNumber,
    peer: SocketAddr,
    raw_peer: RawAddress,
    cookie: Option<Cookie>,
    incoming: bool,
    /// Of an incoming link only once it stands: a box shows no certificate.
    kind: LinkKind,
    stands: bool,
    last_valid_at: u64,
    rates: Rates,
    /// Nothing leaves on it any more.
    muted: bool,
}

impl Link {
    /// Begin one. cookie: what the other side showed, where that began it.
    fn new(now: u64, association: Box<dyn Association>, (socket, peer): (SocketNumber, SocketAddr), cookie: Option<Cookie>, kind: LinkKind) -> Self {
        let (raw_peer, incoming, rates) = (RawAddress::new(peer), cookie.is_some(), Rates::new(now, 1));
        Self { association, socket, peer, raw_peer, cookie, incoming, kind, stands: false, last_valid_at: now, rates, muted: false }
    }
}

#[derive(Default)]
struct Place {
    standing: Option<u32>,
    coming: Option<u32>,
}

/// All links of a node.
pub(crate) struct Links {
    jar: CookieJar,
    listeners: HashMap<SocketNumber, Listener>,
    links: HashMap<u32, Link>,
    places: HashMap<(SocketNumber, SocketAddr), Place>,
    /// Links that do not stand yet, of both kinds: the only ones with timers.
    coming: Vec<u32>,
    numbers: Arc<AtomicU32>,
    max_links: usize,
    max_circuits: u64,
    idle_us: u64,
    /// Handshakes that may still begin.
    allowance: Bucket,
    reaches: Bucket,
    port_tries: Bucket,
    overall: Rates,
    random: Expanded,
    pub(crate) happenings: Vec<Happening>,
}

impl Links {
    /// Begin without links. max_links: beside those of max_circuits boxes, which have a circuit each.
    pub(crate) fn new(secret: [u8; 32], random: Expanded, numbers: Arc<AtomicU32>, max_circuits: u32, more_links: usize, idle_us: u64) -> Self {
        let circuits = u64::from(max_circuits);
        Self {
            jar: CookieJar::new(secret),
            listeners: HashMap::new(),
            links: HashMap::new(),
            places: HashMap::new(),
            coming: Vec::new(),
            numbers,
            max_links: max_circuits as usize + more_links,
            max_circuits: circuits,
            idle_us,
            allowance: Bucket::new(0, BEGIN_PER_S),
            reaches: Bucket::new(0, REACHES_PER_S),
            port_tries: Bucket::new(0, PORT_TRIES_PER_S),
            // A circuit has two links at most, and a relay link a cell of link control each second.
            overall: Rates::new(0, 2 * circuits + more_links as u64),
            random,
            happenings: Vec::new(),
        }
    }

    /// Let so many cells a second pass each way, as far as fast ones can give way.
    pub(crate) fn limit(&mut self, per_s: Option<u64>) {
        self.overall.limit(per_s);
    }

    pub(crate) fn listen(&mut self, socket: SocketNumber, listener: Listener) {
        self.listeners.insert(socket, listener);
    }

    pub(crate) fn count(&self) -> (usize, usize) {
        (self.links.len() - self.coming.len(), self.coming.len())
    }

    /// Begin an outgoing link. Its first datagram is among the happenings.
    pub(crate) fn connect(&mut self, now: u64, link: u32, socket: SocketNumber, peer: SocketAddr, pin: Pin, dialer: Dialer, kind: LinkKind) {
        let mut number = [0; HELLO_NUMBER_OCTETS];
        self.random.fill(&mut number);
        let Some(hello) = hello(&pin, number).filter(|_| self.links.len() < self.max_links) else {
            self.happenings.push(Happening::Failed { link });
            return;
        };
        let association = Box::new(Dial::<BoringAssociation>::new(now, hello, move |now| dialer.connect(pin, now)));
        self.insert(link, Link::new(now, association, (socket, peer), None, kind));
        self.settle(now, link);
    }

    fn insert(&mut self, number: u32, link: Link) {
        let place = self.places.entry((link.socket, link.peer)).or_default();
        let former = place.coming.replace(number);
        self.links.insert(number, link);
        self.coming.push(number);
        if let Some(former) = former {
            self.forget(former);
        }
    }

    /// Take a datagram. Where it was a cell, it is left in `cell` and the link's number is returned.
    pub(crate) fn receive(
        &mut self,
        now: u64,
        socket: SocketNumber,
        from: SocketAddr,
        datagram: &[u8],
        cell: &mut [u8; 256],
        counters: &mut Counters,
    ) -> Option<u32> {
        let kind = datagram.first().copied().unwrap_or(0);
        match kind {
            KIND_HELLO => self.take_hello(now, socket, from, datagram, counters),
            KIND_FIRST => self.take_first(now, socket, from, datagram, cell, counters),
            KIND_REACH => self.take_reach(now, socket, from, datagram, counters),
            KIND_COOKIE => {
                let place = self.places.get(&(socket, from)).and_then(|place| place.coming);
                match place.filter(|link| self.links.get(link).is_some_and(|link| !link.incoming)) {
                    Some(link) => {
                        self.feed(now, link, datagram, cell, counters);
                    }
                    None => counters.add(Counter::UnknownAddress),
                }
            }
            20..=63 => return self.take_dtls(now, socket, from, datagram, cell, counters),
            _ => counters.add(Counter::UnknownKind),
        }
        None
    }

    fn take_hello(&mut self, now: u64, socket: SocketNumber, from: SocketAddr, datagram: &[u8], counters: &mut Counters) {
        let Some(listener) = self.listeners.get(&socket) else { return counters.add(Counter::UnknownAddress) };
        let standing = self.places.get(&(socket, from)).and_then(|place| place.standing);
        if standing.and_then(|link| self.links.get(&link)).is_some_and(|link| now < link.last_valid_at + LIVE_US) {
            return counters.add(Counter::HelloOfLiveLink);
        }
        match self.jar.answer(now, &address_octets(from), listener.pin(), datagram) {
            Some(answer) => {
                counters.add(Counter::CookiesGiven);
                self.happenings.push(Happening::Reply { socket, to: from, datagram: answer.to_vec() });
            }
            None => counters.add(Counter::BadHello),
        }
    }

    /// Send one datagram to another port of an address that has shown that it receives, where it asks for that: what comes there shows that the port is reachable.
    fn take_reach(&mut self, now: u64, socket: SocketNumber, from: SocketAddr, datagram: &[u8], counters: &mut Counters) {
        if !self.listeners.contains_key(&socket) {
            return counters.add(Counter::UnknownAddress);
        }
        match self.jar.reached(now, &address_octets(from), from.ip(), datagram) {
            Some((port, answer)) if self.reaches.take(now) => {
                counters.add(Counter::ReachesAnswered);
                let mut to = from;
                to.set_port(port);
                self.happenings.push(Happening::Reply { socket, to, datagram: answer.to_vec() });
            }
            _ => counters.add(Counter::BadReach),
        }
    }

    fn take_first(&mut self, now: u64, socket: SocketNumber, from: SocketAddr, datagram: &[u8], cell: &mut [u8; 256], counters: &mut Counters) {
        if datagram.len() <= FIRST_PREFIX_OCTETS {
            return counters.add(Counter::UnknownKind);
        }
        let mut cookie = [0; COOKIE_OCTETS];
        cookie.copy_from_slice(&datagram[1..FIRST_PREFIX_OCTETS]);
        let coming = self.places.get(&(socket, from)).and_then(|place| place.coming);
        let same = coming.filter(|link| self.links.get(link).is_some_and(|link| link.cookie == Some(cookie)));
        let link = match same {
            Some(link) => link,
            None => {
                let Some(link) = self.begin(now, socket, from, cookie, counters) else { return };
                link
            }
        };
        self.feed(now, link, &datagram[FIRST_PREFIX_OCTETS..], cell, counters);
    }

    /// Begin an incoming association, where the cookie is good and there is room.
    fn begin(&mut self, now: u64, socket: SocketNumber, from: SocketAddr, cookie: Cookie, counters: &mut Counters) -> Option<u32> {
        let Some(listener) = self.listeners.get(&socket) else {
            counters.add(Counter::UnknownAddress);
            return None;
        };
        if !self.jar.accepts(now, &address_octets(from), &cookie) {
            counters.add(Counter::BadCookie);
            return None;
        }
        let coming = self.coming.iter().filter_map(|link| Some(self.links.get(link)?.peer.ip()));
        let fullness = self.allowance.emptiness(now).max(crowding(coming, from.ip()));
        if fullness < 1_000 && discards(fullness, draw_u32(&mut self.random)) {
            counters.add(Counter::HandshakesDiscarded);
            return None;
        }
        if fullness >= 1_000 || self.links.len() >= self.max_links || !self.allowance.take(now) {
            counters.add(Counter::HandshakesRefused);
            return None;
        }
        let association = match listener.accept(now) {
            Ok(association) => Box::new(association),
            Err(_) => {
                counters.add(Counter::HandshakesRefused);
                return None;
            }
        };
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        self.insert(number, Link::new(now, association, (socket, from), Some(cookie), LinkKind::AccessGuard));
        Some(number)
    }

    fn take_dtls(&mut self, now: u64, socket: SocketNumber, from: SocketAddr, datagram: &[u8], cell: &mut [u8; 256], counters: &mut Counters) -> Option<u32> {
        let Some(place) = self.places.get(&(socket, from)) else {
            return self.take_from_another_port(now, socket, from, datagram, cell, counters);
        };
        let (standing, coming) = (place.standing, place.coming);
        if let Some(link) = standing.filter(|_| datagram.len() == RECORD_OCTETS || coming.is_none()) {
            let received = self.feed(now, link, datagram, cell, counters);
            if received == Received::Cell {
                return self.within_rate(now, link, cell, counters);
            }
            if coming.is_none() {
                counters.add(if received == Received::Misfit { Counter::WrongLength } else { Counter::InvalidRecord });
                return None;
            }
        }
        let link = coming?;
        if self.feed(now, link, datagram, cell, counters) == Received::Cell {
            return self.within_rate(now, link, cell, counters);
        }
        None
    }

    /// Let a valid cell pass where its link, and all links together, have brought no more than they may. Only what authenticated is charged: nobody else can spend it.
    fn within_rate(&mut self, now: u64, number: u32, cell: &[u8; 256], counters: &mut Counters) -> Option<u32> {
        let (link, kind) = (self.links.get_mut(&number)?, Kind::of(cell));
        if link.rates.came.take(now, kind) && self.overall.came.take(now, kind) {
            return Some(number);
        }
        counters.add(Counter::OverRate);
        None
    }

    fn feed(&mut self, now: u64, number: u32, datagram: &[u8], cell: &mut [u8; 256], counters: &mut Counters) -> Received {
        let Some(link) = self.links.get_mut(&number) else { return Received::Misfit };
        let received = link.association.handle_datagram(now, datagram, cell);
        if received == Received::Cell {
            counters.add(Counter::CellsIn);
            link.last_valid_at = now;
            if link.stands {
                return received;
            }
        }
        self.settle(now, number);
        received
    }

    /// Do what follows from an association's state: send what it has to say, tell that it stands or is gone.
    fn settle(&mut self, now: u64, number: u32) {
        let Some(link) = self.links.get_mut(&number) else { return };
        while let Some(datagram) = link.association.poll_datagram() {
            if !link.muted {
                self.happenings.push(Happening::Reply { socket: link.socket, to: link.peer, datagram });
            }
        }
        match link.association.state() {
            State::Handshaking | State::AwaitFirstCell => {}
            State::Open if !link.stands => self.stand(now, number),
            State::Open => {}
            State::Failed => self.forget(number),
        }
    }

    fn stand(&mut self, now: u64, number: u32) {
        let Some(link) = self.links.get_mut(&number) else { return };
        link.stands = true;
        link.last_valid_at = now;
        let peer_pin = link.association.peer_pin();
        let certificate = link.association.peer_certificate().filter(|_| link.incoming);
        if link.incoming && peer_pin.is_some() {
            link.kind = LinkKind::Relay;
        }
        if link.kind == LinkKind::Relay {
            link.rates = Rates::new(now, self.max_circuits);
        }
        let (kind, incoming) = (link.kind, link.incoming);
        let place = self.places.entry((link.socket, link.peer)).or_default();
        place.coming = None;
        let former = place.standing.replace(number);
        self.coming.retain(|&other| other != number);
        if let Some(former) = former {
            self.remove(former);
            self.happenings.push(Happening::Down { link: former });
        }
        self.happenings.push(Happening::Up { link: number, kind, incoming, peer_pin, certificate });
    }

    /// Forget a link, in silence, and tell whoever asked for it or used it.
    pub(crate) fn forget(&mut self, number: u32) {
        let Some(link) = self.remove(number) else { return };
        if link.stands {
            self.happenings.push(Happening::Down { link: number });
        } else if !link.incoming {
            self.happenings.push(Happening::Failed { link: number });
        }
    }

    /// Let nothing leave on a link from now on: its machine would send it from another address than before.
    pub(crate) fn mute(&mut self, number: u32) {
        self.links.get_mut(&number).into_iter().for_each(|link| link.muted = true);
    }

    fn remove(&mut self, number: u32) -> Option<Link> {
        let link = self.links.remove(&number)?;
        self.coming.retain(|&other| other != number);
        self.leave_place((link.socket, link.peer), number);
        Some(link)
    }

    fn leave_place(&mut self, name: (SocketNumber, SocketAddr), number: u32) {
        if let Some(place) = self.places.get_mut(&name) {
            place.standing = place.standing.filter(|&other| other != number);
            place.coming = place.coming.filter(|&other| other != number);
            if place.standing.is_none() && place.coming.is_none() {
                self.places.remove(&name);
            }
        }
    }

    /// Make the datagram of a cell; the socket it leaves by, or as what it is counted where it does not leave.
    pub(crate) fn seal(&mut self, now: u64, number: u32, cell: &[u8; 256], datagram: &mut [u8; RECORD_OCTETS]) -> Result<SocketNumber, Counter> {
        let link = self.links.get_mut(&number).filter(|link| link.stands && !link.muted).ok_or(Counter::LinkGone)?;
        let kind = Kind::of(cell);
        if !link.rates.left.take(now, kind) || !self.overall.left.take(now, kind) {
            return Err(Counter::OverRateOut);
        }
        if link.association.seal(cell, datagram).is_err() {
            self.forget(number);
            return Err(Counter::LinkGone);
        }
        Ok(link.socket)
    }

    /// The relay links that stand.
    pub(crate) fn relay_links(&self) -> Vec<u32> {
        self.links.iter().filter(|(_, link)| link.stands && link.kind == LinkKind::Relay).map(|(&number, _)| number).collect()
    }

    pub(crate) fn peer(&self, number: u32) -> Option<&RawAddress> {
        self.links.get(&number).map(|link| &link.raw_peer)
    }

    /// The socket of a link, and whether another link uses it.
    pub(crate) fn is_used(&self, socket: SocketNumber) -> bool {
        self.listeners.contains_key(&socket) || self.links.values().any(|link| link.socket == socket)
    }

    /// When [`Links::handle_timeouts`] wants to be called, besides once a second.
    pub(crate) fn next_timeout(&self, now: u64) -> Option<u64> {
        self.coming.iter().filter_map(|number| self.links.get(number)?.association.next_timeout(now)).min()
    }

    pub(crate) fn handle_timeouts(&mut self, now: u64) {
        for number in self.coming.clone() {
            let Some(link) = self.links.get_mut(&number) else { continue };
            if link.association.next_timeout(now).is_some_and(|at| at <= now) {
                link.association.handle_timeout(now);
                self.settle(now, number);
            }
        }
    }

    /// Take down the links on which nothing valid came for too long (PROTOCOL.md §2.2).
    pub(crate) fn sweep(&mut self, now: u64) {
        let limit = self.idle_us;
        let idle: Vec<u32> = self.links.iter().filter(|(_, link)| link.stands && now >= link.last_valid_at + limit).map(|(&number, _)| number).collect();
        for number in idle {
            self.forget(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use voicebox_dtls::Error;

    /// A peer who holds the key of a standing link: each datagram of the right length is a valid cell, and any other is answered.
    struct Believed(Option<Pin>, bool);

    impl Association for Believed {
        fn handle_datagram(&mut self, _now: u64, datagram: &[u8], _cell: &mut [u8; 256]) -> Received {
            if datagram.len() == RECORD_OCTETS {
                Received::Cell
            } else {
                self.1 = true;
                Received::Misfit
            }
        }
        fn seal(&mut self, _cell: &[u8; 256], _datagram: &mut [u8; RECORD_OCTETS]) -> Result<(), Error> {
            Ok(())
        }
        fn poll_datagram(&mut self) -> Option<Vec<u8>> {
            std::mem::take(&mut self.1).then(|| vec![22; 40])
        }
        fn next_timeout(&self, _now: u64) -> Option<u64> {
            None
        }
        fn handle_timeout(&mut self, _now: u64) {}
        fn state(&self) -> State {
            State::Open
        }
        fn peer_pin(&self) -> Option<Pin> {
            self.0
        }
    }

    const CELL: [u8; RECORD_OCTETS] = [32; RECORD_OCTETS];

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    /// A relay for 10 circuits with links that stand from time 0 on: a box at port 1, relays at 2 and 3, another box at 4.
    fn relay() -> (Links, Counters) {
        let mut links = Links::new([1; 32], Expanded::new().expect("randomness"), Arc::new(AtomicU32::new(1)), 10, 16, 60_000_000);
        for (number, pin) in [(1, None), (2, Some([2; 32])), (3, Some([3; 32])), (4, None)] {
            let place = (9, address(number as u16));
            links.insert(number, Link::new(0, Box::new(Believed(pin, false)), place, Some([0; COOKIE_OCTETS]), LinkKind::AccessGuard));
            links.settle(0, number);
        }
        assert_eq!((links.count(), links.relay_links().len()), ((4, 0), 2));
        (links, Counters::new())
    }

    fn total(counters: &Counters, name: &str) -> u64 {
        counters.iter().find(|(known, _)| *known == name).expect("a counter").1
    }

    /// Let a neighbour bring so many cells a second for 10 s; how many pass.
    fn flood(links: &mut Links, counters: &mut Counters, port: u16, per_s: u64) -> u64 {
        let mut cell = [0; 256];
        (0..per_s * 10).map(|number| u64::from(links.receive(number * 1_000_000 / per_s, 9, address(port), &CELL, &mut cell, counters).is_some())).sum()
    }

    #[test]
    fn a_box_brings_its_fifty_cells_and_no_flood() {
        let (mut links, mut counters) = relay();
        assert_eq!(flood(&mut links, &mut counters, 1, 50), 500);
        let (mut links, mut counters) = relay();
        assert!((655..=660).contains(&flood(&mut links, &mut counters, 1, 5_000)), "60 a second, and a second's worth at first");
        assert!(total(&counters, "drop_over_rate") >= 49_340);
        // The other neighbours have buckets of their own.
        assert!((0..100u64).all(|slot| links.receive(10_000_000 + slot * 20_000, 9, address(4), &CELL, &mut [0; 256], &mut counters) == Some(4)));
    }

    #[test]
    fn a_relay_brings_no_more_than_its_circuits_and_all_together_no_more_than_the_node_has() {
        let (mut links, mut counters) = relay();
        let passed = flood(&mut links, &mut counters, 2, 10_000);
        assert!((6_500..=6_600).contains(&passed), "600 a second: {passed}");
        // Both relays at their full rate are what the node has room for: two links for each of 10 circuits, and link control.
        let (mut links, mut counters) = relay();
        let mut cell = [0; 256];
        let mut passed = 0;
        for number in 0..100_000u64 {
            for port in [1, 2, 3, 4] {
                passed += u64::from(links.receive(number * 100, 9, address(port), &CELL, &mut cell, &mut counters).is_some());
            }
        }
        assert!(passed <= 60 * (2 * 10 + 16) * 11, "{passed} in 10 s");
    }

    #[test]
    fn a_boxs_link_whose_router_changed_its_port_goes_on_and_no_other_address_takes_it() {
        let (mut links, mut counters) = relay();
        let mut cell = [0; 256];
        let elsewhere = SocketAddr::from(([192, 0, 2, 2], 1));
        let mut take = |links: &mut Links, now, from| links.receive(now, 9, from, &CELL, &mut cell, &mut counters);
        assert_eq!(take(&mut links, 59_999, address(77)), None, "a link that is not silent has its port");
        // Boxes at 1 and 4 are silent, and whoever the test's associations believe is either.
        assert_eq!(take(&mut links, 60_000, address(4)), Some(4));
        assert_eq!(take(&mut links, 60_000, elsewhere), None);
        assert_eq!(take(&mut links, 60_000, address(77)), Some(1), "the silent one of the two");
        assert_eq!(take(&mut links, 60_001, address(77)), Some(1));
        assert_eq!(take(&mut links, 60_001, address(1)), None, "the former port is nobody's");
        assert_eq!(links.places.len(), 4);
        assert_eq!(links.peer(1).map(|_| links.links[&1].peer), Some(address(77)));
        links.forget(1);
        assert_eq!((links.places.len(), links.count().0), (3, 3));
        assert_eq!(take(&mut links, 80_000, address(77)), None, "a relay's link keeps its port");
    }

    #[test]
    fn nothing_leaves_on_a_muted_link_not_even_an_answer_of_its_dtls() {
        let (mut links, mut counters) = relay();
        let mut leaves = |links: &mut Links| {
            links.happenings.clear();
            links.receive(1, 9, address(1), &[22; 40], &mut [0; 256], &mut counters);
            (links.happenings.len(), links.seal(1, 1, &[0; 256], &mut [0; RECORD_OCTETS]).is_ok())
        };
        assert_eq!(leaves(&mut links), (1, true));
        links.mute(1);
        assert_eq!(leaves(&mut links), (0, false));
    }

    #[test]
    fn datagrams_of_nobody_are_tried_fifty_times_a_second() {
        let (mut links, mut counters) = relay();
        let short = [32; RECORD_OCTETS - 1];
        assert!((0..1_000).all(|_| links.receive(1_000_000, 9, address(77), &short, &mut [0; 256], &mut counters).is_none()));
        links.forget(1);
        links.forget(4);
        assert!((0..PORT_TRIES_PER_S).all(|_| links.receive(1_000_000, 9, address(77), &CELL, &mut [0; 256], &mut counters).is_none()));
        assert!(!links.port_tries.take(1_000_000));
    }

    #[test]
    fn no_more_leaves_for_a_next_hop_than_its_circuits_have() {
        let (mut links, _) = relay();
        let mut datagram = [0; RECORD_OCTETS];
        let mut send =
            |number, per_s: u64| (0..per_s * 10).filter(|cell| links.seal(cell * 1_000_000 / per_s, number, &[0; 256], &mut datagram).is_ok()).count();
        assert_eq!(send(1, 50), 500);
        assert!((6_500..=6_600).contains(&send(2, 5_000)));
        assert_eq!(links.seal(20_000_000, 77, &[0; 256], &mut datagram), Err(Counter::LinkGone));
    }
}
