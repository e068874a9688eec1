//! The class Engine.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};
use std::collections::HashMap;
use voicebox_core::streams::Way;
use voicebox_core::{BundleId, CircId, Command, LinkId, PortId};
use voicebox_node::Settings;

use crate::commands::{self, key, keys, sized};
use crate::errors::{raise, wrong};
use crate::events::of_node;

#[pyclass(module = "voicebox._relay", frozen, subclass)]
pub(crate) struct Engine {
    engine: voicebox_node::Engine,
}

impl Engine {
    fn command(&self, command: Command) -> PyResult<()> {
        self.engine.command(command).map_err(raise)
    }
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (*, born_unix_us, realtime = true, max_circuits = 4096, metered = false, seed = None, limit_per_s = None, link_idle_us = 60_000_000, keeper = None))]
    #[allow(clippy::too_many_arguments)] // as many as Python's class has
    fn new(
        born_unix_us: u64,
        realtime: bool,
        max_circuits: u32,
        metered: bool,
        seed: Option<&[u8]>,
        limit_per_s: Option<u64>,
        link_idle_us: u64,
        keeper: Option<i32>,
    ) -> PyResult<Self> {
        let seed = seed.map(|seed| sized(seed, "a seed has 32 octets")).transpose()?;
        let settings = Settings { born_unix_us, realtime, max_circuits, metered, seed, limit_per_s, link_idle_us, keeper };
        Ok(Self { engine: voicebox_node::Engine::new(&settings).map_err(raise)? })
    }

    fn start(&self, py: Python<'_>) -> PyResult<bool> {
        py.detach(|| self.engine.start()).map_err(raise)
    }

    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.engine.stop());
    }

    fn fileno(&self) -> i32 {
        self.engine.descriptor()
    }

    fn events<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let events = self.engine.events().iter().map(|event| of_node(py, event)).collect::<PyResult<Vec<Bound<'py, PyTuple>>>>()?;
        PyList::new(py, events)
    }

    fn counters(&self, py: Python<'_>) -> PyResult<HashMap<&'static str, u64>> {
        Ok(py.detach(|| self.engine.counters()).map_err(raise)?.into_iter().collect())
    }

    fn jitter(&self, py: Python<'_>) -> PyResult<Vec<(u32, i64)>> {
        py.detach(|| self.engine.jitter()).map_err(raise)
    }

    fn tap(&self, seconds: f64) -> PyResult<()> {
        self.engine.tap(seconds).map_err(raise)
    }

    fn now_us(&self) -> u64 {
        self.engine.now()
    }

    fn listen(&self, address: &str, port: u16, certificate_der: &[u8], key_der: &[u8]) -> PyResult<u16> {
        self.engine.listen(address, port, certificate_der, key_der).map_err(raise)
    }

    #[pyo3(signature = (address, port = 0))]
    fn bind(&self, address: &str, port: u16) -> PyResult<u16> {
        self.engine.bind(address, port).map_err(raise)
    }

    fn heard(&self, py: Python<'_>) -> PyResult<Vec<(u32, u64)>> {
        py.detach(|| self.engine.heard()).map_err(raise)
    }

    #[pyo3(signature = (address, uplink = None))]
    fn source(&self, address: &str, uplink: Option<&str>) -> PyResult<String> {
        let source = self.engine.source(address, uplink).map_err(raise)?;
        Ok(source.map_or_else(String::new, |address| address.to_string()))
    }

    #[pyo3(signature = (address, port, pin, certificate_der = None, key_der = None, uplink = None))]
    fn connect(&self, address: &str, port: u16, pin: &[u8], certificate_der: Option<&[u8]>, key_der: Option<&[u8]>, uplink: Option<&str>) -> PyResult<u32> {
        let identity = match (certificate_der, key_der) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(wrong("a certificate and its key are given together")),
        };
        self.engine.connect(address, port, pin, identity, uplink).map_err(raise)
    }

    fn mute(&self, link: u32) -> PyResult<()> {
        self.engine.mute(link).map_err(raise)
    }

    fn disconnect(&self, link: u32) -> PyResult<()> {
        self.engine.disconnect(link).map_err(raise)
    }

    #[pyo3(signature = (link, circuit, forward_key, backward_key, created, junction, forward_step_us = 5_000, backward_step_us = 5_000))]
    #[allow(clippy::too_many_arguments)] // as many as Python's method has
    fn accept(
        &self,
        link: u32,
        circuit: u32,
        forward_key: &[u8],
        backward_key: &[u8],
        created: &[u8],
        junction: bool,
        forward_step_us: u32,
        backward_step_us: u32,
    ) -> PyResult<()> {
        let (link, circuit) = (LinkId(link), CircId(circuit));
        let (forward_key, backward_key) = (key(forward_key)?, key(backward_key)?);
        let created = commands::created(created)?;
        self.command(Command::Accept { link, circuit, forward_key, backward_key, created, junction, forward_step_us, backward_step_us })
    }

    fn refuse(&self, link: u32, circuit: u32, reason: u8) -> PyResult<()> {
        self.command(Command::Refuse { link: LinkId(link), circuit: CircId(circuit), reason })
    }

    fn extend(&self, link: u32, circuit: u32, next_link: u32, next_circuit: u32, handshake: &[u8]) -> PyResult<()> {
        let (next_link, next_circuit) = (LinkId(next_link), CircId(next_circuit));
        self.command(Command::Extend { link: LinkId(link), circuit: CircId(circuit), next_link, next_circuit, handshake: handshake.to_vec() })
    }

    fn refuse_extend(&self, link: u32, circuit: u32, reason: u8) -> PyResult<()> {
        self.command(Command::RefuseExtend { link: LinkId(link), circuit: CircId(circuit), reason })
    }

    fn answer_ask(&self, link: u32, circuit: u32, number: u16, payload: &[u8]) -> PyResult<()> {
        self.command(Command::AnswerAsk { link: LinkId(link), circuit: CircId(circuit), number, payload: payload.to_vec() })
    }

    fn open(&self, link: u32, circuit: u32, handshake: &[u8]) -> PyResult<()> {
        self.command(Command::Open { link: LinkId(link), circuit: CircId(circuit), handshake: handshake.to_vec() })
    }

    fn add_hop(&self, link: u32, circuit: u32, forward_key: &[u8], backward_key: &[u8]) -> PyResult<()> {
        let (forward_key, backward_key) = (key(forward_key)?, key(backward_key)?);
        self.command(Command::AddHop { link: LinkId(link), circuit: CircId(circuit), forward_key, backward_key })
    }

    #[pyo3(signature = (link, circuit, hop, kind, payload, every = 1, times = 0))]
    #[allow(clippy::too_many_arguments)] // as many as Python's method has
    fn say(&self, link: u32, circuit: u32, hop: u8, kind: u8, payload: &[u8], every: u32, times: u32) -> PyResult<()> {
        if every == 0 {
            return Err(wrong("a message is said in every 1st, 2nd, 3rd ... slot"));
        }
        let payload = payload.to_vec();
        self.command(Command::Say { link: LinkId(link), circuit: CircId(circuit), hop, kind, payload, every, times })
    }

    fn hush(&self, link: u32, circuit: u32) -> PyResult<()> {
        self.command(Command::Hush { link: LinkId(link), circuit: CircId(circuit) })
    }

    fn shift(&self, link: u32, delay_us: u32) -> PyResult<()> {
        if delay_us > 40_000 {
            return Err(wrong("a tick is delayed by 0 to 20 000 microseconds, of a metered box by 40 000"));
        }
        self.command(Command::Shift { link: LinkId(link), delay_us })
    }

    fn attach_circuit(&self, link: u32, circuit: u32, next_link: u32) -> PyResult<()> {
        self.command(Command::Attach { link: LinkId(link), circuit: CircId(circuit), next_link: LinkId(next_link) })
    }

    #[pyo3(signature = (link, circuit, step_us = 5_000))]
    fn settle_own(&self, link: u32, circuit: u32, step_us: u32) -> PyResult<()> {
        self.command(Command::SettleOwn { link: LinkId(link), circuit: CircId(circuit), step_us })
    }

    #[allow(clippy::needless_pass_by_value)] // PyO3 extracts the list into a vector of ours
    fn speak(&self, link: u32, circuit: u32, send_key: Option<&[u8]>, receive_keys: Vec<Vec<u8>>) -> PyResult<()> {
        let (send_key, receive_keys) = (send_key.map(key).transpose()?, keys(&receive_keys)?);
        self.command(Command::Speak { link: LinkId(link), circuit: CircId(circuit), send_key, receive_keys })
    }

    fn couple(&self, link: u32, circuit: u32, spare_link: u32, spare_circuit: u32) -> PyResult<()> {
        self.command(Command::Couple { link: LinkId(link), circuit: CircId(circuit), spare_link: LinkId(spare_link), spare_circuit: CircId(spare_circuit) })
    }

    fn channel_send(&self, link: u32, circuit: u32, message: &[u8]) -> PyResult<()> {
        if message.is_empty() || message.len() > 8_192 {
            return Err(wrong("a message of the channel has 1 to 8 192 octets"));
        }
        self.command(Command::ChannelSend { link: LinkId(link), circuit: CircId(circuit), message: message.to_vec() })
    }

    fn quiet(&self, link: u32, circuit: u32) -> PyResult<()> {
        self.command(Command::Quiet { link: LinkId(link), circuit: CircId(circuit) })
    }

    fn close(&self, link: u32, circuit: u32) -> PyResult<()> {
        self.command(Command::Close { link: LinkId(link), circuit: CircId(circuit) })
    }

    fn bundle_open(&self) -> PyResult<u32> {
        self.engine.bundle_open().map_err(raise)
    }

    fn bundle_bind(&self, bundle: u32, link: u32, circuit: u32) -> PyResult<()> {
        self.command(Command::BundleBind { bundle: BundleId(bundle), link: LinkId(link), circuit: CircId(circuit) })
    }

    fn bundle_close(&self, bundle: u32) -> PyResult<()> {
        self.command(Command::BundleClose { bundle: BundleId(bundle) })
    }

    fn bundle_idle_us(&self, py: Python<'_>, bundle: u32) -> PyResult<u64> {
        py.detach(|| self.engine.bundle_idle_us(bundle)).map_err(raise)
    }

    #[pyo3(signature = (bundle, port, *, datagrams=false, fast=false))]
    fn stream_open(&self, bundle: u32, port: u16, datagrams: bool, fast: bool) -> PyResult<u32> {
        let way = match (datagrams, fast) {
            (false, false) => Way::Row,
            (true, false) => Way::Datagrams,
            (false, true) => Way::Fast,
            (true, true) => return Err(wrong("datagrams do not go in fast cells")),
        };
        self.engine.stream_open(bundle, port, way).map_err(raise)
    }

    #[pyo3(signature = (descriptor, *, has_headers=false))]
    fn door_open(&self, descriptor: i32, has_headers: bool) -> PyResult<u32> {
        self.engine.door_open(descriptor, has_headers).map_err(raise)
    }

    fn door_attach(&self, door: u32, stream: u32, header: Vec<u8>, first: Vec<Vec<u8>>) -> PyResult<()> {
        self.engine.door_attach(door, stream, header, first).map_err(raise)
    }

    fn door_close(&self, door: u32) -> PyResult<()> {
        self.engine.door_close(door).map_err(raise)
    }

    #[pyo3(signature = (stream, descriptor, first=Vec::new(), *, whole=false))]
    fn stream_attach(&self, stream: u32, descriptor: i32, first: Vec<u8>, whole: bool) -> PyResult<()> {
        self.engine.stream_attach(stream, descriptor, first, whole).map_err(raise)
    }

    fn stream_reset(&self, stream: u32, why: u8) -> PyResult<()> {
        self.engine.stream_reset(stream, why).map_err(raise)
    }

    fn media_open(&self, address: &str) -> PyResult<(u32, u16)> {
        self.engine.media_open(address).map_err(raise)
    }

    #[pyo3(signature = (port, address, remote_port, codec, payload_type, event_payload_type, rtcp_port=None))]
    fn media_remote(
        &self,
        port: u32,
        address: &str,
        remote_port: u16,
        codec: u8,
        payload_type: u8,
        event_payload_type: Option<u8>,
        rtcp_port: Option<u16>,
    ) -> PyResult<()> {
        self.engine.media_remote(port, (address, remote_port, rtcp_port), codec, payload_type, event_payload_type).map_err(raise)
    }

    fn media_echo(&self, port: u32, codec: u8, payload_type: u8) -> PyResult<()> {
        self.engine.media_echo(port, codec, payload_type).map_err(raise)
    }

    fn media_protect(&self, port: u32, suite: Option<&str>, send_key: &[u8], receive_key: &[u8]) -> PyResult<()> {
        self.engine.media_protect(port, suite.map(|suite| (suite, send_key, receive_key))).map_err(raise)
    }

    fn media_identify<'py>(&self, py: Python<'py>, port: u32) -> PyResult<Bound<'py, PyBytes>> {
        self.engine.media_identify(port).map(|fingerprint| PyBytes::new(py, &fingerprint)).map_err(raise)
    }

    fn media_agree(&self, port: u32, active: bool, hash: &str, fingerprint: &[u8]) -> PyResult<()> {
        self.engine.media_agree(port, active, hash, fingerprint).map_err(raise)
    }

    fn media_packets(&self, port: u32, packet_ms: u8) -> PyResult<()> {
        self.command(Command::MediaPackets { port: PortId(port), packet_ms })
    }

    fn media_direction(&self, port: u32, to_phone: bool, from_phone: bool) -> PyResult<()> {
        self.command(Command::MediaDirection { port: PortId(port), to_phone, from_phone })
    }

    fn media_bind(&self, port: u32, link: u32, circuit: u32, codec: u8) -> PyResult<()> {
        self.command(Command::MediaBind { port: PortId(port), link: LinkId(link), circuit: CircId(circuit), codec })
    }

    fn media_join(&self, port: u32, other: u32, codec: u8) -> PyResult<()> {
        self.command(Command::MediaJoin { port: PortId(port), other: PortId(other), codec })
    }

    fn media_play(&self, port: u32, codec: u8, frame_octets: usize, frames: &[u8]) -> PyResult<()> {
        self.command(Command::MediaPlay { port: PortId(port), codec, frame_octets, frames: frames.to_vec() })
    }

    fn media_machine(&self) -> PyResult<u32> {
        self.engine.media_machine().map_err(raise)
    }

    fn media_tape(&self, port: u32, slots: u32) -> PyResult<()> {
        self.command(Command::MediaTape { port: PortId(port), slots })
    }

    fn media_unbind(&self, port: u32) -> PyResult<()> {
        self.command(Command::MediaUnbind { port: PortId(port) })
    }

    fn media_digit(&self, port: u32, code: u8, duration_ms: u16) -> PyResult<()> {
        self.command(Command::MediaDigit { port: PortId(port), code, duration_ms })
    }

    fn media_close(&self, port: u32) -> PyResult<()> {
        self.engine.media_close(port).map_err(raise)
    }
}
