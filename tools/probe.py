"""`voicebox probe`, for whoever looks for it among the tools; and `--sweep FILE`, for which the repository is needed (sweep.py). [io]

python tools/probe.py NAME ...            as `voicebox probe NAME ...`
python tools/probe.py --sweep FILE        quality over loss, delay and jitter of emulated networks
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from voicebox.cli.main import main as voicebox

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for."""
    if "--sweep" not in arguments:
        return voicebox(["probe", *arguments])
    sys.path.insert(0, str(ROOT))
    from tools.sweep import main as sweep  # noqa: PLC0415 - found only now

    return sweep(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
