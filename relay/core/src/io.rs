//! What goes into the core and what comes out. Nothing else crosses: no socket, no clock, no log.

use crate::ids::{BundleId, CircId, LinkId, Micros, PortId};
use crate::speech::CREATED_OCTETS;

/// Octets of a cell (PROTOCOL.md §3).
pub const CELL_OCTETS: usize = 256;

/// What a link is to this node (PROTOCOL.md §2.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkKind {
    /// An access link on which this node is the box.
    AccessOwner,
    /// An incoming link without a certificate: a box, for which this node is the guard.
    AccessGuard,
    /// A link between two relays.
    Relay,
}

/// Something that happened outside.
#[derive(Debug)]
pub enum Input<'a> {
    /// A link stands. A number that is in use already is ignored and counted.
    LinkUp {
        /// Its number.
        link: LinkId,
        /// What it is.
        kind: LinkKind,
    },
    /// A link is gone, and with it everything on it.
    LinkDown {
        /// Its number.
        link: LinkId,
    },
    /// A cell came.
    Cell {
        /// On this link.
        link: LinkId,
        /// Its octets, as the record carried them.
        cell: &'a [u8; CELL_OCTETS],
    },
    /// A datagram came from the phone at a media port.
    Rtp {
        /// The port.
        port: PortId,
        /// RTP, RTCP, or anything else.
        datagram: &'a [u8],
    },
    /// Time has passed, nothing else.
    Timer,
    /// The control plane wants something.
    Command(Command),
}

/// What the control plane asks for: the methods of `voicebox/_relay.pyi` that concern circuits and media. A command about something
/// that is not there (any more), or out of bounds, does nothing and is counted: the control plane may always be one event behind.
#[derive(Clone, PartialEq, Eq)]
#[allow(missing_docs)] // Reason: the fields have the names and meanings of the methods' arguments in voicebox/_relay.pyi.
pub enum Command {
    /// Become a hop (PROTOCOL.md §6.1).
    Accept {
        link: LinkId,
        circuit: CircId,
        forward_key: [u8; 16],
        backward_key: [u8; 16],
        created: Box<[u8; CREATED_OCTETS]>,
        junction: bool,
        forward_step_us: u32,
        backward_step_us: u32,
    },
    /// Answer a create with `refused`.
    Refuse { link: LinkId, circuit: CircId, reason: u8 },
    /// Carry out an `extend`: say create on `next_link`.
    Extend { link: LinkId, circuit: CircId, next_link: LinkId, next_circuit: CircId, handshake: Vec<u8> },
    /// Answer an `extend` with `not extended`.
    RefuseExtend { link: LinkId, circuit: CircId, reason: u8 },
    /// Answer an `ask`, under the number that it came with.
    AnswerAsk { link: LinkId, circuit: CircId, number: u16, payload: Vec<u8> },
    /// Owner: say create on an access link until it is answered.
    Open { link: LinkId, circuit: CircId, handshake: Vec<u8> },
    /// Owner: use the keys of one more hop.
    AddHop { link: LinkId, circuit: CircId, forward_key: [u8; 16], backward_key: [u8; 16] },
    /// Owner: say a message to a hop round and round.
    Say { link: LinkId, circuit: CircId, hop: u8, kind: u8, payload: Vec<u8>, every: u32, times: u32 },
    /// Owner: stop saying the present message.
    Hush { link: LinkId, circuit: CircId },
    /// Owner: delay the tick of an access link (PROTOCOL.md §5.4).
    Shift { link: LinkId, delay_us: u32 },
    /// Owner: let a circuit go on over another access link, and say so to its guard (PROTOCOL.md §6.5).
    Attach { link: LinkId, circuit: CircId, next_link: LinkId },
    /// Owner: fix the own backward due times with the next 50 cells (PROTOCOL.md §5.3).
    SettleOwn { link: LinkId, circuit: CircId, step_us: u32 },
    /// Owner: begin the end-to-end layer or change its keys.
    Speak { link: LinkId, circuit: CircId, send_key: Option<[u8; 16]>, receive_keys: Vec<[u8; 16]> },
    /// Owner: let one more circuit carry a call, the spare; a third one may come while the call moves to the next epoch (PROTOCOL.md §9.5).
    Couple { link: LinkId, circuit: CircId, spare_link: LinkId, spare_circuit: CircId },
    /// Owner: queue a message of the channel (PROTOCOL.md §9.2).
    ChannelSend { link: LinkId, circuit: CircId, message: Vec<u8> },
    /// Owner: end the end-to-end layer.
    Quiet { link: LinkId, circuit: CircId },
    /// Owner: forget an own circuit.
    Close { link: LinkId, circuit: CircId },
    /// Owner: begin a bundle of streams (PROTOCOL.md §11.1).
    BundleOpen { bundle: BundleId },
    /// Owner: let a circuit that speaks carry a bundle, from where it was.
    BundleBind { bundle: BundleId, link: LinkId, circuit: CircId },
    /// Owner: forget a bundle and its streams.
    BundleClose { bundle: BundleId },
    /// A media port was bound.
    MediaOpen { port: PortId },
    /// Where and how the phone wants its sound. (The address is the node's affair.)
    MediaRemote { port: PortId, codec: u8, payload_type: u8, event_payload_type: Option<u8> },
    /// How many milliseconds of sound the phone wants in a packet.
    MediaPackets { port: PortId, packet_ms: u8 },
    /// Which ways the sound goes.
    MediaDirection { port: PortId, to_phone: bool, from_phone: bool },
    /// Connect a port with a circuit's end-to-end layer.
    MediaBind { port: PortId, link: LinkId, circuit: CircId, codec: u8 },
    /// Connect two ports with each other, or one with itself.
    MediaJoin { port: PortId, other: PortId, codec: u8 },
    /// Play frames of the box's own to the phone, one in each slot; where the port is bound to a circuit, into that, as if a phone had said them.
    MediaPlay { port: PortId, codec: u8, frame_octets: usize, frames: Vec<u8> },
    /// Keep what the port's circuit brings, for so many slots from now on; 0 ends that.
    MediaTape { port: PortId, slots: u32 },
    /// Undo a binding, a joining or what is played; a tape goes on.
    MediaUnbind { port: PortId },
    /// Say a digit to the phone (RFC 4733).
    MediaDigit { port: PortId, code: u8, duration_ms: u16 },
    /// A media port is gone.
    MediaClose { port: PortId },
}

