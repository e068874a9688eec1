"""`voicebox probe`, for whoever looks for it among the tools: `python tools/probe.py NAME ...`."""

from __future__ import annotations

import sys

from voicebox.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["probe", *sys.argv[1:]]))
