//! The programs' ends of streams: one TCP socket each, which is read while its stream has room and written while something came.
//!
//! Octets go from a socket into a bundle of the core and back, in the engine's thread; who opens a stream, and to which socket it belongs, the control plane says
//! once for each. Sockets are served when all others are looked at, never in the millisecond before a cell leaves. Not here: the protocol (`voicebox_core::streams`).
#![allow(unsafe_code)] // libc has no safe form of SO_LINGER, and std none of a descriptor that is a number

use std::collections::{BTreeSet, HashMap};
use std::io::{ErrorKind, Read, Result, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

use voicebox_core::streams::{Bundle, StreamEvent, StreamId, Way, Why};
use voicebox_core::{BundleId, Core, Micros};

use crate::doors::Doors;
use crate::event::NodeEvent;
use crate::poller::Poller;
use crate::Error;

/// Of the numbers that the poller has; the stream's is below.
pub(crate) const STREAMS: u64 = 4 << 32;
/// Octets moved at once.
const CHUNK_OCTETS: usize = 16_384;
/// Octets moved each way of one stream before all else has its turn: a fast one never has to wait for more.
const TURN_OCTETS: usize = 131_072;

/// A stream and its socket, which it has once the control plane knows what the stream is for.
struct Ends {
    bundle: BundleId,
    stream: StreamId,
    socket: Option<TcpStream>,
    /// Came on the stream, and the socket has not taken it.
    left: Vec<u8>,
    /// The program says no more.
    program_ended: bool,
    /// The program was told that the other side says no more.
    stream_ended: bool,
    watched: (bool, bool),
}

/// What serving a socket did.
enum Moved {
    /// All that could be moved; whether it is to be watched for reading and for writing.
    All((bool, bool)),
    /// A turn's worth: there may be more.
    Some,
}

/// All streams of a box that have a number of the engine's.
pub(crate) struct Streams {
    ends: HashMap<u32, Ends>,
    numbers: HashMap<(BundleId, StreamId), u32>,
    due: BTreeSet<u32>,
    next_number: Arc<AtomicU32>,
    doors: Doors,
}

impl Streams {
    pub(crate) fn new(next_number: Arc<AtomicU32>) -> Self {
        Self { ends: HashMap::new(), numbers: HashMap::new(), due: BTreeSet::new(), next_number, doors: Doors::default() }
    }

    /// Return how many there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Return how many datagrams were dropped here.
    pub(crate) const fn datagrams_dropped(&self) -> u64 {
        self.doors.dropped()
    }

    /// Return whether a socket waits to be served.
    pub(crate) fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Serve a socket at the next turn.
    pub(crate) fn wake(&mut self, number: u32) {
        self.due.insert(number);
    }

    /// Open a stream under a number of the engine's, or an association; the streams that are over with that, and why: this one, where it cannot be, and an
    /// association that gave way to it.
    pub(crate) fn open(&mut self, core: &mut Core, poller: &Poller, now: Micros, number: u32, wanted: (BundleId, u16, Way)) -> Vec<(u32, Why)> {
        let mut over = Vec::new();
        let mut begun = begin(core, wanted);
        if begun == Err(Why::Busy) && wanted.2 != Way::Fast {
            if let Some(unused) = self.doors.unused_longest(now, wanted.0) {
                self.reset(core, poller, unused, Why::Gone);
                over.push((unused, Why::Gone));
                begun = begin(core, wanted);
            }
        }
        match begun {
            Ok(stream) => self.add(number, wanted.0, stream),
            Err(why) => over.push((number, why)),
        }
        over
    }

    fn add(&mut self, number: u32, bundle: BundleId, stream: StreamId) {
        self.numbers.insert((bundle, stream), number);
        let ends = Ends { bundle, stream, socket: None, left: Vec::new(), program_ended: false, stream_ended: false, watched: (false, false) };
        self.ends.insert(number, ends);
    }

    /// Give a stream its socket; of one that the other box opened, say that it is taken. first: said before what comes from the socket; whole: in its place.
    pub(crate) fn attach(&mut self, core: &mut Core, number: u32, socket: TcpStream, first: &[u8], whole: bool) {
        let Some(ends) = self.ends.get_mut(&number).filter(|ends| ends.socket.is_none()) else { return abort(&socket) };
        if let Some(bundle) = core.bundle(ends.bundle) {
            bundle.take(ends.stream);
            bundle.write(ends.stream, first); // nothing was written before, so there is room
            if whole {
                ends.program_ended = true;
                bundle.end(ends.stream);
            }
        }
        ends.socket = Some(socket);
        self.due.insert(number);
    }

    /// Let programs send datagrams through a connected socket. has_headers: of SOCKS5, each before a datagram.
    pub(crate) fn open_door(&mut self, poller: &Poller, door: u32, socket: UdpSocket, has_headers: bool) {
        self.doors.open(poller, door, socket, has_headers);
    }

    /// Let an association's datagrams go through a door. first: those that came before; of one that the other box opened, say that it is taken.
    ///
    /// A door that was for this one alone is closed where it is over already.
    pub(crate) fn attach_door(&mut self, core: &mut Core, poller: &Poller, now: Micros, door: u32, number: u32, header: Vec<u8>, first: &[Vec<u8>]) {
        let Some((bundle, stream)) = self.ends.get(&number).map(|ends| (ends.bundle, ends.stream)) else { return self.doors.close_unused(poller, door) };
        if !self.doors.attach(now, number, (bundle, stream), door, header) {
            return;
        }
        if let Some(bundle) = core.bundle(bundle) {
            bundle.take(stream);
            for octets in first {
                bundle.send(now, stream, octets); // one that is too long is dropped, and counted
            }
        }
        self.due.insert(number);
    }

    /// Let nothing pass a door any more, and give up its associations.
    pub(crate) fn close_door(&mut self, core: &mut Core, poller: &Poller, door: u32) {
        for number in self.doors.close(poller, door) {
            self.reset(core, poller, number, Why::Gone);
        }
    }

    /// Take what came through a door.
    pub(crate) fn take_datagrams(&mut self, core: &mut Core, now: Micros, door: u32, told: &mut Vec<NodeEvent>) {
        self.doors.receive(core, now, door, told);
    }

    /// Give a stream up.
    pub(crate) fn reset(&mut self, core: &mut Core, poller: &Poller, number: u32, why: Why) {
        if let Some(ends) = self.ends.get(&number) {
            core.bundle(ends.bundle).into_iter().for_each(|bundle| bundle.reset(ends.stream, why));
        }
        self.remove(poller, number, true);
    }

    /// Forget the streams of a bundle; their numbers.
    pub(crate) fn forget(&mut self, poller: &Poller, bundle: BundleId) -> Vec<u32> {
        let gone: Vec<u32> = self.ends.iter().filter(|(_, ends)| ends.bundle == bundle).map(|(number, _)| *number).collect();
        gone.iter().for_each(|number| self.remove(poller, *number, true));
        gone
    }

    fn remove(&mut self, poller: &Poller, number: u32, aborted: bool) {
        let Some(ends) = self.ends.remove(&number) else { return };
        self.numbers.remove(&(ends.bundle, ends.stream));
        self.doors.forget(poller, number);
        let Some(socket) = ends.socket else { return };
        if ends.watched != (false, false) {
            poller.remove(socket.as_raw_fd());
        }
        if aborted {
            abort(&socket);
        }
    }

    /// Take what happened in the core, and move what can be moved; what the control plane is to know of it is added to `told`.
    pub(crate) fn serve(&mut self, core: &mut Core, poller: &Poller, now: Micros, told: &mut Vec<NodeEvent>) {
        self.follow(core, poller, told);
        for number in self.doors.idle(now) {
            self.reset(core, poller, number, Why::Gone);
            told.push(NodeEvent::StreamOver { stream: number, why: Some(Why::Gone.code()) });
        }
        for number in std::mem::take(&mut self.due) {
            if self.doors.has(number) {
                self.doors.deliver(core, now, number);
                continue;
            }
            let Some(ends) = self.ends.get_mut(&number) else { continue };
            let Some(bundle) = core.bundle(ends.bundle) else { continue };
            match ends.serve(bundle) {
                Ok(Moved::All(wanted)) => ends.watch(poller, number, wanted),
                Ok(Moved::Some) => {
                    self.due.insert(number);
                }
                Err(_) => {
                    bundle.reset(ends.stream, Why::Gone);
                    self.remove(poller, number, true);
                    told.push(NodeEvent::StreamOver { stream: number, why: Some(Why::Gone.code()) });
                    continue;
                }
            }
            if ends.program_ended && ends.stream_ended {
                self.remove(poller, number, false);
                told.push(NodeEvent::StreamOver { stream: number, why: None });
            }
        }
        while let Some(bundle) = core.next_wanting() {
            told.push(NodeEvent::BundleWants { bundle: bundle.0 });
        }
    }

    fn follow(&mut self, core: &mut Core, poller: &Poller, told: &mut Vec<NodeEvent>) {
        while let Some((bundle, event)) = core.poll_streams() {
            let number = |stream: StreamId| self.numbers.get(&(bundle, stream)).copied();
            match event {
                StreamEvent::Asked { stream, port, way } => {
                    let number = self.next_number.fetch_add(1, Ordering::Relaxed);
                    self.add(number, bundle, stream);
                    told.push(NodeEvent::StreamAsked { stream: number, bundle: bundle.0, port, way });
                }
                StreamEvent::Taken(stream) => told.extend(number(stream).map(|stream| NodeEvent::StreamTaken { stream })),
                StreamEvent::Readable(stream) | StreamEvent::Writable(stream) | StreamEvent::Ended(stream) => self.due.extend(number(stream)),
                StreamEvent::Reset { stream, why } => {
                    let Some(number) = number(stream) else { continue };
                    self.remove(poller, number, true);
                    told.push(NodeEvent::StreamOver { stream: number, why: Some(why.code()) });
                }
                StreamEvent::Broken => {
                    told.extend(self.forget(poller, bundle).into_iter().map(|stream| NodeEvent::StreamOver { stream, why: Some(Why::Gone.code()) }));
                    told.push(NodeEvent::BundleBroken { bundle: bundle.0 });
                }
            }
        }
    }
}

impl Ends {
    /// Move octets both ways, as many as can be, or a turn's worth.
    fn serve(&mut self, bundle: &mut Bundle) -> Result<Moved> {
        let Some(socket) = self.socket.as_mut() else { return Ok(Moved::All((false, false))) };
        let mut octets = [0; CHUNK_OCTETS];
        let (mut to_program, mut from_program) = (0, 0);
        while to_program < TURN_OCTETS {
            if self.left.is_empty() {
                let read = bundle.read(self.stream, &mut octets);
                self.left.extend(&octets[..read]);
                to_program += read;
            }
            if self.left.is_empty() {
                break;
            }
            match moved(socket.write(&self.left))? {
                Some(written) => drop(self.left.drain(..written)),
                None => break,
            }
        }
        if !self.stream_ended && self.left.is_empty() && bundle.is_read(self.stream) {
            self.stream_ended = true;
            // A program that is gone already needs not be told.
            let _ = socket.shutdown(Shutdown::Write);
        }
        while !self.program_ended && from_program < TURN_OCTETS {
            let room = bundle.room(self.stream).min(CHUNK_OCTETS);
            if room == 0 {
                bundle.want_room(self.stream);
                return Ok(if to_program < TURN_OCTETS { Moved::All((false, !self.left.is_empty())) } else { Moved::Some });
            }
            match moved(socket.read(&mut octets[..room]))? {
                Some(0) => {
                    self.program_ended = true;
                    bundle.end(self.stream);
                }
                Some(read) => {
                    bundle.write(self.stream, &octets[..read]); // there is room for all of it
                    from_program += read;
                }
                None => break,
            }
        }
        let all = to_program < TURN_OCTETS && from_program < TURN_OCTETS;
        Ok(if all { Moved::All((!self.program_ended, !self.left.is_empty())) } else { Moved::Some })
    }

    fn watch(&mut self, poller: &Poller, number: u32, wanted: (bool, bool)) {
        if let Some(socket) = self.socket.as_ref().filter(|_| wanted != self.watched) {
            poller.watch(socket.as_raw_fd(), STREAMS | u64::from(number), self.watched, wanted);
            self.watched = wanted;
        }
    }
}

/// Open a stream, or an association, in a bundle of the core; why not, where it cannot be.
fn begin(core: &mut Core, (bundle, port, way): (BundleId, u16, Way)) -> std::result::Result<StreamId, Why> {
    let its = core.bundle(bundle).ok_or(Why::Gone)?;
    match way {
        Way::Row => its.open(port),
        Way::Datagrams => its.associate(port),
        Way::Fast => its.open_fast(port),
    }
    .map_err(|_| Why::Busy)
}

/// Return how many octets were moved, `None` where the socket has to be waited for.
fn moved(result: Result<usize>) -> Result<Option<usize>> {
    match result {
        Ok(octets) => Ok(Some(octets)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}

fn duplicate_any(descriptor: RawFd) -> Option<OwnedFd> {
    // SAFETY: whoever gave the number holds it open during this call; one that is no descriptor is an error of the duplication.
    (descriptor >= 0).then(|| unsafe { BorrowedFd::borrow_raw(descriptor) }.try_clone_to_owned().ok())?
}

/// Return a socket of the engine's own for a descriptor of somebody else's, a connected UDP socket.
pub(crate) fn duplicate_datagrams(descriptor: RawFd) -> std::result::Result<UdpSocket, Error> {
    const NONE: Error = Error::Local("a door's descriptor is none of a connected UDP socket");
    let socket = UdpSocket::from(duplicate_any(descriptor).ok_or(NONE)?);
    socket.peer_addr().and_then(|_| socket.set_nonblocking(true)).map_err(|_| NONE)?;
    Ok(socket)
}

/// Return a socket of the engine's own for a descriptor of somebody else's, a connected TCP socket.
pub(crate) fn duplicate(descriptor: RawFd) -> std::result::Result<TcpStream, Error> {
    const NONE: Error = Error::Local("a stream's descriptor is none of a connected TCP socket");
    let socket = TcpStream::from(duplicate_any(descriptor).ok_or(NONE)?);
    socket.peer_addr().and_then(|_| socket.set_nonblocking(true)).map_err(|_| NONE)?;
    // Octets wait for nobody, here neither.
    socket.set_nodelay(true).map_err(|_| NONE)?;
    Ok(socket)
}

/// Let the program see that its stream was cut off, and did not end: closing this socket resets the TCP connection.
fn abort(socket: &TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let octets = std::mem::size_of::<libc::linger>() as libc::socklen_t;
    // SAFETY: the kernel reads the struct, which outlives the call; failure means an ordinary close.
    unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, std::ptr::addr_of!(linger).cast(), octets) };
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::sync::atomic::AtomicU32;
    use std::sync::Arc;

    use voicebox_core::streams::{Way, Why, MAX_STREAMS};
    use voicebox_core::{BundleId, Command, Config, Core, Input, SeededRandom};

    use super::Streams;
    use crate::poller::Poller;

    #[test]
    fn a_door_for_an_association_that_is_over_already_is_closed_but_not_one_for_many() {
        let mut core = Core::new(Config::default(), Box::new(SeededRandom::new([1; 32])));
        let poller = Poller::new().expect("epoll");
        let mut streams = Streams::new(Arc::new(AtomicU32::new(1)));
        for (door, has_headers) in [(7, false), (8, true)] {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
            let place = socket.local_addr().expect("a bound socket");
            streams.open_door(&poller, door, socket, has_headers);
            assert!(UdpSocket::bind(place).is_err());
            streams.attach_door(&mut core, &poller, 0, door, 99, Vec::new(), &[]);
            assert_eq!(UdpSocket::bind(place).is_err(), has_headers);
        }
    }
    #[test]
    fn where_there_is_no_room_the_association_that_was_unused_longest_gives_way_and_its_door_is_closed() {
        const SECOND_US: u64 = 1_000_000;
        let (bundle, other, most) = (BundleId(1), BundleId(2), MAX_STREAMS as u32);
        let mut core = Core::new(Config::default(), Box::new(SeededRandom::new([1; 32])));
        let poller = Poller::new().expect("epoll");
        let mut streams = Streams::new(Arc::new(AtomicU32::new(1)));
        for bundle in [bundle, other] {
            core.handle(0, Input::Command(Command::BundleOpen { bundle }));
        }
        let associate = |streams: &mut Streams, core: &mut Core, now: u64, number: u32, bundle: BundleId| {
            let over = streams.open(core, &poller, now, number, (bundle, 53, Way::Datagrams));
            let (socket, program) = (UdpSocket::bind("127.0.0.1:0").expect("a port"), UdpSocket::bind("127.0.0.1:0").expect("a port"));
            socket.connect(program.local_addr().expect("bound")).expect("loopback");
            socket.set_nonblocking(true).expect("as every door's");
            program.connect(socket.local_addr().expect("bound")).expect("loopback");
            streams.open_door(&poller, number, socket, false);
            streams.attach_door(core, &poller, now, number, number, Vec::new(), &[]);
            (over, program)
        };
        // A stream, an association of another contact's that is older than all, one that was never taken, and 62.
        associate(&mut streams, &mut core, 0, 1_000, other);
        assert!(
            streams.open(&mut core, &poller, 0, 1, (bundle, 80, Way::Row)).is_empty()
                && streams.open(&mut core, &poller, 0, 2, (bundle, 53, Way::Datagrams)).is_empty()
        );
        let programs: Vec<_> = (3..=most).map(|number| associate(&mut streams, &mut core, u64::from(number), number, bundle)).collect();
        assert!(programs.iter().all(|(over, _)| over.is_empty()));

        let full = associate(&mut streams, &mut core, 5 * SECOND_US + 2, 100, bundle).0;
        assert_eq!(full, [(100, Why::Busy)], "nobody has been unused for five seconds");
        programs[0].1.send(b"x").expect("loopback");
        streams.take_datagrams(&mut core, 4 * SECOND_US, 3, &mut Vec::new());
        let door = programs[1].1.peer_addr().expect("connected");
        assert!(UdpSocket::bind(door).is_err());
        for (number, gone) in [(101, 4), (102, 5)] {
            let over = associate(&mut streams, &mut core, 5 * SECOND_US + 5, number, bundle).0;
            assert_eq!(over, [(gone, Why::Gone)], "the third was used meanwhile");
        }
        assert!(UdpSocket::bind(door).is_ok(), "its door is closed");
        assert_eq!(streams.open(&mut core, &poller, 5 * SECOND_US + 6, 103, (bundle, 80, Way::Row)), [(6, Why::Gone)], "to a stream too");
        assert_eq!(core.bundle(bundle).expect("opened").streams(), MAX_STREAMS);
        assert_eq!(core.bundle(other).expect("opened").streams(), 1);
    }
}
