"""The demo: an embedded network, two phones, one call, a capture, a report. [io]

1. Move into a network namespace of our own, where the machine allows it; start the capture.
2. Set up six relays and two boxes by the commands a user types, start them, wait for the standing circuits.
3. Let the network idle, then let one phone dial the other, talk, and hang up; meanwhile a page of the callee's is fetched by name. Then let one box probe the other.
4. Read everything from the capture and say how it went. The sound without the network is what the sending phone put on the wire.

NOT here: what a figure means (measure.py, quality.py), what the report looks like (report.py).
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from voicebox.awake import is_virtual, kept_awake
from voicebox.demo.capture import Capture, CaptureCounts
from voicebox.demo.datagrams import Datagram, Endpoint, load_capture
from voicebox.demo.measure import CallFigures, Roles, measure_call
from voicebox.demo.namespace import Isolation, enter_private_network
from voicebox.demo.network import EmbeddedNetwork, Plan
from voicebox.demo.page import Fetched, Fetching, Page, served
from voicebox.demo.page_figures import PageFigures, measure_page
from voicebox.demo.phones import PhoneDriver, PhoneSetup, phone_for
from voicebox.demo.quality import Quality, available, quality_of_call
from voicebox.demo.report import DemoReport, Progress, complaints, human_lines, json_object
from voicebox.demo.sipview import CallView, find_calls
from voicebox.demo.speech import make_speech
from voicebox.errors import HostError
from voicebox.probe.ends import Outcome
from voicebox.probe.result import ProbeResult
from voicebox.probing import Watch

CELL_OCTETS = 256
RELAYS = 3
IDLE_S = 4.0
RING_S = 1.0
SPEECH_MARGIN_S = 4.0
CALLER, CALLEE = "alice", "bob"
PROBE_S = 10
LOOK_S = 0.5
PROXY_PORT = 8_118


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the user asked for. keep: where recordings, capture and logs stay."""

    seconds: int = 20
    codec: str = "opus"
    keep: Path | None = None
    as_json: bool = False

    @property
    def with_page(self) -> bool:
        """Return whether a page is fetched during the call: there is room in its cells."""
        return self.codec == "opus"


@dataclass(frozen=True, slots=True)
class _Talk:
    """What is known after the call. path: nodes from box to box; spare: those of its second circuits; recordings: what the phones heard; probe: what came of one after it; page: likewise of a page during it."""

    path: tuple[str, ...]
    spare: tuple[str, ...]
    real_time: bool
    recordings: tuple[Path, ...]
    probe: ProbeResult | None = None
    page: Fetched | None = None
    notes: tuple[str, ...] = ()


def run_demo(options: DemoOptions) -> int:
    """Run the demo and print its report; return 0 where both sides were heard, else 1. Raises HostError with what is missing."""
    progress = Progress()
    isolation = enter_private_network()
    notes = _notes_on(isolation, options)
    for note in notes:
        progress.say(note)
    with _directory(options) as directory:
        capture = Capture(directory / "capture.pcap") if isolation.private else None
        counts: CaptureCounts | None = None
        if capture:
            capture.start()
        try:
            with kept_awake() as awake:
                talk = _call_through_network(options, directory, progress)
        finally:
            counts = capture.stop() if capture else None
        figures, quality, page = _read(directory, progress, talk) if capture else (None, None, PageFigures(talk.page) if talk.page else None)
        report = DemoReport(
            talk.path,
            options.codec,
            CELL_OCTETS,
            figures,
            quality,
            counts,
            talk.real_time,
            notes + _notes_on_sleep(awake=awake) + talk.notes,
            talk.spare,
            talk.probe,
            page,
            is_virtual(),
        )
        print(json.dumps(json_object(report), indent=1) if options.as_json else "\n".join(human_lines(report)))
    good = report.relays == RELAYS and not (capture and complaints(report, with_limits=False))
    return 0 if good else 1


def _notes_on(isolation: Isolation, options: DemoOptions) -> tuple[str, ...]:
    notes = []
    if not isolation.private:
        notes.append(f"{isolation.reason}: the demo runs on the plain loopback, without a capture, so there are no figures")
    if not options.with_page:
        notes.append("G.711 and the copies of its frames leave no room in a cell, so no page is fetched during the call; with Opus one is")
    return tuple(notes)


