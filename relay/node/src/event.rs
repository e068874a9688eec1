//! What the engine's thread tells whoever holds the engine.

use voicebox_core::streams::Way;
use voicebox_core::Event;
use voicebox_dtls::Pin;

/// What the thread tells.
pub enum NodeEvent {
    /// A DTLS link stands.
    LinkUp {
        /// Its number.
        link: u32,
        /// Whether the other side began it.
        incoming: bool,
        /// The key it proved to have; none of a box.
        peer_pin: Option<Pin>,
        /// The certificate of a relay that began it, DER.
        certificate: Option<Vec<u8>>,
    },
    /// A link that was asked for did not come about.
    LinkFailed {
        /// Its number.
        link: u32,
    },
    /// A link that stood is gone.
    LinkDown {
        /// Its number.
        link: u32,
    },
    /// The sound of a port is not protected as was agreed, and nothing passes.
    MediaFailed {
        /// The port's number.
        port: u32,
    },
    /// A contact's box opens a stream.
    StreamAsked {
        /// Its number.
        stream: u32,
        /// Of which bundle.
        bundle: u32,
        /// To the service of this port.
        port: u16,
        /// How what is said on it comes.
        way: Way,
    },
    /// A program sent a datagram through a door, with a header that no association has.
    DatagramAsked {
        /// The door's number.
        door: u32,
        /// With its header.
        datagram: Vec<u8>,
    },
    /// The contact's box takes a stream that was opened here.
    StreamTaken {
        /// Its number.
        stream: u32,
    },
    /// A stream is gone: it ended on both sides, or was reset.
    StreamOver {
        /// Its number.
        stream: u32,
        /// Of one that was reset, PROTOCOL.md §11.3.
        why: Option<u8>,
    },
    /// A bundle has something to say, and no circuit carries it.
    BundleWants {
        /// Its number.
        bundle: u32,
    },
    /// The contact's box broke the protocol of streams; they are all gone.
    BundleBroken {
        /// Its number.
        bundle: u32,
    },
    /// From the core.
    Core(Event),
    /// The thread ended on an error of ours; nothing works any more.
    EngineFailed,
}
