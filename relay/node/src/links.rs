//! The table of links: which datagram belongs to which association, and what becomes of associations (PROTOCOL.md §2).
//! No socket and no clock here: sockets are numbers, `now` comes in, datagrams to send go out.
//!
//! An address has at most two incoming links: the one that stands, and one that is being made (the peer started anew).
//! The new one takes the old one's place with its first cell, never earlier: until then it has proved nothing but an address.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

use voicebox_core::LinkKind;
use voicebox_dtls::{
    Association, BoringAssociation, Cookie, CookieJar, Dial, Dialer, Listener, Pin, Received, State, COOKIE_OCTETS, FIRST_PREFIX_OCTETS, KIND_COOKIE,
    KIND_FIRST, KIND_HELLO, RECORD_OCTETS,
};

use crate::counters::{Counter, Counters};
use crate::datagrams::RawAddress;

/// Incoming handshakes at one time, and how many may begin in a second: each costs about 0.3 ms of the thread that also sends the ticks.
const MAX_COMING: usize = 256;
const BEGIN_PER_S: u64 = 200;
/// A hello from an address whose link is this fresh is a copy of an old one, or forged; a peer that started anew repeats its own.
const LIVE_US: u64 = 1_000_000;

/// A socket of this node, by number.
pub(crate) type SocketNumber = u32;

/// What the table has to say after a call.
pub(crate) enum Happening {
    /// Send this at once.
    Reply { socket: SocketNumber, to: SocketAddr, datagram: Vec<u8> },
    /// A link stands.
    Up { link: u32, kind: LinkKind, incoming: bool, peer_pin: Option<Pin> },
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
    idle_us: u64,
    /// Handshakes that may still begin, in millionths.
    allowance: u64,
    allowance_at: u64,
    pub(crate) happenings: Vec<Happening>,
}

impl Links {
    pub(crate) fn new(secret: [u8; 32], numbers: Arc<AtomicU32>, max_links: usize, idle_us: u64) -> Self {
        Self {
            jar: CookieJar::new(secret),
            listeners: HashMap::new(),
            links: HashMap::new(),
            places: HashMap::new(),
            coming: Vec::new(),
            numbers,
            max_links,
            idle_us,
            allowance: BEGIN_PER_S * 1_000_000,
            allowance_at: 0,
            happenings: Vec::new(),
        }
    }

    pub(crate) fn listen(&mut self, socket: SocketNumber, listener: Listener) {
        self.listeners.insert(socket, listener);
    }

    pub(crate) fn count(&self) -> (usize, usize) {
        (self.links.len() - self.coming.len(), self.coming.len())
    }

    /// Begin an outgoing link. Its first datagram is among the happenings.
    pub(crate) fn connect(&mut self, now: u64, link: u32, socket: SocketNumber, peer: SocketAddr, pin: Pin, dialer: Dialer, kind: LinkKind) {
        if self.links.len() >= self.max_links {
            self.happenings.push(Happening::Failed { link });
            return;
        }
        let association = Box::new(Dial::<BoringAssociation>::new(now, move |now| dialer.connect(pin, now)));
        self.insert(
            now,
            link,
            Link { association, socket, peer, raw_peer: RawAddress::new(peer), cookie: None, incoming: false, kind, stands: false, last_valid_at: now },
        );
        self.settle(now, link);
    }

    fn insert(&mut self, now: u64, number: u32, mut link: Link) {
        link.last_valid_at = now;
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
        if !self.listeners.contains_key(&socket) {
            return counters.add(Counter::UnknownAddress);
        }
        let standing = self.places.get(&(socket, from)).and_then(|place| place.standing);
        if standing.and_then(|link| self.links.get(&link)).is_some_and(|link| now < link.last_valid_at + LIVE_US) {
            return counters.add(Counter::HelloOfLiveLink);
        }
        match self.jar.answer(now, &address_octets(from), datagram) {
            Some(answer) => {
                counters.add(Counter::CookiesGiven);
                self.happenings.push(Happening::Reply { socket, to: from, datagram: answer.to_vec() });
            }
            None => counters.add(Counter::BadHello),
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
        let gained = now.saturating_sub(self.allowance_at).saturating_mul(BEGIN_PER_S);
        self.allowance = self.allowance.saturating_add(gained).min(BEGIN_PER_S * 1_000_000);
        self.allowance_at = now;
        if self.coming.len() >= MAX_COMING || self.links.len() >= self.max_links || self.allowance < 1_000_000 {
            counters.add(Counter::HandshakesRefused);
            return None;
        }
        self.allowance -= 1_000_000;
        let association = match listener.accept(now) {
            Ok(association) => Box::new(association),
            Err(_) => {
                counters.add(Counter::HandshakesRefused);
                return None;
            }
        };
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        self.insert(
            now,
            number,
            Link {
                association,
                socket,
                peer: from,
                raw_peer: RawAddress::new(from),
                cookie: Some(cookie),
                incoming: true,
                kind: LinkKind::AccessGuard,
                stands: false,
                last_valid_at: now,
            },
        );
        Some(number)
    }

    fn take_dtls(&mut self, now: u64, socket: SocketNumber, from: SocketAddr, datagram: &[u8], cell: &mut [u8; 256], counters: &mut Counters) -> Option<u32> {
        let Some(place) = self.places.get(&(socket, from)) else {
            counters.add(Counter::UnknownAddress);
            return None;
        };
        let (standing, coming) = (place.standing, place.coming);
        if let Some(link) = standing.filter(|_| datagram.len() == RECORD_OCTETS || coming.is_none()) {
            let received = self.feed(now, link, datagram, cell, counters);
            if received == Received::Cell {
                return Some(link);
            }
            if coming.is_none() {
                counters.add(if received == Received::Misfit { Counter::WrongLength } else { Counter::InvalidRecord });
                return None;
            }
        }
        let link = coming?;
        (self.feed(now, link, datagram, cell, counters) == Received::Cell).then_some(link)
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
            self.happenings.push(Happening::Reply { socket: link.socket, to: link.peer, datagram });
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
        if link.incoming && peer_pin.is_some() {
            link.kind = LinkKind::Relay;
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
        self.happenings.push(Happening::Up { link: number, kind, incoming, peer_pin });
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

    fn remove(&mut self, number: u32) -> Option<Link> {
        let link = self.links.remove(&number)?;
        self.coming.retain(|&other| other != number);
        if let Some(place) = self.places.get_mut(&(link.socket, link.peer)) {
            place.standing = place.standing.filter(|&other| other != number);
            place.coming = place.coming.filter(|&other| other != number);
            if place.standing.is_none() && place.coming.is_none() {
                self.places.remove(&(link.socket, link.peer));
            }
        }
        Some(link)
    }

    /// Make the datagram of a cell; the socket it leaves by. `None` where the link is gone.
    pub(crate) fn seal(&mut self, number: u32, cell: &[u8; 256], datagram: &mut [u8; RECORD_OCTETS]) -> Option<SocketNumber> {
        let link = self.links.get_mut(&number).filter(|link| link.stands)?;
        if link.association.seal(cell, datagram).is_err() {
            self.forget(number);
            return None;
        }
        Some(link.socket)
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

/// What a cookie binds: address and port.
fn address_octets(address: SocketAddr) -> Vec<u8> {
    let mut octets = match address.ip() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    octets.extend_from_slice(&address.port().to_be_bytes());
    octets
}
