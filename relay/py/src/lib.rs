//! `voicebox._relay`: the data plane as a Python module. `voicebox/_relay.pyi` says what each call does; this crate only translates.
//!
//! Calls hand a command to the engine's thread and return; that thread never takes the interpreter lock. Calls that wait release it.

mod commands;
mod core_machine;
mod engine;
mod errors;
mod events;
mod layer;
mod srtp;

use pyo3::prelude::*;

#[pymodule]
fn _relay(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<engine::Engine>()?;
    module.add_class::<core_machine::CoreMachine>()?;
    module.add_class::<srtp::Srtp>()?;
    module.add_function(wrap_pyfunction!(layer::hctr2_encipher, module)?)?;
    module.add_function(wrap_pyfunction!(layer::hctr2_decipher, module)?)?;
    module.add("__all__", ["CoreMachine", "Engine", "Srtp", "hctr2_decipher", "hctr2_encipher"])
}
