//! The layer permutation by itself (PROTOCOL.md §4): the model and the tests of vectors use it.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use voicebox_core::layer::Layer;

use crate::commands::sized;
use crate::errors::wrong;

const MIN_BODY_OCTETS: usize = 16;

fn permuted<'py>(py: Python<'py>, key: &[u8], body: &[u8], permute: impl FnOnce(&Layer, &mut [u8])) -> PyResult<Bound<'py, PyBytes>> {
    let layer = Layer::new(&sized(key, "a layer's key has 16 octets")?);
    if body.len() < MIN_BODY_OCTETS {
        return Err(wrong("a body has at least 16 octets"));
    }
    let mut body = body.to_vec();
    permute(&layer, &mut body);
    Ok(PyBytes::new(py, &body))
}

#[pyfunction]
pub(crate) fn hctr2_encipher<'py>(py: Python<'py>, key: &[u8], tweak: &[u8], body: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    permuted(py, key, body, |layer, body| layer.encipher(tweak, body))
}

#[pyfunction]
pub(crate) fn hctr2_decipher<'py>(py: Python<'py>, key: &[u8], tweak: &[u8], body: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    permuted(py, key, body, |layer, body| layer.decipher(tweak, body))
}
