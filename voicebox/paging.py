"""The page of a box, beside it: its process, which begins when somebody asks for it and ends with the box. [io]

A process of its own, because a defect of it must cost no call, and what it loads is not in the box's memory. It is given where to listen and, where that is not the
loopback, a certificate for TLS; no key of the box. It asks the box on the control socket, as the command line does. NOT here: the page (page/).
"""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import json
import sys
from collections.abc import Mapping
from enum import Enum, unique
from typing import Any

from voicebox.config.model import BoxConfig, Endpoint
from voicebox.contacts.store import StateDirectory
from voicebox.errors import UsageError, VoiceboxError
from voicebox.relaying import Waits, end_process

STOP_S = 3.0
READY_S = 30.0
READY = b"ready"
MAX_WORD_OCTETS = 4096


@unique
class PageStage(Enum):
    """How far the page is."""

    OFF = "off"
    STARTING = "starting"
    RUNNING = "running"
    ENDED = "ended"
    """It said why, or nothing, and is started again after a while."""


def is_loopback(endpoint: Endpoint) -> bool:
    """Return whether nobody but this machine reaches an address."""
    return ipaddress.ip_address(endpoint.address).is_loopback


def origin_of(endpoint: Endpoint) -> str:
    """Return how a browser names the page: without TLS on the loopback alone."""
    return f"http{'' if is_loopback(endpoint) else 's'}://{endpoint}"


class Paging:
    """A box's page. Contract: start() any number of times, then stop()."""

    def __init__(self, store: StateDirectory, config: BoxConfig) -> None:
        self._store, self._config, self._listen = store, config, config.page_listen
        self._living: asyncio.Task[None] | None = None
        self.stage = PageStage.OFF
        self.problem = ""
        """Why it ended last."""

    def start(self) -> None:
        """Let there be a page from now on."""
        if self._living is None:
            self.stage = PageStage.STARTING
            self._living = asyncio.get_running_loop().create_task(self._keep())

    async def stop(self) -> None:
        """End it; idempotent."""
        living, self._living = self._living, None
        if living is not None:
            living.cancel()
            await asyncio.wait([living])
        self.stage = PageStage.OFF

    def answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Say how far it is and where it is found; start: let there be one."""
        if asked.get("start") is True:
            self.start()
        return {"stage": self.stage.value, "origin": origin_of(self._listen), "problem": self.problem}

    async def _keep(self) -> None:
        """Run the process, and again when it ends, until cancelled."""
        waits, loop = Waits(), asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            try:
                await self._run()
            except (OSError, VoiceboxError) as problem:
                self.problem = str(problem)
            self.stage = PageStage.ENDED
            await asyncio.sleep(waits.after(loop.time() - began_s))

    async def _run(self) -> None:
        setting = {"home": str(self._store.home), "listen": str(self._listen), "tls": self._tls()}
        pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        command = (sys.executable, "-m", "voicebox.page")
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=nothing, limit=MAX_WORD_OCTETS)
        try:
            await self._live(process, setting)
        finally:
            await end_process(process, STOP_S)

    async def _live(self, process: asyncio.subprocess.Process, setting: Mapping[str, str]) -> None:
        """Tell the process what it needs, and wait until it is no page, or no more."""
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(setting).encode() + b"\n")  # it stays open: the page ends when nobody holds the other end any more
        try:
            word = (await asyncio.wait_for(process.stdout.readline(), READY_S)).strip()
        except (TimeoutError, ValueError):
            word = b""
        if word != READY:
            self.problem = word.decode("utf-8", "replace") or "The page's process ended, or says nothing."
            return
        self.stage, self.problem = PageStage.RUNNING, ""
        await process.wait()
        self.problem = "The page's process ended."

    def _tls(self) -> str:
        """Return the key and certificate that phones know too, PEM; nothing where only this machine reaches the page. Raises UsageError, FileProblem, HostError."""
        if is_loopback(self._listen):
            return ""
        if self._listen.address not in self._config.tls_addresses:
            raise UsageError("`page` in box.yaml must be an address of the loopback, or one of those in sip.listen, which the box's certificate names.")
        return self._store.renew_phone_tls(self._config.tls_addresses, dt.datetime.now(dt.UTC)).server.decode()
