"""`voicebox probe`: how a call with a contact would sound, and what is wrong where it would not. [io]

Exit codes: 0 good, 1 fair, 2 poor, 3 no answer, 4 refused, 5 could not be done, 130 stopped before there were figures (2 also for wrong arguments, as everywhere).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from voicebox.cli.home import add_home, home_of
from voicebox.cli.probe_files import ProbeFiles
from voicebox.cli.probe_path import epoch_of, wait_for_next_epoch
from voicebox.contacts.contact import checked_petname
from voicebox.errors import HostError, UsageError, VoiceboxError
from voicebox.probe.codecs import ProbeCodec, codec_of
from voicebox.probe.ends import MOST_S, Outcome
from voicebox.probe.lines import all_lines, table
from voicebox.probe.result import ProbeResult, SpeechScore, verdict
from voicebox.probe.speech import SPEECH_FRAMES, SPEECH_S
from voicebox.probing import Watch

LOOK_EVERY_S = 1.0
SHARE_OF_A_CORE = 0.05
"""Of the time, at most so much goes into looking and drawing."""
SECONDS = 30
EXIT_FAILED = 5
EXIT_CODES = {Outcome.NO_ANSWER: 3, Outcome.REFUSED: 4, Outcome.STOPPED: 130}
PLAIN_S = 10.0
"""Without a terminal a line says how far it is, so often."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox probe`."""
    parser.add_argument("petname", metavar="PETNAME", nargs="?", help="the contact; their box answers by itself, and no phone rings. echo: whoever is drawn")
    add_home(parser)
    parser.add_argument("--local", action="store_true", help="probe an embedded network on this machine instead, for tests of the installation")
    parser.add_argument("--seconds", type=int, default=SECONDS, metavar="N", help=f"how long, 1 to {MOST_S} (default: {SECONDS})")
    parser.add_argument("--codec", choices=[codec.word for codec in ProbeCodec], default=ProbeCodec.OPUS24.word, help="what to speak (default: opus24)")
    parser.add_argument("--speech", action="store_true", help="also send recorded speech, which the other box scores (it needs the extra `quality` for that)")
    parser.add_argument(
        "--path",
        choices=["present", "new"],
        default="present",
        help="new: probe now, wait until the box uses its next circuits (up to an epoch, an hour as a rule), probe again, and say whether it is the path",
    )
    parser.add_argument("--show-path", action="store_true", help="also say who runs the relays on this side, which is in no figures otherwise")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON; - for standard output, and no table then")
    parser.add_argument("--html", metavar="FILE", help="write a page with pictures, for a browser or a printer")


def run(args: argparse.Namespace) -> int:
    """Probe, show, write."""
    try:
        return _run(args)
    except VoiceboxError as problem:
        print(f"voicebox: {problem}", file=sys.stderr)
        return EXIT_FAILED


def _run(args: argparse.Namespace) -> int:
    files = ProbeFiles(args.json, args.html)
    files.try_out()
    if args.local:
        if args.path == "new":
            raise UsageError("An embedded network has the same relays in each epoch, so there is no new path.")
        from voicebox.demo.local_probe import local_network  # noqa: PLC0415 - the demo's parts take time to load, and are seldom wanted

        with local_network() as (home, petname):
            return _probe(home, petname, args, files)
    if args.petname is None:
        raise UsageError("Say whom to probe, or --local.")
    return _probe(home_of(args), checked_petname(args.petname), args, files)


def _probe(home: Path, petname: str, args: argparse.Namespace, files: ProbeFiles) -> int:
    codec = codec_of(args.codec)
    frames = _recorded(codec) if args.speech else []
    petname, result = probe(home, petname, args.codec, args.seconds, quiet=args.json == "-", show_path=args.show_path)
    if result.outcome is Outcome.MEASURED and args.path == "new":
        result = _once_more(home, petname, args, result)
    if result.outcome in EXIT_CODES:
        print(_why_not(petname, result.outcome), file=sys.stderr)
        return EXIT_CODES[result.outcome]
    if frames and result.outcome is Outcome.MEASURED:
        result = replace(result, speech=_speak(home, petname, codec, frames))
    files.write(result)
    if args.json != "-":
        print("\n".join(all_lines(petname, result)))
    return result.grade.value


def _once_more(home: Path, petname: str, args: argparse.Namespace, before: ProbeResult) -> ProbeResult:
    """Probe over the circuits of the next epoch, too; what is known before stays the result where that does not come about."""
    epoch = epoch_of(home)
    print(
        f"Now: {verdict(before)} The box uses other circuits in {epoch['epoch_left_s'] / 60:.0f} minutes, and probes again then; Ctrl-C ends the wait.",
        file=sys.stderr,
        flush=True,
    )
    try:
        if not wait_for_next_epoch(home, epoch):
            print("The next circuits do not stand; `voicebox doctor` says what is in their way.", file=sys.stderr)
            return before
        _, after = probe(home, petname, args.codec, args.seconds, quiet=args.json == "-", show_path=args.show_path)
    except KeyboardInterrupt:
        return before
    if after.outcome in EXIT_CODES:
        print(_why_not(petname, after.outcome), file=sys.stderr)
        return before
    return replace(after, before=before)


