//! SRTP by itself, driven by hand: for the comparison with libsrtp.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use voicebox_srtp::{Master, Receiver, Sender, Suite};

use crate::errors::wrong;

#[pyclass(module = "voicebox._relay", frozen, name = "Srtp")]
pub(crate) struct Srtp {
    flows: std::sync::Mutex<(Sender, Receiver)>,
}

#[pymethods]
impl Srtp {
    #[new]
    fn new(suite: &str, send_key: &[u8], receive_key: &[u8]) -> PyResult<Self> {
        let suite = Suite::from_name(suite).ok_or_else(|| wrong("there is no such suite"))?;
        let master = |key| Master::new(suite, key).ok_or_else(|| wrong("a master key has not the length of its suite"));
        Ok(Self { flows: std::sync::Mutex::new((Sender::new(master(send_key)?), Receiver::new(master(receive_key)?))) })
    }

    fn protect<'py>(&self, py: Python<'py>, packet: &[u8]) -> Option<Bound<'py, PyBytes>> {
        self.flows.lock().ok()?.0.protect(packet).ok().map(|octets| PyBytes::new(py, &octets))
    }

    fn unprotect<'py>(&self, py: Python<'py>, packet: &[u8]) -> Option<Bound<'py, PyBytes>> {
        self.flows.lock().ok()?.1.unprotect(packet).ok().map(|octets| PyBytes::new(py, &octets))
    }
}
