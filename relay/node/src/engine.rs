//! The handle to an engine: checks arguments, binds sockets, and hands the rest to the thread.

mod media;

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::RawFd;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{sync_channel, Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use voicebox_core::streams::{Way, Why, STREAM_WINDOW_OCTETS};
use voicebox_core::{BundleId, Command, Config, Core, LinkKind, RandomSource, SeededRandom};
use voicebox_dtls::{Dialer, Identity, Listener, Pin};

use crate::clock::Clock;
use crate::datagrams::bind;
use crate::event::NodeEvent;
use crate::keeper::Keeper;
use crate::links::Links;
use crate::order::Order;
use crate::poller::Poller;
use crate::random::{system_octets, Expanded};
use crate::runner::{Parts, Runner};
use crate::source::{bind_on, source_towards};
use crate::wake::Bell;
use crate::{realtime, Error};

// A queue has its room from the start; its entries are boxed, so that it is 1 MB and not 10.
const MAX_ORDERS: usize = 65_536;
const MAX_EVENTS: usize = 65_536;
/// Events given at one call.
pub const MAX_EVENTS_TAKEN: usize = 1_024;
/// Relay links beside the access links, which have one circuit each.
const MAX_RELAY_LINKS: usize = 256;
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// How an engine is made.
pub struct Settings {
    /// The network's birth, in microseconds of the date.
    pub born_unix_us: u64,
    /// Ask for SCHED_FIFO and locked memory.
    pub realtime: bool,
    /// Bound on the circuits through this node.
    pub max_circuits: u32,
    /// Whether this node's own circuits are metered (PROTOCOL.md §5.7).
    pub metered: bool,
    /// For tests: randomness of the core from a seed. The operating system's otherwise.
    pub seed: Option<[u8; 32]>,
    /// Cells a second that may leave, and that may come, in all: fast ones have what those of slots leave of it. `None`: as many as there are.
    pub limit_per_s: Option<u64>,
    /// A link on which nothing valid came for so long is taken down (PROTOCOL.md §2.2: 60 s; tests have less patience).
    pub link_idle_us: u64,
    /// This end of the pair of a process that keeps the sockets of outgoing links open when this one is gone; it is duplicated.
    pub keeper: Option<RawFd>,
}

/// A data plane: one thread with its sockets. Dropping it stops it.
pub struct Engine {
    clock: Clock,
    orders: SyncSender<Box<Order>>,
    order_bell: Arc<Bell>,
    events: Mutex<Receiver<Box<NodeEvent>>>,
    event_bell: Arc<Bell>,
    numbers: Arc<AtomicU32>,
    panics: Arc<AtomicU64>,
    running: Arc<AtomicBool>,
    realtime: bool,
    waiting: Mutex<Option<Parts>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    local: Mutex<Local>,
    keeper: Arc<Keeper>,
}

/// Where outgoing links leave from.
#[derive(Default)]
struct Local {
    address: Option<IpAddr>,
    /// One socket serves a first link to each peer: it knows links by their address. Not the listening one, at which the same peer may arrive.
    shared: Option<Shared>,
}

impl Local {
    /// The address from which a link to a peer leaves: the one that was set, where it is one of the peer's kind and no uplink is named, else the system's choice at present.
    fn towards(&self, peer: SocketAddr, uplink: Option<&str>) -> Option<IpAddr> {
        let set = self.address.filter(|address| uplink.is_none() && address.is_ipv4() == peer.is_ipv4() && !address.is_unspecified());
        set.or_else(|| source_towards(peer, uplink))
    }
}

struct Shared {
    socket: u32,
    is_ipv4: bool,
    peers: HashSet<SocketAddr>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing of ours panics while it holds one; if it did, the value is still whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    /// Make an engine; its thread begins with [`Engine::start`], and what is asked before waits for it.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        const NO_DESCRIPTOR: Error = Error::Host("no descriptor is left for the engine");
        let random: Box<dyn RandomSource> = match settings.seed {
            Some(seed) => Box::new(SeededRandom::new(seed)),
            None => Box::new(Expanded::new()?),
        };
        #[cfg(feature = "lab")]
        crate::lab::read_environment();
        let clock = Clock::new(settings.born_unix_us);
        let numbers = Arc::new(AtomicU32::new(1));
        let panics = Arc::new(AtomicU64::new(0));
        let keeper = Arc::new(Keeper::new(settings.keeper)?);
        let order_bell = Arc::new(Bell::new().ok_or(NO_DESCRIPTOR)?);
        let event_bell = Arc::new(Bell::new().ok_or(NO_DESCRIPTOR)?);
        let (order_in, order_out) = sync_channel(MAX_ORDERS);
        let (event_in, event_out) = sync_channel(MAX_EVENTS);
        let mut links = Links::new(system_octets()?, Expanded::new()?, Arc::clone(&numbers), settings.max_circuits, MAX_RELAY_LINKS, settings.link_idle_us);
        links.limit(settings.limit_per_s);
        let parts = Parts {
            clock,
            core: Core::new(Config { max_circuits: settings.max_circuits as usize, metered: settings.metered }, random),
            links,
            filler: Expanded::new()?,
            orders: order_out,
            order_bell: Arc::clone(&order_bell),
            events: event_in,
            event_bell: Arc::clone(&event_bell),
            poller: Poller::new().ok_or(NO_DESCRIPTOR)?,
            panics: Arc::clone(&panics),
            keeper: Arc::clone(&keeper),
            numbers: Arc::clone(&numbers),
        };
        Ok(Self {
            clock,
            orders: order_in,
            order_bell,
            events: Mutex::new(event_out),
            event_bell,
            numbers,
            panics,
            running: Arc::new(AtomicBool::new(false)),
            realtime: settings.realtime,
            waiting: Mutex::new(Some(parts)),
            thread: Mutex::new(None),
            local: Mutex::new(Local::default()),
            keeper,
        })
    }

    /// Start the thread; true where SCHED_FIFO and locked memory were asked for and granted.
    pub fn start(&self) -> Result<bool, Error> {
        let parts = locked(&self.waiting).take().ok_or(Error::Local("the engine was started before"))?;
        let (granted_in, granted_out) = sync_channel(1);
        let (asks, running) = (self.realtime, Arc::clone(&self.running));
        let (events, bell, panics) = (parts.events.clone(), Arc::clone(&self.event_bell), Arc::clone(&self.panics));
        running.store(true, Ordering::Release);
        let body = move || {
            let granted = asks && realtime::ask();
            if !granted {
                realtime::no_slack();
            }
            let _ = granted_in.send(granted);
            let mut runner = Runner::new(parts);
            supervise(|| runner.run(), &events, &bell, &panics);
            running.store(false, Ordering::Release);
        };
        let thread = std::thread::Builder::new().name("voicebox-engine".into()).spawn(body).map_err(|_| Error::Host("no thread could be made"))?;
        *locked(&self.thread) = Some(thread);
        granted_out.recv().map_err(|_| Error::Bug("the engine's thread ended while it started"))
    }

    /// Stop the thread and close its sockets; idempotent.
    pub fn stop(&self) {
        // A full queue is drained by the thread before it sees this; sending waits for that, which is bounded.
        if self.running.load(Ordering::Acquire) {
            let _ = self.orders.send(Box::new(Order::Stop));
            self.order_bell.ring();
        }
        if let Some(thread) = locked(&self.thread).take() {
            // Its panic was told already.
            let _ = thread.join();
        }
        locked(&self.waiting).take();
        self.keeper.close();
    }

    /// Network time in microseconds.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Readable while events wait.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.event_bell.descriptor()
    }

    /// Take the waiting events, at most [`MAX_EVENTS_TAKEN`].
    pub fn events(&self) -> Vec<Box<NodeEvent>> {
        let receiver = locked(&self.events);
        self.event_bell.hush();
        let taken: Vec<Box<NodeEvent>> = receiver.try_iter().take(MAX_EVENTS_TAKEN).collect();
        if taken.len() == MAX_EVENTS_TAKEN {
            self.event_bell.ring();
        }
        taken
    }

    /// Totals since start; empty before it, and after the end only what is known without the thread.
    pub fn counters(&self) -> Result<Vec<(&'static str, u64)>, Error> {
        let totals = self.ask(|answer| Order::Counters { answer })?;
        Ok(totals.unwrap_or_else(|| vec![("panics", self.panics.load(Ordering::Relaxed))]))
    }

    /// The de-jitter step in microseconds that each link's jitter asks for, where enough cells came; empty before start and after the end.
    pub fn jitter(&self) -> Result<Vec<(u32, i64)>, Error> {
        Ok(self.ask(|answer| Order::Jitter { answer })?.unwrap_or_default())
    }

    /// Gather the lateness of ticks anew, for `seconds`.
    pub fn tap(&self, seconds: f64) -> Result<(), Error> {
        if !(0.0..=86_400.0).contains(&seconds) {
            return Err(Error::Local("seconds to tap are 0 to 86 400"));
        }
        self.order(Order::Tap { seconds })
    }

    /// Hand a command to the core.
    pub fn command(&self, command: Command) -> Result<(), Error> {
        self.order(Order::Core(command))
    }

    fn order(&self, order: Order) -> Result<(), Error> {
        if self.panics.load(Ordering::Relaxed) > 0 {
            return Err(Error::Bug("the engine's thread has failed; nothing works until the program is started anew"));
        }
        self.orders.try_send(Box::new(order)).map_err(|_| Error::Local("the engine has stopped, or 65 536 commands wait for it"))?;
        self.order_bell.ring();
        Ok(())
    }

    /// Ask the thread; `None` before start and after the end, and where it does not answer in time.
    fn ask<T>(&self, order: impl FnOnce(SyncSender<T>) -> Order) -> Result<Option<T>, Error> {
        if !self.running.load(Ordering::Acquire) {
            return Ok(None);
        }
        let (answer, answered) = sync_channel(1);
        self.order(order(answer))?;
        Ok(answered.recv_timeout(ANSWER_LIMIT).ok())
    }

    /// Take links on a UDP socket; its port.
    pub fn listen(&self, address: &str, port: u16, certificate: &[u8], key: &[u8]) -> Result<u16, Error> {
        let listener = Listener::new(&Identity::from_der(certificate, key)?)?;
        let address = parse_address(address)?;
        let with = bind(address, port)?;
        let port = local_port(&with)?;
        let socket = self.next_number();
        self.order(Order::Listen { socket, with, listener })?;
        locked(&self.local).address.get_or_insert(address);
        Ok(port)
    }

    /// Set where outgoing links leave from. One socket serves a first link to each peer; a second one to the same peer gets a port of its own.
    /// Returns the port.
    pub fn bind(&self, address: &str, port: u16) -> Result<u16, Error> {
        let address = parse_address(address)?;
        let with = bind(address, port)?;
        let port = local_port(&with)?;
        let socket = self.add_kept(with)?;
        let mut local = locked(&self.local);
        local.address = Some(address);
        local.shared = Some(Shared { socket, is_ipv4: address.is_ipv4(), peers: HashSet::new() });
        Ok(port)
    }

    /// How many microseconds ago something valid came on each outgoing link that stands; empty before start and after the end.
    pub fn heard(&self) -> Result<Vec<(u32, u64)>, Error> {
        Ok(self.ask(|answer| Order::Heard { answer })?.unwrap_or_default())
    }

    /// Say from which address a link of a box to a relay would leave now, over an uplink where one is named; none where no way leads there.
    pub fn source(&self, address: &str, uplink: Option<&str>) -> Result<Option<IpAddr>, Error> {
        let peer = SocketAddr::new(parse_address(address)?, 1); // of the port nothing depends, but 0 is none
        Ok(locked(&self.local).towards(peer, uplink))
    }

    /// Begin a link; its number. uplink: of a box's, the interface over which alone it may go.
    pub fn connect(&self, address: &str, port: u16, pin: &[u8], identity: Option<(&[u8], &[u8])>, uplink: Option<&str>) -> Result<u32, Error> {
        let pin: Pin = pin.try_into().map_err(|_| Error::Local("a pin has 32 octets"))?;
        let peer = SocketAddr::new(parse_address(address)?, port);
        if port == 0 {
            return Err(Error::Local("no link leads to port 0"));
        }
        let identity = identity.map(|(certificate, key)| Identity::from_der(certificate, key)).transpose()?;
        let kind = if identity.is_some() { LinkKind::Relay } else { LinkKind::AccessOwner };
        let dialer = Dialer::new(identity.as_ref())?;
        let (socket, own) = if kind == LinkKind::AccessOwner { self.own_socket(peer, uplink)? } else { self.socket_towards(peer)? };
        let (link, kept) = (self.next_number(), own.is_some().then_some(socket));
        self.order_kept(kept, Order::Connect { link, socket, own, peer, pin, dialer, kind })?;
        Ok(link)
    }

    /// A box's: where no address was set, or an uplink is named, a socket of its own that is bound to the one that the system chooses now, and held to the uplink. What was
    /// left of the link where that address is gone would else leave from the next one, under the same port.
    fn own_socket(&self, peer: SocketAddr, uplink: Option<&str>) -> Result<(u32, Option<UdpSocket>), Error> {
        let (address, is_set) = {
            let local = locked(&self.local);
            (local.towards(peer, uplink), local.address.is_some_and(|address| !address.is_unspecified()))
        };
        if is_set && uplink.is_none() {
            return self.socket_towards(peer);
        }
        let with = bind_on(address.ok_or(Error::Host("no way leads to the guard at present"))?, uplink)?;
        Ok((self.keep(&with), Some(with)))
    }

    fn socket_towards(&self, peer: SocketAddr) -> Result<(u32, Option<UdpSocket>), Error> {
        let mut local = locked(&self.local);
        let wildcard = if peer.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
        let address = local.address.filter(|address| address.is_ipv4() == peer.is_ipv4()).unwrap_or(wildcard);
        if local.shared.is_none() {
            let socket = self.add_kept(bind(address, 0)?)?;
            local.shared = Some(Shared { socket, is_ipv4: peer.is_ipv4(), peers: HashSet::new() });
        }
        if let Some(shared) = local.shared.as_mut().filter(|shared| shared.is_ipv4 == peer.is_ipv4()) {
            if shared.peers.insert(peer) {
                return Ok((shared.socket, None));
            }
        }
        let with = bind(address, 0)?;
        Ok((self.keep(&with), Some(with)))
    }

    /// Let a socket from which links leave be kept; its number.
    fn keep(&self, with: &UdpSocket) -> u32 {
        let socket = self.next_number();
        self.keeper.keep(socket, with);
        socket
    }

    /// Hand over a socket that is kept, for links that share it; its number.
    fn add_kept(&self, with: UdpSocket) -> Result<u32, Error> {
        let socket = self.keep(&with);
        self.order_kept(Some(socket), Order::AddSocket { socket, with })?;
        Ok(socket)
    }

    /// Give an order that hands over a kept socket; where that cannot be, the socket is used no more.
    fn order_kept(&self, kept: Option<u32>, order: Order) -> Result<(), Error> {
        self.order(order).inspect_err(|_| kept.into_iter().for_each(|socket| self.keeper.release(socket)))
    }

    /// Let nothing leave on a link any more, whatever is still on it.
    pub fn mute(&self, link: u32) -> Result<(), Error> {
        self.order(Order::Mute { link })
    }

    /// Forget a link, in silence.
    pub fn disconnect(&self, link: u32) -> Result<(), Error> {
        self.order(Order::Disconnect { link })
    }

    /// Begin a bundle of streams: its number.
    pub fn bundle_open(&self) -> Result<u32, Error> {
        let bundle = self.next_number();
        self.command(Command::BundleOpen { bundle: BundleId(bundle) })?;
        Ok(bundle)
    }

    /// For how many microseconds nothing has waited to be said on a bundle; 0 before start and after the end.
    pub fn bundle_idle_us(&self, bundle: u32) -> Result<u64, Error> {
        Ok(self.ask(|answer| Order::BundleIdle { bundle, answer })?.unwrap_or_default())
    }

    /// Open a stream to a service of the contact's box, or an association: its number.
    pub fn stream_open(&self, bundle: u32, port: u16, way: Way) -> Result<u32, Error> {
        let stream = self.next_number();
        self.order(Order::StreamOpen { stream, bundle, port, way })?;
        Ok(stream)
    }

    /// Connect a stream with a connected TCP socket, whose descriptor is duplicated. first: said before anything that the program says; whole: and nothing is, then.
    pub fn stream_attach(&self, stream: u32, descriptor: RawFd, first: Vec<u8>, whole: bool) -> Result<(), Error> {
        if first.len() > STREAM_WINDOW_OCTETS {
            return Err(Error::Local("what is said first on a stream has at most 32 768 octets"));
        }
        let with = crate::streams::duplicate(descriptor)?;
        self.order(Order::StreamAttach { stream, with, first, whole })
    }

    /// Let a program's datagrams through a connected UDP socket, whose descriptor is duplicated: the door's number. has_headers: of SOCKS5 (RFC 1928 §7).
    pub fn door_open(&self, descriptor: RawFd, has_headers: bool) -> Result<u32, Error> {
        let with = crate::streams::duplicate_datagrams(descriptor)?;
        let door = self.next_number();
        self.order(Order::DoorOpen { door, with, has_headers })?;
        Ok(door)
    }

    /// Let an association's datagrams go through a door, behind a header. first: sent on it before.
    pub fn door_attach(&self, door: u32, stream: u32, header: Vec<u8>, first: Vec<Vec<u8>>) -> Result<(), Error> {
        self.order(Order::DoorAttach { door, stream, header, first })
    }

    /// Close a door, and give up its associations.
    pub fn door_close(&self, door: u32) -> Result<(), Error> {
        self.order(Order::DoorClose { door })
    }

    /// Give a stream up. why: PROTOCOL.md §11.3.
    pub fn stream_reset(&self, stream: u32, why: u8) -> Result<(), Error> {
        let why = Why::from_code(why).ok_or(Error::Local("a stream is reset for reason 1, 2, 3, 4 or 5"))?;
        self.order(Order::StreamReset { stream, why })
    }

    /// Links, sockets and media ports are numbered from one sequence, never reused.
    fn next_number(&self) -> u32 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }
}

