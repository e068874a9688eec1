//! What the engine's thread is asked by whoever holds the engine.

use std::net::{TcpStream, UdpSocket};
use std::sync::mpsc::SyncSender;

use voicebox_core::streams::{Way, Why};
use voicebox_core::{Command, LinkKind};
use voicebox_dtls::{Dialer, Identity, Keys, Listener, Pin};

use crate::handshakes::Agreed;
use crate::links::SocketNumber;
use crate::media::MediaPort;

/// What the thread is asked.
pub(crate) enum Order {
    Listen { socket: SocketNumber, with: UdpSocket, listener: Listener },
    AddSocket { socket: SocketNumber, with: UdpSocket },
    Connect { link: u32, socket: SocketNumber, own: Option<UdpSocket>, peer: std::net::SocketAddr, pin: Pin, dialer: Dialer, kind: LinkKind },
    Disconnect { link: u32 },
    Mute { link: u32 },
    Core(Command),
    MediaOpen { port: u32, with: Box<MediaPort> },
    MediaRemote { port: u32, address: std::net::SocketAddr, rtcp_port: Option<u16>, command: Command },
    MediaEcho { port: u32, command: Command },
    MediaProtect { port: u32, keys: Option<Keys> },
    MediaIdentify { port: u32, identity: Identity },
    MediaAgree { port: u32, agreed: Agreed },
    MediaClose { port: u32 },
    StreamOpen { stream: u32, bundle: u32, port: u16, way: Way },
    StreamAttach { stream: u32, with: TcpStream, first: Vec<u8>, whole: bool },
    DoorOpen { door: u32, with: UdpSocket, has_headers: bool },
    DoorAttach { door: u32, stream: u32, header: Vec<u8>, first: Vec<Vec<u8>> },
    DoorClose { door: u32 },
    StreamReset { stream: u32, why: Why },
    BundleIdle { bundle: u32, answer: SyncSender<u64> },
    Tap { seconds: f64 },
    Counters { answer: SyncSender<Vec<(&'static str, u64)>> },
    Jitter { answer: SyncSender<Vec<(u32, i64)>> },
    Heard { answer: SyncSender<Vec<(u32, u64)>> },
    Stop,
}
