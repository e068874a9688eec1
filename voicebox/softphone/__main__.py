"""Run the built-in softphone by itself: `python -m voicebox.softphone NAME ...`, the same as `voicebox phone run NAME ...`. [io]"""

from __future__ import annotations

import argparse
import sys

from voicebox.errors import VoiceboxError
from voicebox.softphone.arguments import add_arguments, run


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(prog="voicebox phone run", description="The built-in softphone.")
    add_arguments(parser)
    try:
        return run(parser.parse_args())
    except VoiceboxError as error:
        print(f"voicebox: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