/// Run the thread's body; an end by panic is counted and told, never silent.
fn supervise(body: impl FnOnce(), events: &SyncSender<Box<NodeEvent>>, bell: &Bell, panics: &AtomicU64) {
    if catch_unwind(AssertUnwindSafe(body)).is_err() {
        panics.fetch_add(1, Ordering::Relaxed);
        // A full queue has events in it already; the counter tells then, and every further command is refused with it.
        let _ = events.try_send(Box::new(NodeEvent::EngineFailed));
        bell.ring();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
    }
}

fn parse_address(text: &str) -> Result<IpAddr, Error> {
    text.parse().map_err(|_| Error::Local("an address is IPv4 or IPv6 in numbers"))
}

fn local_port(socket: &UdpSocket) -> Result<u16, Error> {
    Ok(socket.local_addr().map_err(|_| Error::Host("a UDP socket has no address"))?.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn a_panic_in_the_thread_is_counted_and_told() {
        let (told, heard) = sync_channel(1);
        let (bell, panics) = (Bell::new().expect("a descriptor is free"), AtomicU64::new(0));
        supervise(|| {}, &told, &bell, &panics);
        assert!(heard.try_recv().is_err());
        supervise(|| panic!("on purpose"), &told, &bell, &panics);
        assert!(heard.try_recv().is_ok_and(|event| matches!(*event, NodeEvent::EngineFailed)));
        assert_eq!(panics.load(Ordering::Relaxed), 1);
    }

    /// An engine whose thread has failed.
    fn failed_engine(keeper: Option<RawFd>) -> Engine {
        let settings =
            Settings { born_unix_us: 0, realtime: false, max_circuits: 1, metered: false, seed: None, limit_per_s: None, link_idle_us: 1_000_000, keeper };
        let engine = Engine::new(&settings).expect("descriptors are free");
        engine.panics.store(1, Ordering::Relaxed);
        engine
    }

    #[test]
    fn an_engine_whose_thread_failed_refuses_commands_as_a_bug() {
        assert!(matches!(failed_engine(None).disconnect(1), Err(Error::Bug(_))));
    }

    #[test]
    fn a_box_is_known_by_its_access_links_and_a_relay_with_a_second_link_to_a_peer_is_none() {
        let settings = Settings {
            born_unix_us: 0,
            realtime: false,
            max_circuits: 1,
            metered: false,
            seed: None,
            limit_per_s: None,
            link_idle_us: 1_000_000,
            keeper: None,
        };
        let runner_of = |ask: &dyn Fn(&Engine)| {
            let engine = Engine::new(&settings).expect("descriptors are free");
            ask(&engine);
            let mut runner = Runner::new(locked(&engine.waiting).take().expect("it was not started"));
            assert!(runner.take_orders());
            runner
        };
        let boxed = runner_of(&|engine| assert!(engine.connect("127.0.0.1", 9, &[0; 32], None, None).is_ok()));
        assert!(boxed.is_box, "its first link has the shared socket");
        let relay = runner_of(&|engine| {
            let (own, peer) = (bind(IpAddr::V4(Ipv4Addr::LOCALHOST), 0).expect("a port is free"), SocketAddr::from(([127, 0, 0, 1], 9)));
            let dialer = Dialer::new(None).expect("the library works");
            assert!(engine.order(Order::Connect { link: 1, socket: 2, own: Some(own), peer, pin: [0; 32], dialer, kind: LinkKind::Relay }).is_ok());
        });
        assert!(!relay.is_box, "it sends far too often to wait for each cell");
    }

    #[test]
    fn a_socket_that_cannot_be_handed_over_is_kept_no_longer_than_others_that_are_not_used() {
        let (ours, keepers) = UnixDatagram::pair().expect("descriptors are free");
        keepers.set_nonblocking(true).expect("a socket");
        let engine = failed_engine(Some(ours.as_raw_fd()));
        let connect = || engine.connect("127.0.0.1", 9, &[0; 32], None, None);
        for fails in [&|| engine.bind("127.0.0.1", 0).is_err(), &|| connect().is_err()] as [&dyn Fn() -> bool; 2] {
            assert!(fails());
            let (mut kept, mut released) = ([0; 4], [1; 4]);
            assert_eq!(keepers.recv(&mut kept).expect("it is to be kept"), 4);
            assert_eq!(keepers.recv(&mut released).expect("and is released"), 4);
            assert_eq!(kept, released);
            assert!(keepers.recv(&mut kept).is_err());
        }
    }
}