impl std::fmt::Debug for Command {
    /// Print nothing of it: commands hold keys.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Command(..)")
    }
}

/// Something to be done outside, in the order in which it came out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Send a cell when it is due.
    Send {
        /// On this link.
        link: LinkId,
        /// The cell.
        cell: [u8; CELL_OCTETS],
        /// When it has to leave; at or before now means at once. Scheduled cells come out 1 ms ahead (PROTOCOL.md §5.2).
        at: Micros,
    },
    /// Send a datagram to the phone.
    SendRtp {
        /// From this media port.
        port: PortId,
        /// From its RTCP socket.
        rtcp: bool,
        /// The datagram.
        datagram: Vec<u8>,
        /// When it has to leave.
        at: Micros,
    },
    /// Tell the control plane.
    Event(Event),
    /// Forget a link, in silence.
    CloseLink {
        /// Its number.
        link: LinkId,
    },
}

/// What the control plane learns: the events of `voicebox/_relay.pyi` that concern circuits and media.
#[derive(Clone, PartialEq, Eq)]
#[allow(missing_docs)] // Reason: the fields have the names and meanings of the events' fields in voicebox/_relay.pyi.
pub enum Event {
    /// A whole create came; answer with accept or refuse.
    Create { link: LinkId, circuit: CircId, handshake: Vec<u8> },
    /// A whole extend came; answer with extend or refuse_extend.
    Extend { link: LinkId, circuit: CircId, relay_id: [u8; 32], next_circuit: CircId, handshake: Vec<u8> },
    /// A whole ask came; answer with answer_ask.
    Ask { link: LinkId, circuit: CircId, number: u16, payload: Vec<u8> },
    /// A circuit through this relay is forgotten.
    CircuitEnded { link: LinkId, circuit: CircId },
    /// The guard's `created` for an own circuit.
    Created { link: LinkId, circuit: CircId, payload: Vec<u8> },
    /// The guard's `refused`.
    Refused { link: LinkId, circuit: CircId, reason: u8 },
    /// An answer of a hop of an own circuit, or `knocked`.
    Answer { link: LinkId, circuit: CircId, hop: u8, kind: u8, payload: Vec<u8> },
    /// The first valid end-to-end cell under a receive key.
    Heard { link: LinkId, circuit: CircId, key_index: u8 },
    /// A message of the channel.
    Message { link: LinkId, circuit: CircId, message: Vec<u8> },
    /// No valid end-to-end cell for 10 s.
    Silent { link: LinkId, circuit: CircId },
    /// An own circuit is gone.
    Ended { link: LinkId, circuit: CircId },
    /// The phone sent a digit.
    Digit { port: PortId, code: u8, duration_ms: u16 },
    /// What a tape has kept: entries of `length u8 | frame`.
    Taped { port: PortId, entries: Vec<u8> },
}

impl std::fmt::Debug for Event {
    /// Print nothing of it: events hold handshakes and messages.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Event(..)")
    }
}
