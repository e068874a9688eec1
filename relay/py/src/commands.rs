//! Commands from Python's arguments. Lengths are checked here, so that the core is never handed a key of another size.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use voicebox_core::speech::CREATED_OCTETS;
use voicebox_core::{BundleId, CircId, Command, LinkId, PortId};

use crate::errors::wrong;

/// Octets of a fixed length.
pub(crate) fn sized<const N: usize>(octets: &[u8], problem: &'static str) -> PyResult<[u8; N]> {
    octets.try_into().map_err(|_| wrong(problem))
}

/// A key of a layer.
pub(crate) fn key(octets: &[u8]) -> PyResult<[u8; 16]> {
    sized(octets, "a layer's key has 16 octets")
}

/// What answers a create.
pub(crate) fn created(octets: &[u8]) -> PyResult<Box<[u8; CREATED_OCTETS]>> {
    sized(octets, "created has 1 184 octets").map(Box::new)
}

/// Keys to receive with.
pub(crate) fn keys(octets: &[Vec<u8>]) -> PyResult<Vec<[u8; 16]>> {
    octets.iter().map(|octets| key(octets)).collect()
}

/// Arguments of a command given as a tuple, by place.
struct Arguments<'a, 'py>(&'a Bound<'py, PyTuple>);

impl<'py> Arguments<'_, 'py> {
    fn get<T: for<'a> FromPyObject<'a, 'py, Error = PyErr>>(&self, place: usize) -> PyResult<T> {
        self.0.get_item(place + 2)?.extract()
    }

    /// A de-jitter step; the methods' default where it is left out.
    fn step(&self, place: usize) -> PyResult<u32> {
        if self.0.len() > place + 2 {
            self.get(place)
        } else {
            Ok(5_000)
        }
    }

    fn link(&self) -> PyResult<LinkId> {
        Ok(LinkId(self.get(0)?))
    }

    fn circuit(&self) -> PyResult<CircId> {
        Ok(CircId(self.get(1)?))
    }

    fn port(&self) -> PyResult<PortId> {
        Ok(PortId(self.get(0)?))
    }

    fn octets(&self, place: usize) -> PyResult<Vec<u8>> {
        Ok(self.0.get_item(place + 2)?.cast::<PyBytes>()?.as_bytes().to_vec())
    }

    fn key(&self, place: usize) -> PyResult<[u8; 16]> {
        key(&self.octets(place)?)
    }
}

/// Read `('command', name, *arguments)`, with the names and arguments of the methods of Engine, media_open(port), bundle_open(bundle) and media_remote()
/// without the address excepted.
pub(crate) fn parse(tuple: &Bound<'_, PyTuple>) -> PyResult<Command> {
    let name: String = tuple.get_item(1)?.extract()?;
    let its = Arguments(tuple);
    if name.starts_with("media_") {
        return parse_media(&name, &its);
    }
    if name.starts_with("bundle_") {
        return parse_bundle(&name, &its);
    }
    let link = its.link()?;
    if name == "shift" {
        return Ok(Command::Shift { link, delay_us: its.get(1)? });
    }
    let circuit = its.circuit()?;
    Ok(match name.as_str() {
        "accept" => Command::Accept {
            link,
            circuit,
            forward_key: its.key(2)?,
            backward_key: its.key(3)?,
            created: created(&its.octets(4)?)?,
            junction: its.get(5)?,
            forward_step_us: its.step(6)?,
            backward_step_us: its.step(7)?,
        },
        "refuse" => Command::Refuse { link, circuit, reason: its.get(2)? },
        "extend" => Command::Extend { link, circuit, next_link: LinkId(its.get(2)?), next_circuit: CircId(its.get(3)?), handshake: its.octets(4)? },
        "refuse_extend" => Command::RefuseExtend { link, circuit, reason: its.get(2)? },
        "answer_ask" => Command::AnswerAsk { link, circuit, number: its.get(2)?, payload: its.octets(3)? },
        "open" => Command::Open { link, circuit, handshake: its.octets(2)? },
        "add_hop" => Command::AddHop { link, circuit, forward_key: its.key(2)?, backward_key: its.key(3)? },
        "say" => {
            let (hop, kind, payload) = (its.get(2)?, its.get(3)?, its.octets(4)?);
            Command::Say { link, circuit, hop, kind, payload, every: its.get(5)?, times: its.get(6)? }
        }
        "hush" => Command::Hush { link, circuit },
        "attach_circuit" => Command::Attach { link, circuit, next_link: LinkId(its.get(2)?) },
        "settle_own" => Command::SettleOwn { link, circuit, step_us: its.step(2)? },
        "speak" => {
            let send_key: Option<Vec<u8>> = its.get(2)?;
            let receive_keys: Vec<Vec<u8>> = its.get(3)?;
            Command::Speak { link, circuit, send_key: send_key.map(|octets| key(&octets)).transpose()?, receive_keys: keys(&receive_keys)? }
        }
        "couple" => Command::Couple { link, circuit, spare_link: LinkId(its.get(2)?), spare_circuit: CircId(its.get(3)?) },
        "channel_send" => Command::ChannelSend { link, circuit, message: its.octets(2)? },
        "quiet" => Command::Quiet { link, circuit },
        "close" => Command::Close { link, circuit },
        _ => return Err(wrong("there is no such command")),
    })
}

fn parse_bundle(name: &str, its: &Arguments<'_, '_>) -> PyResult<Command> {
    let bundle = BundleId(its.get(0)?);
    Ok(match name {
        "bundle_open" => Command::BundleOpen { bundle },
        "bundle_bind" => Command::BundleBind { bundle, link: LinkId(its.get(1)?), circuit: CircId(its.get(2)?) },
        "bundle_close" => Command::BundleClose { bundle },
        _ => return Err(wrong("there is no such command")),
    })
}

fn parse_media(name: &str, its: &Arguments<'_, '_>) -> PyResult<Command> {
    let port = its.port()?;
    Ok(match name {
        "media_open" => Command::MediaOpen { port },
        "media_remote" => Command::MediaRemote { port, codec: its.get(1)?, payload_type: its.get(2)?, event_payload_type: its.get(3)? },
        "media_packets" => Command::MediaPackets { port, packet_ms: its.get(1)? },
        "media_direction" => Command::MediaDirection { port, to_phone: its.get(1)?, from_phone: its.get(2)? },
        "media_bind" => Command::MediaBind { port, link: LinkId(its.get(1)?), circuit: CircId(its.get(2)?), codec: its.get(3)? },
        "media_join" => Command::MediaJoin { port, other: PortId(its.get(1)?), codec: its.get(2)? },
        "media_play" => Command::MediaPlay { port, codec: its.get(1)?, frame_octets: its.get(2)?, frames: its.octets(3)? },
        "media_tape" => Command::MediaTape { port, slots: its.get(1)? },
        "media_unbind" => Command::MediaUnbind { port },
        "media_digit" => Command::MediaDigit { port, code: its.get(1)?, duration_ms: its.get(2)? },
        "media_close" => Command::MediaClose { port },
        _ => return Err(wrong("there is no such command")),
    })
}