def _notes_on_sleep(*, awake: bool) -> tuple[str, ...]:
    if awake:
        return ("a virtual machine: its processors were kept awake meanwhile, since some hosts wake idle ones late (see `voicebox doctor`)",)
    if is_virtual():
        return ("a virtual machine, whose host may wake idle processors late (see `voicebox doctor`); as root the demo keeps them awake",)
    return ()


@contextlib.contextmanager
def _directory(options: DemoOptions) -> Iterator[Path]:
    if options.keep is None:
        with tempfile.TemporaryDirectory(prefix="voicebox-demo-") as scratch:
            yield Path(scratch)
        return
    options.keep.mkdir(parents=True, exist_ok=True)
    if any(options.keep.iterdir()):
        raise HostError("the directory given with --keep is not empty; name a new one")
    yield options.keep
    for name in ("network",):  # keys of a network that is gone; the logs stay
        for log in (options.keep / name).glob("*/log"):
            shutil.copy(log, options.keep / f"{log.parent.name}.log")
        shutil.rmtree(options.keep / name, ignore_errors=True)


def _phone(options: DemoOptions, network: EmbeddedNetwork, directory: Path, name: str) -> PhoneDriver:
    speaker = network.plan.boxes.index(name)
    speech = directory / f"{name}-says.wav"
    if not speech.exists():
        make_speech(speech, speaker, options.seconds + RING_S + SPEECH_MARGIN_S, options.codec)
    setup = PhoneSetup(
        name=name,
        login=network.login(name),
        address=network.plan.phone_sip(name).address,
        sip_port=network.plan.phone_sip(name).port,
        rtp_port=network.plan.phone_rtp_port(name),
        play=speech,
        codec=options.codec,
        ring_s=RING_S,
    )
    return phone_for(setup, directory / f"phone-{name}")


def _call_through_network(options: DemoOptions, directory: Path, progress: Progress) -> _Talk:
    with EmbeddedNetwork(directory / "network") as network, served(options.seconds) as page:
        progress.say("setting up four guards, two junctions and two boxes, each with keys of its own")
        network.set_up()
        fetch = partial(Fetching, page, f"http://{CALLEE}.privacy/", _offer(network, page)) if options.with_page else None
        network.start()
        ready_s = network.wait_ready()
        progress.say(f"each box has its standing circuits ({ready_s:.1f} s); every link now carries its cells, and will not change")
        with _phone(options, network, directory, CALLER) as caller, _phone(options, network, directory, CALLEE) as callee:
            caller.wait_for("registered")
            callee.wait_for("registered")
            progress.say("two softphones are registered; the network idles")
            time.sleep(IDLE_S)
            talk = _talk(options, network, progress, caller, callee, fetch)
        recordings = tuple(path for path in (caller.heard(), callee.heard()) if path)
        return _Talk(talk.path, talk.spare, talk.real_time, recordings, _probe(network, progress), talk.page, talk.notes)


def _offer(network: EmbeddedNetwork, page: Page) -> Endpoint:
    """Let the callee offer a page to the caller; return where the caller's box has a proxy for programs."""
    proxy = Endpoint(network.plan.box_address(CALLER), PROXY_PORT)
    network.configure(CALLER, "http_proxy", f"{proxy.address}:{proxy.port}")
    network.voicebox("service", "add", "web", "--to", f"127.0.0.1:{page.port}", "--port", "80", "--allow", CALLER, home=network.boxes[CALLEE].home)
    return proxy


def _probe(network: EmbeddedNetwork, progress: Progress) -> ProbeResult | None:
    """Let the caller's box probe the callee's, as anybody can before a call; None where nobody answered."""
    progress.say(f"{CALLER}'s box probes {CALLEE}'s for {PROBE_S} s: a call that rings nobody")
    watch = Watch(network.boxes[CALLER].home, CALLEE, "opus24", PROBE_S)
    while (result := watch.look()).outcome is Outcome.UNDER_WAY:
        time.sleep(LOOK_S)
    return result if result.outcome in {Outcome.MEASURED, Outcome.CUT_SHORT} else None


