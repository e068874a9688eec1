"""What the box says by itself: recorded sound in each codec, and the party of a call that plays it to a phone and refuses. Pure, apart from recording() [io].

    begin -> Progress (early media) -> the sound, once -> Refuse
    a phone that has not said what it hears -> Refuse at once

The recordings (sounds/, 20 ms a frame) are made by tools/make_recordings.py, which says of what; PCMA and PCMU have 160 octets a frame, Opus 60.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

from voicebox.b2bua.context import DialogUser, LegContext, LegTimer
from voicebox.b2bua.events import CallEvent, Codec, End, Offer, Progress, Refusal, Refuse
from voicebox.b2bua.ports import MediaPort
from voicebox.errors import HostError

FRAME_S = 0.02
LAST_FRAME_S = 0.2
"""Between the last frame and the refusal, so that it is heard to the end."""
_PREFERRED = (Codec.PCMA, Codec.PCMU, Codec.OPUS)
"""What every phone decodes without a fault comes first."""
_FRAME_OCTETS = {Codec.PCMA: 160, Codec.PCMU: 160, Codec.OPUS: 60}


@dataclass(frozen=True, slots=True)
class Announcement:
    """One recording. frames: by codec, whole frames one after the other; all as long."""

    frames: Mapping[Codec, bytes] = field(repr=False)

    @property
    def seconds(self) -> float:
        """Return how long it is."""
        return max(len(octets) // _FRAME_OCTETS[codec] for codec, octets in self.frames.items()) * FRAME_S

    def codec_for(self, offer: Offer) -> Codec | None:
        """Return in which codec a phone is to hear it, None where it has none of them."""
        return next((codec for codec in _PREFERRED if codec in offer.codecs and codec in self.frames), None)

    def play(self, port: MediaPort, codec: Codec) -> None:
        """Play it at a port, in one of its codecs."""
        port.play(codec, _FRAME_OCTETS[codec], self.frames[codec])


@cache
def recording(name: str, codecs: tuple[Codec, ...] = _PREFERRED) -> Announcement:
    """Read one. Raises HostError where the installation is not whole."""
    folder = resources.files(__package__) / "sounds"
    try:
        return Announcement({codec: (folder / f"{name}.{codec.name.lower()}").read_bytes() for codec in codecs})
    except OSError:
        raise HostError("A recording that the box plays is missing. Install voicebox again.") from None


def no_emergency() -> Announcement:
    """Return what is said to whoever dials an emergency number."""
    return recording("no_emergency")


class Speaker:
    """The party that plays an announcement and then refuses. Call begin() once tell may be called."""

    port: MediaPort | None = None
    dialog: DialogUser | None = None
    user = ""

    def __init__(self, context: LegContext, tell: Callable[[CallEvent, float], None], announcement: Announcement, why: Refusal) -> None:
        self._context, self._tell, self._announcement, self._why = context, tell, announcement, why

    def begin(self, offer: Offer | None, now: float) -> None:
        """Speak to a phone with these codecs. None: it cannot be spoken to before it is answered, and is refused at once."""
        codec = self._announcement.codec_for(offer) if offer is not None else None
        if codec is None:
            self._tell(Refuse(self._why), now)
            return
        self._context.timers.set((self, LegTimer.SPOKEN), now + self._announcement.seconds + LAST_FRAME_S)
        self._tell(Progress(codec), now)

    def connect(self, port: MediaPort, codec: Codec) -> None:
        """Play it at a phone's port."""
        self._announcement.play(port, codec)

    def handle(self, event: CallEvent, now: float) -> None:  # noqa: ARG002  # the shape of every Party
        """Take that the caller has hung up."""
        if isinstance(event, End):
            self._context.timers.cancel((self, LegTimer.SPOKEN))

    def timer_due(self, timer: LegTimer, now: float) -> None:  # noqa: ARG002  # the shape of every TimerOwner
        """Take that all was said."""
        self._tell(Refuse(self._why), now)
