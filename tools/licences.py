"""Check the licences of everything this project is built from against the allow list in tools/licences.toml.

Python packages are read from the environment that the check runs in, crates from `cargo metadata`. An expression is allowed if what it asks can
be met with allowed licences alone (SPDX: `A OR B` needs one, `A AND B` both). Where the metadata say nothing that can be
read, the allow list names the package, its licence and where that was read.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TOKEN = re.compile(r"\(|\)|[A-Za-z0-9.+:-]+(?: WITH [A-Za-z0-9.-]+)?")
MARKED_BY_MACHINE = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu")
METADATA_LIMIT_S = 120
UNREADABLE = "UNKNOWN"


@dataclass(frozen=True)
class AllowList:
    """What tools/licences.toml says."""

    licences: frozenset[str]
    spellings: dict[str, str]  # what packages write, and its SPDX name
    stated: dict[str, str]  # package: licence, where its metadata cannot be read


def read_allow_list(root: Path) -> AllowList:
    """Return the allow list of the checkout at root."""
    table = tomllib.loads((root / "tools" / "licences.toml").read_text("utf-8"))
    stated = {str(name): str(entry["licence"]) for name, entry in table["stated"].items()}
    return AllowList(frozenset(table["allowed"]), dict(table["spellings"]), stated)


class ExpressionError(ValueError):
    """A licence expression that is none."""


def is_allowed(expression: str, allowed: frozenset[str]) -> bool:
    """Tell whether an SPDX expression can be met with allowed licences. Raises ExpressionError for what is no expression."""
    tokens: list[str] = TOKEN.findall(expression)
    if not tokens or "".join(tokens).replace(" ", "") != expression.replace(" ", ""):
        raise ExpressionError(expression)
    position = 0

    def take() -> str:
        nonlocal position
        if position == len(tokens):
            raise ExpressionError(expression)
        position += 1
        return tokens[position - 1]

    def peek() -> str:
        return tokens[position] if position < len(tokens) else ""

    def atom() -> bool:
        word = take()
        if word == "(":
            inner = any_of()
            if take() != ")":
                raise ExpressionError(expression)
            return inner
        if word in {")", "AND", "OR"}:
            raise ExpressionError(expression)
        return word in allowed

    def all_of() -> bool:
        met = atom()
        while peek() == "AND":
            take()
            met = atom() and met
        return met

    def any_of() -> bool:
        met = all_of()
        while peek() == "OR":
            take()
            met = all_of() or met
        return met

    met = any_of()
    if position != len(tokens):
        raise ExpressionError(expression)
    return met


def verdict(kind: str, name: str, expression: str, allow: AllowList) -> str:
    """Return what is wrong with one package's licence, nothing if all is well."""
    spelled = allow.stated.get(name) or allow.spellings.get(expression, expression)
    try:
        if is_allowed(spelled, allow.licences):
            return ""
    except ExpressionError:
        return f"{kind} {name}: no licence can be read from {spelled[:60]!r}; name it under [stated] in tools/licences.toml"
    return f"{kind} {name}: {spelled} is not on the allow list of tools/licences.toml"


def python_licences() -> Iterator[tuple[str, str]]:
    """Yield (package, licence expression) of the environment this runs in."""
    for distribution in importlib.metadata.distributions():
        metadata = distribution.metadata
        name = str(metadata["Name"]).lower().replace("_", "-")
        classifiers = [line.rsplit(" :: ", 1)[-1] for line in metadata.get_all("Classifier") or [] if line.startswith("License :: OSI Approved :: ")]
        free_text = str(metadata["License"] or "").strip()
        by_field = free_text if free_text and "\n" not in free_text else ""
        yield name, str(metadata["License-Expression"] or "") or by_field or " AND ".join(classifiers) or UNREADABLE


def python_licence_problems(root: Path) -> list[str]:
    """Return the Python packages whose licence is not allowed."""
    allow = read_allow_list(root)
    return sorted(filter(None, (verdict("package", name, expression, allow) for name, expression in set(python_licences()) if name != "voicebox")))


def rust_licences(root: Path) -> set[tuple[str, str]]:
    """Return (crate, licence expression) of every crate that is compiled for the machines we name. Raises OSError where cargo is missing."""
    manifest = root / "relay" / "Cargo.toml"
    crates: set[tuple[str, str]] = set()
    for machine in MARKED_BY_MACHINE:
        words = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", machine, "--manifest-path", str(manifest)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=METADATA_LIMIT_S, check=True)
        metadata = json.loads(done.stdout)
        compiled = {node["id"] for node in metadata["resolve"]["nodes"]}
        # Older crates write `/` for OR.
        crates |= {(crate["name"], str(crate["license"] or UNREADABLE).replace("/", " OR ")) for crate in metadata["packages"] if crate["id"] in compiled}
    return crates


def rust_licence_problems(root: Path) -> list[str]:
    """Return the crates whose licence is not allowed."""
    allow = read_allow_list(root)
    try:
        crates = rust_licences(root)
    except subprocess.CalledProcessError as error:
        return [f"cargo metadata failed: {str(error.stderr).strip()[-500:]}"]
    except (OSError, subprocess.TimeoutExpired) as error:
        return [f"cargo metadata could not be run: {type(error).__name__}"]
    return sorted(filter(None, (verdict("crate", name, expression, allow) for name, expression in crates)))
