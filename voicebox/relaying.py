"""The relay of a box, beside it: looks whether others reach it, and keeps its process, which begins and ends with the box. [io]

It is a process of its own with keys, a port and a name of its own, behind the box in priority; they share nothing but the network's list. NOT here: what is in
its directory (circuits/own_relay.py), what it does (relay_daemon.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import random
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from voicebox.circuits.descriptor import Descriptor
from voicebox.circuits.network import VerifiedNetwork, belongs
from voicebox.circuits.own_relay import OwnRelay, RelayStage
from voicebox.config.model import RelaySwitch
from voicebox.contacts.store import StateDirectory
from voicebox.errors import VoiceboxError
from voicebox.reaching import look

FIRST_S = {RelaySwitch.ASK: (3_600.0, 10_800.0), RelaySwitch.ON: (2.0, 6.0)}
AGAIN_S = {RelaySwitch.ASK: (43_200.0, 129_600.0), RelaySwitch.ON: (300.0, 900.0)}
"""Between two looks, drawn; they depend on nothing that the box does."""
LEAST_WAIT_S, MOST_WAIT_S = 1.0, 300.0
STEADY_S = 600.0
"""A process that ran for so long begins with the least wait again."""
STOP_S = 5.0


class Waits:
    """How long to wait before a process that ended is started again: twice as long each time."""

    def __init__(self) -> None:
        self._next_s = LEAST_WAIT_S

    def after(self, ran_s: float) -> float:
        """Return the wait after a run of so many seconds."""
        wait_s = LEAST_WAIT_S if ran_s >= STEADY_S else self._next_s
        self._next_s = min(2 * wait_s, MOST_WAIT_S)
        return wait_s


async def end_process(process: asyncio.subprocess.Process | None, within_s: float) -> None:
    """Let a process end, and end it where it takes longer; None, or one that ended, is nothing to do."""
    if process is None or process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), within_s)
    except TimeoutError:
        process.kill()
        await process.wait()


class Relaying:
    """A box's relay. network(): as the box knows it now; guards(): of the box, in its order; only these are asked, since they know its address.

    Contract: start(), hand_on() for each list that the box is given, then stop().
    """

    def __init__(self, box: StateDirectory, switch: RelaySwitch, network: Callable[[], VerifiedNetwork], guards: Callable[[], Sequence[Descriptor]]) -> None:
        self._box, self._switch, self._network, self._guards = box, switch, network, guards
        self._own = OwnRelay(box.home)
        self._rng = random.SystemRandom()
        self._woken = asyncio.Event()
        self._living: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self.stage = RelayStage.OFF
        self.restarts = 0

    def start(self, address: str) -> None:
        """Begin, unless it is switched off. address: the local one to listen on, where nothing was drawn yet. Raises UsageError, HostError."""
        if self._switch is RelaySwitch.OFF or self._living is not None:
            return
        if not self._own.exists():
            self._own.prepare(address)
        self.stage = RelayStage.UNKNOWN
        self._living = asyncio.get_running_loop().create_task(self._live())

    def offer(self, address: str) -> None:
        """Take that the user says yes, or has other settings."""
        self._switch = RelaySwitch.ON
        self.start(address)
        self._woken.set()

    def hand_on(self) -> None:
        """Let its process have the list that the box was given, or look at once whether it is in it. What relays tell the box comes to both, and changes no time."""
        if self._switch is not RelaySwitch.ON:
            return
        if self._process is None:
            self._woken.set()
        else:
            self._own.share(self._box)
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGHUP)

    async def stop(self) -> None:
        """End it; idempotent."""
        living, self._living = self._living, None
        if living is not None:
            living.cancel()
            await asyncio.wait([living])
        self.stage = RelayStage.OFF

    def ids(self) -> frozenset[bytes]:
        """Return the ids of relays with this machine's address, over which the box's own circuits would hide nothing. Raises FileProblem."""
        described = self._own.described()
        return frozenset() if described is None else frozenset({described.descriptor.relay_id})

    def told(self) -> dict[str, Any]:
        """Return what the box's status says of it."""
        return {"wanted": self._switch is RelaySwitch.ON, "stage": self.stage.value, "restarts": self.restarts}

    # -------------------------------------------------------------------------------------------------------------- inside

    async def _live(self) -> None:
        await self._pause(FIRST_S[self._switch])
        while True:
            try:
                self.stage = await self._look()
            except VoiceboxError:
                self.stage = RelayStage.ENDED  # its files cannot be used, or written; doctor reads them and says which
            if self.stage is RelayStage.RUNNING:
                await self._run_until_woken()
            else:
                await self._pause(AGAIN_S[self._switch])

    async def _pause(self, between_s: tuple[float, float]) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), self._rng.uniform(*between_s))
        self._woken.clear()

    async def _look(self) -> RelayStage:
        """Find out how far it can be."""
        address = await look(self._guards(), self._own.config().listen)
        if address is None:
            return RelayStage.UNREACHED
        if self._switch is not RelaySwitch.ON:
            return RelayStage.POSSIBLE
        now = dt.datetime.now(dt.UTC)
        described = self._own.describe(address, now)
        self._own.share(self._box)
        return RelayStage.RUNNING if belongs(self._network(), described, now) else RelayStage.UNLISTED

    async def _run_until_woken(self) -> None:
        command = [sys.executable, "-m", "voicebox", "relay", "run", "--home", str(self._own.store.home), "--beside", str(os.getpid())]
        keeping = asyncio.get_running_loop().create_task(self._keep(command))
        try:
            await self._woken.wait()
            self._woken.clear()
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])

    async def _keep(self, command: Sequence[str]) -> None:
        """Run a command, and again when it ends, until cancelled."""
        waits, loop, nothing = Waits(), asyncio.get_running_loop(), asyncio.subprocess.DEVNULL
        while True:
            began_s = loop.time()
            try:
                self._process = await asyncio.create_subprocess_exec(*command, stdin=nothing, stdout=nothing, stderr=nothing)
                self.stage = RelayStage.RUNNING
                await self._process.wait()
            except OSError:
                pass  # no process can be started now
            finally:
                process, self._process = self._process, None
                await end_process(process, STOP_S)
            self.stage = RelayStage.ENDED
            self.restarts += 1
            await asyncio.sleep(waits.after(loop.time() - began_s))
