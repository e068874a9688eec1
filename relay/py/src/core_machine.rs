//! The core driven by hand, without sockets and clock: what the comparison with the model drives.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use voicebox_core::{Config, Core, Input, LinkId, LinkKind, Output, PortId, SeededRandom};

use crate::commands::{parse, sized};
use crate::errors::wrong;
use crate::events::of_core;

#[pyclass(module = "voicebox._relay")]
pub(crate) struct CoreMachine {
    /// Behind a lock because a source of randomness is not `Sync`; never contended.
    core: Mutex<Core>,
}

#[pymethods]
impl CoreMachine {
    #[new]
    #[pyo3(signature = (seed, max_circuits = 4096, metered = false))]
    fn new(seed: &[u8], max_circuits: usize, metered: bool) -> PyResult<Self> {
        let seed = sized(seed, "a seed has 32 octets")?;
        Ok(Self { core: Mutex::new(Core::new(Config { max_circuits, metered }, Box::new(SeededRandom::new(seed)))) })
    }

    fn handle<'py>(&mut self, py: Python<'py>, now: u64, input: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyList>> {
        let name: String = input.get_item(0)?.extract()?;
        let core = self.core();
        let number = || input.get_item(1)?.extract::<u32>();
        match name.as_str() {
            "timer" => core.handle(now, Input::Timer),
            "cell" => {
                let octets = input.get_item(2)?;
                let cell: &[u8; 256] = octets.cast::<PyBytes>()?.as_bytes().try_into().map_err(|_| wrong("a cell has 256 octets"))?;
                core.handle(now, Input::Cell { link: LinkId(number()?), cell });
            }
            "link_up" => {
                let kind = match input.get_item(2)?.extract::<u8>()? {
                    0 => LinkKind::AccessOwner,
                    1 => LinkKind::AccessGuard,
                    2 => LinkKind::Relay,
                    _ => return Err(wrong("a link is 0 (owner's), 1 (guard's) or 2 (relay link)")),
                };
                core.handle(now, Input::LinkUp { link: LinkId(number()?), kind });
            }
            "link_down" => core.handle(now, Input::LinkDown { link: LinkId(number()?) }),
            "rtp" => {
                let octets = input.get_item(2)?;
                core.handle(now, Input::Rtp { port: PortId(number()?), datagram: octets.cast::<PyBytes>()?.as_bytes() });
            }
            "command" => core.handle(now, Input::Command(parse(input)?)),
            _ => return Err(wrong("there is no such input")),
        }
        self.outputs(py)
    }

    fn next_timer(&mut self) -> Option<u64> {
        self.core().next_timer()
    }

    fn counters(&mut self) -> HashMap<&'static str, u64> {
        self.core().counters().iter().collect()
    }
}

impl CoreMachine {
    fn core(&mut self) -> &mut Core {
        // A panic inside the core is raised in Python once; the next call shows what is left of it.
        self.core.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn outputs<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let outputs = PyList::empty(py);
        while let Some(output) = self.core().poll() {
            match output {
                Output::Send { link, cell, at } => outputs.append(("send", link.0, PyBytes::new(py, &cell), at))?,
                Output::SendRtp { port, rtcp, datagram, at } => outputs.append(("rtp", port.0, rtcp, PyBytes::new(py, &datagram), at))?,
                Output::CloseLink { link } => outputs.append(("close_link", link.0))?,
                Output::Event(event) => {
                    let mut fields = vec!["event".into_pyobject(py)?.into_any()];
                    fields.extend(of_core(py, &event)?.iter());
                    outputs.append(PyTuple::new(py, fields)?)?;
                }
            }
        }
        Ok(outputs)
    }
}
