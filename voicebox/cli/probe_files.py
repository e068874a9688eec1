"""The files of a probe: tried out before it starts, written at its end. [io]"""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

from voicebox.errors import HostError
from voicebox.probe.page import page
from voicebox.probe.report import json_object
from voicebox.probe.result import ProbeResult

STANDARD_OUTPUT = "-"


class ProbeFiles:
    """Where the user wants figures. json_file, html_file: None for nowhere; the former - for standard output."""

    def __init__(self, json_file: str | None, html_file: str | None) -> None:
        self._to_stdout = json_file == STANDARD_OUTPUT
        self._json = Path(json_file) if json_file is not None and not self._to_stdout else None
        self._html = Path(html_file) if html_file is not None else None

    def try_out(self) -> None:
        """Open each file, changing none that is there and leaving none that was not. Raises HostError for one that cannot be written."""
        for path in (self._json, self._html):
            if path is not None:
                try:
                    is_new = not path.exists()
                    with path.open("ab"):
                        pass
                    if is_new:
                        path.unlink()
                except OSError as error:
                    raise HostError(f"{path} cannot be written ({error.strerror}), so nothing was started.") from None

    def write(self, result: ProbeResult) -> None:
        """Write what is wanted. Raises HostError."""
        told = json_object(result, dt.datetime.now(dt.UTC))
        text = json.dumps(told, indent=1) + "\n"
        if self._to_stdout:
            print(text, end="")
        try:
            if self._json is not None:
                self._json.write_text(text)
            if self._html is not None:
                self._html.write_text(page(result, str(told["time_rounded"])))
        except OSError as error:
            raise HostError(f"A file of the probe cannot be written ({error.strerror}).") from None
