"""The repository's own rules, held by machine: what CONTRIBUTING.md asks for and no linter sees."""

from __future__ import annotations

import ast
import fnmatch
import re
import statistics
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILE_LINES = 600
MODEL_LINES = 1000
FUNCTION_LINES = 100
FUNCTION_LINES_P95 = 50


@cache
def tracked_files() -> tuple[Path, ...]:
    """Return the files that are part of the project: what git tracks, or all sources where there is no git (a source archive)."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
        return tuple(path for name in listed if name and (path := ROOT / name).is_file())
    crates = ("core", "dtls", "lab", "model", "node", "py", "srtp", "world")
    folders = ("voicebox", *(f"relay/{crate}" for crate in crates), "tests", "tools", "dialplans", "requirements")
    return (*(path for path in ROOT.iterdir() if path.is_file()), *(path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()))


def sources(*suffixes: str) -> list[Path]:
    """Return the tracked files that end in one of suffixes."""
    return [path for path in tracked_files() if path.suffix in suffixes]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def texts() -> list[tuple[str, str]]:
    """Return (name, text) of every tracked text file."""
    found = []
    for path in tracked_files():
        try:
            found.append((name_of(path), path.read_text("utf-8")))
        except UnicodeDecodeError:
            continue  # recordings and the like
    return found


@cache
def settings() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


# ------------------------------------------------------------------------------------------------------------- content


def test_no_file_names_a_path_of_one_machine() -> None:
    private = re.compile("|".join([re.escape(str(ROOT)), r"/home/[a-z][a-z0-9_-]*/", r"(?<![\w.$}])/root/", r"/Users/[A-Za-z]"]))
    here = name_of(Path(__file__))
    assert [f"{name}: {found[0]}" for name, text in texts() if name != here and (found := private.search(text))] == []


def test_nothing_is_left_to_do() -> None:
    marks = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
    names = [f"{name}: {found[0]}" for name, text in texts() if name not in {"LICENSE", "CONTRIBUTING.md"} and (found := marks.search(text))]
    assert names == []


def test_files_stay_short_enough_to_read() -> None:
    lines = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in sources(".py", ".pyi", ".rs", ".sh")}
    assert {name: count for name, count in lines.items() if count > FILE_LINES} == {}


def code_lines(path: Path) -> int:
    """Count the lines that hold code: not blank ones, comments and docstrings, so that explaining costs nothing."""
    text = path.read_text("utf-8")
    prose: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False) is not None:
            prose.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    lines = enumerate(text.splitlines(), start=1)
    return sum(bool(line.strip()) and not line.lstrip().startswith("#") and number not in prose for number, line in lines)


def test_the_model_stays_short_enough_to_read_at_once() -> None:
    lines = {name_of(path): code_lines(path) for path in sources(".py") if name_of(path).startswith("relay/model/")}
    assert sum(lines.values()) <= MODEL_LINES, f"relay/model has {sum(lines.values())} lines of code: {lines}"


def test_functions_stay_short_enough_to_read() -> None:
    lengths: dict[str, int] = {}
    for path in sources(".py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lengths[f"{name_of(path)}:{node.lineno} {node.name}"] = (node.end_lineno or node.lineno) - node.lineno + 1
    assert {name: length for name, length in lengths.items() if length > FUNCTION_LINES} == {}
    assert statistics.quantiles(lengths.values(), n=20)[-1] < FUNCTION_LINES_P95


def test_every_module_says_what_it_is() -> None:
    silent = []
    for path in sources(".py", ".pyi"):
        tree = ast.parse(path.read_text("utf-8"))
        if tree.body and not ast.get_docstring(tree):
            silent.append(name_of(path))
    assert silent == []


# --------------------------------------------------------------------------------------------------------- suppressions

PYTHON_SUPPRESSION = re.compile(
    r"\s*#\s*(?:(?:ruff:\s*)?noqa(?::[\s,]*[A-Z]+\d+(?:[\s,]+[A-Z]+\d+)*)?|type:\s*ignore(?:\[[^]]*\])?|mypy:\s*\S+|pragma:\s*no \w+)"
)
REASON = re.compile(r"\s*(?:#|--?)\s*\S.{4,}")
RUST_ALLOW = re.compile(r"#!?\[(?:allow|expect|cfg_attr\([^]]*allow)\([^]]*\][^\n]*", re.DOTALL)


def unreasoned_python(text: str) -> list[int]:
    """Return the numbers of lines that silence a tool without saying why on the same line."""
    wrong = []
    for number, line in enumerate(text.splitlines(), 1):
        rest = line
        while found := PYTHON_SUPPRESSION.search(rest):
            rest = rest[found.end() :]
            if not PYTHON_SUPPRESSION.match(rest) and not REASON.match(rest):
                wrong.append(number)
    return wrong


def unreasoned_rust(text: str) -> list[str]:
    """Return the attributes that silence the compiler, and the unwraps outside tests, that do not say why."""
    wrong = [found[0] for found in RUST_ALLOW.finditer(text) if "reason" not in found[0] and "//" not in found[0]]
    product = text.split("#[cfg(test)]", 1)[0]
    return wrong + [line.strip() for line in product.splitlines() if ".unwrap()" in line and "//" not in line]


@pytest.mark.parametrize(
    ("line", "reasoned"),
    [
        ("x = 1  # noqa: E741", False),
        ("x = 1  # noqa: E741  # the name the standard uses", True),
        ("x = f()  # type: ignore[misc]", False),
        ("x = f()  # type: ignore[misc]  # untyped library", True),
        ("x = f()  # type: ignore[misc]  # noqa: E741", False),
        ("x = f()  # type: ignore[misc]  # noqa: E741  # untyped library, the standard's name", True),
        ("x = f()  # noqa: S506, S507 - makes strings only", True),
        ("x = f()  # noqa: S506 - ", False),
        ("x = 1  # a comment", True),
    ],
)
def test_python_suppressions_are_told_apart(line: str, *, reasoned: bool) -> None:
    assert (unreasoned_python(line) == []) is reasoned


@pytest.mark.parametrize(
    ("text", "reasoned"),
    [
        ("#[allow(dead_code)]\nfn f() {}", False),
        ('#[allow(dead_code, reason = "read by the debugger")]\nfn f() {}', True),
        ("#[allow(dead_code)] // read by the debugger\nfn f() {}", True),
        ("let x = y.unwrap();", False),
        ("let x = y.unwrap(); // y was filled two lines above", True),
        ("#[cfg(test)]\nmod tests { fn f() { y.unwrap(); } }", True),
    ],
)
def test_rust_suppressions_are_told_apart(text: str, *, reasoned: bool) -> None:
    assert (unreasoned_rust(text) == []) is reasoned


def test_every_suppression_carries_its_reason() -> None:
    here = Path(__file__)
    python = {f"{name_of(path)}:{number}" for path in sources(".py", ".pyi") if path != here for number in unreasoned_python(path.read_text("utf-8"))}
    rust = {f"{name_of(path)}: {what}" for path in sources(".rs") if "tests" not in path.parts for what in unreasoned_rust(path.read_text("utf-8"))}
    assert python | rust == set()


# ------------------------------------------------------------------------------------------------------------ directions


def imported_modules(path: Path) -> set[str]:
    """Return the full names that a Python file imports, at any depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
    return names


