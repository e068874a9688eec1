//! Events as tuples: the name first, then the fields, as `voicebox/_relay.pyi` lists them.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use pyo3::IntoPyObject;
use voicebox_core::streams::Way;
use voicebox_core::Event;
use voicebox_node::NodeEvent;

fn tuple<'py, T>(py: Python<'py>, fields: T) -> PyResult<Bound<'py, PyTuple>>
where
    T: IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>, Error = PyErr>,
{
    fields.into_pyobject(py)
}

/// Translate an event of the core.
pub(crate) fn of_core<'py>(py: Python<'py>, event: &Event) -> PyResult<Bound<'py, PyTuple>> {
    let octets = |octets: &[u8]| PyBytes::new(py, octets);
    match event {
        Event::Create { link, circuit, handshake } => tuple(py, ("create", link.0, circuit.0, octets(handshake))),
        Event::Extend { link, circuit, relay_id, next_circuit, handshake } => {
            tuple(py, ("extend", link.0, circuit.0, octets(relay_id), next_circuit.0, octets(handshake)))
        }
        Event::Ask { link, circuit, number, payload } => tuple(py, ("ask", link.0, circuit.0, *number, octets(payload))),
        Event::CircuitEnded { link, circuit } => tuple(py, ("circuit_ended", link.0, circuit.0)),
        Event::Created { link, circuit, payload } => tuple(py, ("created", link.0, circuit.0, octets(payload))),
        Event::Refused { link, circuit, reason } => tuple(py, ("refused", link.0, circuit.0, *reason)),
        Event::Answer { link, circuit, hop, kind, payload } => tuple(py, ("answer", link.0, circuit.0, *hop, *kind, octets(payload))),
        Event::Heard { link, circuit, key_index } => tuple(py, ("heard", link.0, circuit.0, *key_index)),
        Event::Message { link, circuit, message } => tuple(py, ("message", link.0, circuit.0, octets(message))),
        Event::Silent { link, circuit } => tuple(py, ("silent", link.0, circuit.0)),
        Event::Ended { link, circuit } => tuple(py, ("ended", link.0, circuit.0)),
        Event::Digit { port, code, duration_ms } => tuple(py, ("digit", port.0, *code, *duration_ms)),
        Event::Taped { port, entries } => tuple(py, ("taped", port.0, octets(entries))),
    }
}

/// Translate an event of the node.
pub(crate) fn of_node<'py>(py: Python<'py>, event: &NodeEvent) -> PyResult<Bound<'py, PyTuple>> {
    match event {
        NodeEvent::LinkUp { link, incoming, peer_pin, certificate } => {
            let certificate = certificate.as_ref().map(|der| PyBytes::new(py, der));
            tuple(py, ("link_up", *link, *incoming, peer_pin.map(|pin| PyBytes::new(py, &pin)), certificate))
        }
        NodeEvent::LinkFailed { link } => tuple(py, ("link_failed", *link)),
        NodeEvent::LinkDown { link } => tuple(py, ("link_down", *link)),
        NodeEvent::MediaFailed { port } => tuple(py, ("media_failed", *port)),
        NodeEvent::StreamAsked { stream, bundle, port, way } => tuple(py, ("stream_asked", *stream, *bundle, *port, *way == Way::Datagrams, *way == Way::Fast)),
        NodeEvent::DatagramAsked { door, datagram } => tuple(py, ("datagram_asked", *door, PyBytes::new(py, datagram))),
        NodeEvent::StreamTaken { stream } => tuple(py, ("stream_taken", *stream)),
        NodeEvent::StreamOver { stream, why } => tuple(py, ("stream_over", *stream, *why)),
        NodeEvent::BundleWants { bundle } => tuple(py, ("bundle_wants", *bundle)),
        NodeEvent::BundleBroken { bundle } => tuple(py, ("bundle_broken", *bundle)),
        NodeEvent::EngineFailed => tuple(py, ("engine_failed",)),
        NodeEvent::Core(event) => of_core(py, event),
    }
}