def _talk(
    options: DemoOptions, network: EmbeddedNetwork, progress: Progress, caller: PhoneDriver, callee: PhoneDriver, fetch: Callable[[], Fetching] | None
) -> _Talk:
    progress.say(f"{CALLER}'s phone dials sip:{CALLEE}.privacy")
    caller.dial(f"sip:{CALLEE}.privacy")
    caller.wait_for("ringing")
    progress.say(f"{CALLEE}'s phone rings")
    caller.wait_for("connected")
    (path, spare), real_time = _paths(network)
    progress.say(f"answered; they talk for {options.seconds} s over {' - '.join(path)}")
    end = time.monotonic() + options.seconds
    # As long before the page as it takes, so that the links can be compared.
    _count_down(options.seconds, end, end - options.seconds * 2 / 3, progress, caller, callee)
    fetching = fetch() if fetch is not None else None
    if fetching is not None:
        progress.say(f"http://{CALLEE}.privacy/ is fetched by the proxy of {CALLER}'s box, over the circuits of the call")
        fetching.beside = _is_beside(network, fetching)
    _count_down(options.seconds, end, end, progress, caller, callee)
    page = fetching.result() if fetching is not None else None
    notes = ("the page was not there when they hung up, so nothing is told of it",) if fetching is not None and page is None else ()
    caller.hang_up()
    caller.wait_for("ended")
    callee.wait_for("ended")
    progress.say("hung up")
    return _Talk(path, spare, real_time, (), page=page, notes=notes)


def _is_beside(network: EmbeddedNetwork, fetching: Fetching) -> bool:
    """Return whether the caller's box says, while the page is under way, that a call of people carries streams and none is there for streams alone."""
    streams = (network.status(network.boxes[CALLER]) or {}).get("streams", {})
    return not fetching.done() and (streams.get("beside"), streams.get("lines")) == (1, 0)


def _count_down(seconds: int, end: float, until: float, progress: Progress, *phones: PhoneDriver) -> None:
    """Watch a call of so many seconds, which is over at `end`, until a moment of it."""
    told = round(end - time.monotonic())
    while (now := time.monotonic()) < until:
        left = end - now
        for phone in phones:
            phone.turn()
            if not phone.running() or "ended" in phone.events:
                raise HostError(f"the call ended by itself after {seconds - left:.0f} s.\n{phone.log_text()[-800:]}")
        if told - left >= 5 and left > 1:
            told = int(left)
            progress.say(f"talking, {left:.0f} s to go")
        time.sleep(min(0.1, until - now))


def _paths(network: EmbeddedNetwork) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], bool]:
    """Return the names of the nodes that carry the call, over its first circuits and its second, and whether all have real-time rights.

    The two boxes tell who asked for it.
    """
    told = [network.status(network.boxes[name], show_path=True) or {} for name in (CALLER, CALLEE)]
    real_time = all(bool(status.get("realtime")) for status in told)
    return (_joined(told, spare=False), _joined(told, spare=True)), real_time


def _joined(told: Sequence[Mapping[str, Any]], *, spare: bool) -> tuple[str, ...]:
    """Return the path that the halves of the two boxes make; only the boxes where there is none."""
    halves = []
    for status in told:
        calling = [circuit["relays"] for circuit in status.get("circuits", ()) if circuit.get("in_call") and bool(circuit.get("spare")) is spare]
        halves.append([str(relay).removeprefix("operator of ") for relay in (calling[0] if calling else ())])
    there, back = halves
    return (CALLER, *there, *reversed(back[:-1] if there and back and there[-1] == back[-1] else back), CALLEE)


def _read(directory: Path, progress: Progress, talk: _Talk) -> tuple[CallFigures | None, Quality | None, PageFigures | None]:
    progress.say("reading the capture")
    wire = load_capture(directory / "capture.pcap")
    call, roles = _find_call(wire)
    figures = measure_call(wire, call, roles)
    page = measure_page(wire, roles.links, talk.page) if talk.page is not None else None
    quality = None
    if not available():
        progress.say("no sound quality: install voicebox[quality] for it")
        return figures, None, page
    progress.say("scoring the sound")
    try:
        quality = quality_of_call(wire, call, talk.recordings)
    except HostError as error:
        progress.say(f"no sound quality: {error}")
    return figures, quality, page


def _find_call(wire: list[Datagram]) -> tuple[CallView, Roles]:
    plan = Plan()
    ends = [plan.phone_sip(name) for name in (CALLER, CALLEE)]
    calls = find_calls(wire, *ends)
    if len(calls) != 1:
        raise HostError(f"the capture shows {len(calls)} calls instead of one")
    return calls[0], Roles(ends[0], ends[1], plan.links())