def test_one_door_to_the_engine() -> None:
    users = {name_of(path) for path in sources(".py") if "voicebox._relay" in imported_modules(path) and path.parts[-2] != "tests"}
    assert {name for name in users if name.startswith("voicebox/")} <= {"voicebox/dataplane.py"}


def test_the_engine_and_its_model_do_not_know_the_control_plane() -> None:
    strangers = {
        name_of(path) for path in sources(".py") if name_of(path).startswith("relay/") for name in imported_modules(path) if name.startswith("voicebox")
    }
    assert strangers == set()


def table(*keys: str) -> dict[str, object]:
    found: object = settings()
    for key in keys:
        assert isinstance(found, dict)
        found = found[key]
    assert isinstance(found, dict)
    return found


def test_linter_and_import_contract_name_the_same_io_files() -> None:
    by_ruff = {
        pattern.removesuffix(".py").replace("/", ".")
        for pattern, codes in table("tool", "ruff", "lint", "per-file-ignores").items()
        if pattern.startswith("voicebox/") and isinstance(codes, list) and "TID251" in codes
    }
    contracts = table("tool", "importlinter")["contracts"]
    assert isinstance(contracts, list)
    sans_io = next(contract for contract in contracts if contract["id"] == "sans-io")
    by_contract = {line.removesuffix(" -> *") for line in sans_io["ignore_imports"]}
    assert by_ruff == by_contract


def test_core_modules_never_await() -> None:
    io_patterns = [pattern for pattern, codes in table("tool", "ruff", "lint", "per-file-ignores").items() if isinstance(codes, list) and "TID251" in codes]
    awaiting = []
    for path in sources(".py"):
        name = name_of(path)
        if not name.startswith(("voicebox/", "relay/model/")) or any(fnmatch.fnmatch(name, pattern) for pattern in io_patterns):
            continue
        if any(isinstance(node, ast.AsyncFunctionDef | ast.Await) for node in ast.walk(ast.parse(path.read_text("utf-8")))):
            awaiting.append(name)
    assert awaiting == []
