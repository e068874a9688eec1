"""What works and what does not, and why; the profile and what it costs. [io: looks at the machine]"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from voicebox.circuits.cost import promised
from voicebox.config.model import Profile
from voicebox.doctor.findings import Finding, Grade, findings_of
from voicebox.doctor.machine import look_at_machine
from voicebox.doctor.running import findings_of_path, findings_of_status
from voicebox.page.desk import desk_of, led_to, shown

ORDER = (Grade.PROBLEM, Grade.NOTE, Grade.GOOD)


async def state(request: Request) -> Response:
    """Show how the box is. Without a script the whole page is asked for again; with it, what changes."""
    status = (await desk_of(request).ask("status"))["status"]
    path = (await desk_of(request).ask("path"))["path"]
    found = _ordered([*findings_of_status(status), *findings_of_path(path)])
    template = "state_now.html" if request.url.path.endswith("/now") else "state.html"
    return shown(request, template, status=200, box=status, found=found)


async def machine(request: Request) -> Response:
    """Look at the machine, which takes a second, and show what was found."""
    found = await asyncio.to_thread(lambda: findings_of(look_at_machine()))
    return shown(request, "machine.html", found=_ordered(found))


async def cost(request: Request) -> Response:
    """Show the profile, what it costs and what the others would."""
    status = (await desk_of(request).ask("status"))["status"]
    profiles = [{"name": each.value, **promised(each.circuits, metered=each.is_metered).told(), "circuits": each.circuits} for each in Profile]
    return shown(request, "cost.html", box=status, profiles=profiles)


async def home(_request: Request) -> Response:
    """Lead to what is looked at first."""
    return led_to("/state")


def _ordered(found: list[Finding]) -> list[dict[str, Any]]:
    """Return findings as the template has them, what is in the way first."""
    rows = sorted(found, key=lambda finding: ORDER.index(finding.grade))
    return [{"what": each.what, "grade": each.grade.value, "said": each.said, "advice": each.advice} for each in rows]
