"""What the parts that want a network of their own end with. parts.py starts each as a process and reads what it prints. [io]"""

from __future__ import annotations

import json
from collections.abc import Callable

from voicebox.demo.namespace import enter_private_network


def print_apart(measure: Callable[[], object]) -> None:
    """Measure in a network namespace of this process's own, and print what was found as JSON; {"missing": why} where there is none."""
    isolation = enter_private_network()
    print(json.dumps(measure() if isolation.private else {"missing": isolation.reason}))
