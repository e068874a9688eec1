"""Every exception the project raises on purpose, in one tree.

    VoiceboxError
    ├── LocalError        a wrong call from our own code or the user's command
    │   ├── UsageError        what the user asked for makes no sense; the text says what to do
    │   └── FileProblem       a file is damaged, missing or of another version: file, line, hint
    ├── PolicyError       privacy could not be kept, so the thing was not done
    ├── HostError         this machine cannot do it (no right, no port, no package)
    ├── RemoteError       an authenticated peer broke the protocol; fatal for that link, circuit or dialog
    │   ├── HandshakeError    a key, signature, certificate or transcript did not verify
    │   └── SipError          a SIP message cannot be served; carries the status to answer with
    └── Bug               an invariant of ours does not hold

Noise from the network is never an exception: it is dropped and counted.
No text here carries an address, a name, a number or a key unless the user asked for it on this run;
FileProblem names the file the user gave.
"""

from __future__ import annotations


class VoiceboxError(Exception):
    """Anything this project raises on purpose."""


class LocalError(VoiceboxError):
    """Our side was asked for something it cannot do."""


class UsageError(LocalError):
    """The user asked for something impossible; the text says what to do instead."""


class FileProblem(LocalError):
    """A file cannot be used. Reads as `file:line: problem. hint`.

    line: 1-based, 0 where the file as a whole is meant.
    """

    def __init__(self, path: str, line: int, problem: str, hint: str = "") -> None:
        self.path, self.line, self.problem, self.hint = path, line, problem, hint
        where = f"{path}:{line}" if line else path
        super().__init__(f"{where}: {problem}." + (f" {hint}" if hint else ""))


class PolicyError(VoiceboxError):
    """Privacy could not be kept, so it was not done."""


class HostError(VoiceboxError):
    """This machine cannot do it; the text says what is missing."""


class RemoteError(VoiceboxError):
    """An authenticated peer broke the protocol."""


class HandshakeError(RemoteError):
    """A key, signature, certificate or transcript did not verify."""


class SipError(RemoteError):
    """A SIP message cannot be served.

    status: the SIP status code to answer with (RFC 3261 §21).
    """

    def __init__(self, status: int, reason: str) -> None:
        self.status, self.reason = status, reason
        super().__init__(f"{status} {reason}")


class Bug(VoiceboxError):
    """An invariant of ours does not hold; please report it."""
