"""What tests of several files of the package share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from voicebox.dataplane import LiveDataPlane


@pytest.fixture
def plane() -> Iterator[LiveDataPlane]:
    """A started engine without realtime rights, as tests do not need them."""
    plane = LiveDataPlane(born_unix_us=0, realtime=False)
    plane.start()
    yield plane
    plane.stop()
