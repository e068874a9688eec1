//! The engine's errors as the classes of `voicebox/errors.py`: the one way in which the data plane knows the package.

use pyo3::exceptions::PyException;
use pyo3::{import_exception, PyErr};

import_exception!(voicebox.errors, LocalError);
import_exception!(voicebox.errors, HostError);
import_exception!(voicebox.errors, Bug);

/// Translate, once.
pub(crate) fn raise(error: voicebox_node::Error) -> PyErr {
    match error {
        voicebox_node::Error::Local(text) => LocalError::new_err(text),
        voicebox_node::Error::Host(text) => HostError::new_err(text),
        voicebox_node::Error::Bug(text) => Bug::new_err(text),
        // The engine's enum may grow; an unknown kind is still an error of ours.
        _ => PyException::new_err("the engine failed"),
    }
}

/// A wrong call.
pub(crate) fn wrong(text: &'static str) -> PyErr {
    LocalError::new_err(text)
}