def _recorded(codec: ProbeCodec) -> list[bytes]:
    try:
        from voicebox.demo.speech_frames import recorded_frames  # noqa: PLC0415 - codecs take a quarter of a second to load
    except ImportError:
        raise HostError("The codec library (av) cannot be loaded on this machine, so there is no speech to send; nothing was started.") from None
    return recorded_frames(codec)


def _speak(home: Path, petname: str, codec: ProbeCodec, frames: list[bytes]) -> SpeechScore:
    """Let the other box hear speech, and say how it sounded; beside it the same frames as they are."""
    from voicebox.demo.score import MEASURE, score_here  # noqa: PLC0415 - as above

    print(f"Speech is sent to {petname}'s box and scored there; about half a minute.", file=sys.stderr, flush=True)
    score = None
    with contextlib.suppress(VoiceboxError, KeyboardInterrupt):  # the figures of the first call are known, and are not lost with this one
        score = _scored_there(Watch(home, petname, codec.word, SPEECH_S, frames))
    there, pesq, stoi = (each / 100 if each else None for each in score or (None, None, None))
    return SpeechScore(MEASURE, there, score_here(frames[:SPEECH_FRAMES], codec), pesq, stoi)


def _scored_there(watch: Watch) -> tuple[int, int, int] | None:
    try:
        while watch.look().outcome is Outcome.UNDER_WAY:
            time.sleep(LOOK_EVERY_S)
    except KeyboardInterrupt:
        watch.end()
    return watch.score


def _why_not(petname: str, outcome: Outcome) -> str:
    if outcome is Outcome.REFUSED:
        return f"{petname}'s box answers no probe now: its owner wants none, or there were many. A call is not affected by that."
    if outcome is Outcome.STOPPED:
        return "It was stopped before there was anything to tell: by you, or because a call needed its circuit."
    return f"{petname}'s box did not answer. It is off, its circuits are taken, it does not know you, or it is of a version without probes."


def probe(home: Path, petname: str, word: str, seconds: int, *, quiet: bool, show_path: bool = False) -> tuple[str, ProbeResult]:
    """Let the box of a directory probe a contact; show how it goes; return who that was, too. Ctrl-C and, on a terminal, q end it with what is known so far."""
    watch = Watch(home, petname, word, seconds, show_path=show_path)
    with _live(quiet=quiet) as show, _keys(quiet=quiet) as wants_end:
        try:
            while True:
                begun_s = time.process_time()
                result = watch.look()
                if result.outcome is not Outcome.UNDER_WAY:
                    return watch.petname, result
                show(watch.petname, result, watch.stage)
                if wants_end(max(LOOK_EVERY_S, (time.process_time() - begun_s) / SHARE_OF_A_CORE)):
                    break
        except KeyboardInterrupt:
            pass
        except BaseException:
            with contextlib.suppress(VoiceboxError):
                watch.end()
            raise
    watch.end()
    return watch.petname, watch.look()


@contextlib.contextmanager
def _live(*, quiet: bool) -> Iterator[Callable[[str, ProbeResult, str], None]]:
    """Give a function that shows how far a probe is: a table that changes on a terminal, now and then a line elsewhere, nothing where all is quiet."""
    if quiet:
        yield lambda _petname, _result, _stage: None
    elif sys.stdout.isatty():
        from rich.live import Live  # noqa: PLC0415 - a quarter of a second, for terminals only
        from rich.text import Text  # noqa: PLC0415 - as above

        with Live(Text(""), auto_refresh=False, transient=True) as live:
            yield lambda petname, result, stage: live.update(Text("\n".join([*table(petname, result), f" {stage}; q ends it"])), refresh=True)
    else:
        said_s = [time.monotonic()]

        def say(petname: str, result: ProbeResult, stage: str) -> None:
            if time.monotonic() - said_s[0] >= PLAIN_S:
                said_s[0] = time.monotonic()
                print(f"{petname}: {stage}, {result.seconds:.0f} s known", file=sys.stderr, flush=True)

        yield say


def _sleep(pause_s: float) -> bool:
    time.sleep(pause_s)
    return False


@contextlib.contextmanager
def _keys(*, quiet: bool) -> Iterator[Callable[[float], bool]]:
    """Give a function that waits so many seconds and returns whether q was pressed."""
    if quiet or not (sys.stdin.isatty() and sys.stdout.isatty()):
        yield _sleep
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)

    def pressed(pause_s: float) -> bool:
        end_s = time.monotonic() + pause_s
        while (left_s := end_s - time.monotonic()) > 0:
            if select.select([descriptor], [], [], left_s)[0] and b"q" in os.read(descriptor, 64).lower():
                return True
        return False

    try:
        yield pressed
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
