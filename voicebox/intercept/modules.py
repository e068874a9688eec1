"""The modules that come with a box, those that others made, and the order in which they are asked. Pure.

One that others made is found by its entry point in the group `voicebox.intercept`: its name there is the one in the configuration, and it is a class as in module.py.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from voicebox.errors import UsageError
from voicebox.intercept.dns import Dns
from voicebox.intercept.http import Http
from voicebox.intercept.module import Answer, Box, Cause, Flow, Module, Redirect, Verdict
from voicebox.intercept.sip import Sip

GROUP = "voicebox.intercept"
MAX_SAID_OCTETS = 65_536
"""By a module in a contact's place."""


class Tcp(Module):
    """Takes whatever is TCP."""

    name = "tcp"

    def process(self, flow: Flow, first_octets: bytes) -> Verdict:
        """Take it."""
        del flow, first_octets
        return Verdict.TAKE


class Udp(Module):
    """Takes whatever is UDP."""

    name = "udp"
    redirect = Redirect.UDP

    def process(self, flow: Flow, first_octets: bytes) -> Verdict:
        """Take it."""
        del flow, first_octets
        return Verdict.TAKE


BUILT_IN: tuple[type[Module], ...] = (Dns, Http, Sip, Tcp, Udp)
ALL = "all"
"""In the configuration: those that come with a box."""


class Modules:
    """Modules in their order. failed: how often one did not do what it should."""

    def __init__(self, modules: tuple[Module, ...]) -> None:
        self._modules = modules
        self.failed = 0

    @property
    def names(self) -> tuple[str, ...]:
        """Return their names."""
        return tuple(module.name for module in self._modules)

    def use(self, box: Box) -> None:
        """Give them their box."""
        for module in self._modules:
            module.box = box

    def process(self, flow: Flow, first_octets: bytes) -> Module | Answer | None:
        """Return whose flow it is, or what is said to it; None where it is nobody's, and where somebody drops it."""
        for module in self._modules:
            if module.redirect is not flow.redirect:
                continue
            try:
                verdict = module.process(flow, first_octets)
            except Exception:  # noqa: BLE001 - others made it
                self.failed += 1
                return None
            if isinstance(verdict, Answer):
                return verdict
            if verdict is not Verdict.PASS:
                return module if verdict is Verdict.TAKE else None
        return None

    def circuit_ready(self, module: Module, flow: Flow, local_port: int) -> None:
        """Tell a module."""
        try:
            module.circuit_ready(flow, local_port)
        except Exception:  # noqa: BLE001 - others made it
            self.failed += 1

    def circuit_gone(self, module: Module, flow: Flow, cause: Cause) -> bytes:
        """Tell a module; return what is said to the program."""
        try:
            return bytes(module.circuit_gone(flow, cause))[:MAX_SAID_OCTETS]
        except Exception:  # noqa: BLE001 - others made it
            self.failed += 1
            return b""

    def notify(self, module: str, message: object) -> None:
        """Tell all but the one that says it."""
        for other in self._modules:
            if other.name != module:
                try:
                    other.notify(module, message)
                except Exception:  # noqa: BLE001 - others made it
                    self.failed += 1


def load_modules(names: tuple[str, ...]) -> Modules:
    """Make the modules that the configuration names, each once. Raises UsageError for one that is not there, or that is none."""
    wanted = dict.fromkeys(name for given in names for name in ([each.name for each in BUILT_IN] if given == ALL else [given]))
    return Modules(tuple(_made(name) for name in wanted))


def _made(name: str) -> Module:
    for each in BUILT_IN:
        if each.name == name:
            return each()
    for found in entry_points(group=GROUP, name=name):
        try:
            made = found.load()()
        except Exception:  # noqa: BLE001 - others made it
            raise UsageError(f"intercept.modules: {name} cannot be loaded.") from None
        if isinstance(made, Module):
            made.name = name
            return made
    raise UsageError(f"intercept.modules: there is no module {name}. Those that come with the box: {', '.join(each.name for each in BUILT_IN)}.")
