"""`python -m voicebox.page`: serve the page of a box, for as long as whoever started it holds the other end of standard input. [io]

One JSON line comes there: home, listen (ADDRESS:PORT), tls (key and certificate, PEM, or empty). One line goes to standard output: ready, or what is wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
import sys
from pathlib import Path

from voicebox.config.model import Endpoint, parse_endpoint
from voicebox.errors import HostError, VoiceboxError
from voicebox.own_process import NICER, keep_memory_private
from voicebox.tls_key import load_key

MISSING = "The page needs packages that are not installed: pip install 'voicebox[page]'."
MAX_CONNECTIONS = 64
IDLE_S = 15
MAX_SETTING_OCTETS = 1 << 16


async def _serve(home: Path, listen: Endpoint, tls: str, orders: asyncio.StreamReader) -> None:
    """Serve until nobody holds the other end of `orders`."""
    import uvicorn  # noqa: PLC0415 - an extra, whose lack is told

    from voicebox.page.app import make_app  # noqa: PLC0415 - as above

    app = make_app(home, listen, tls=bool(tls))
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="wsproto",
        ws_max_size=MAX_SETTING_OCTETS,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=1 << 14,
    )
    config.load()
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        load_key(context, tls.encode())
        config.ssl = context
    listener = _listener(listen)
    server = uvicorn.Server(config)
    serving = asyncio.get_running_loop().create_task(server.serve([listener]))
    while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn tells nobody
        await asyncio.sleep(0.01)
    print("ready", flush=True)
    while await orders.read(MAX_SETTING_OCTETS):
        pass
    server.should_exit = True
    with contextlib.suppress(asyncio.CancelledError):
        await serving


def _listener(listen: Endpoint) -> socket.socket:
    family = socket.AF_INET6 if ":" in listen.address else socket.AF_INET
    try:
        return socket.create_server((listen.address, listen.port), family=family)
    except OSError as error:
        raise HostError(f"The page cannot listen where `page` in box.yaml says ({error.strerror}). Give it another port there.") from None


async def _main() -> None:
    orders = asyncio.StreamReader(limit=MAX_SETTING_OCTETS)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    setting = json.loads(await orders.readline())
    await _serve(Path(setting["home"]), parse_endpoint(setting["listen"]), str(setting["tls"]), orders)


def main() -> int:
    """Serve; return the exit code."""
    try:
        keep_memory_private()
        os.nice(NICER)  # a call goes first
        asyncio.run(_main())
    except ImportError:
        print(MISSING, flush=True)
        return 1
    except VoiceboxError as problem:
        print(problem, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
