"""The lock files: digests and versions only, in step with pyproject.toml and with what is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.lock_digest import dependencies_digest
from tools.lock_files import Pin, cargo_lock_problems, installed_problems, lock_file_problems, read_pins

ROOT = Path(__file__).resolve().parent.parent.parent
DIGEST = "    --hash=sha256:" + "0f" * 32


def test_the_lock_files_are_in_step() -> None:
    assert lock_file_problems(ROOT, dependencies_digest()) == []


def test_a_changed_dependency_is_seen() -> None:
    assert [problem for problem in lock_file_problems(ROOT, "0" * 16) if "make lock" in problem] != []


def test_pins_are_read() -> None:
    pins, problems = read_pins(f"# made\nav==18.1.0 ; python_full_version < '3.12' \\\n{DIGEST} \\\n{DIGEST}\nrich==15.0.0 \\\n{DIGEST}\n")
    assert pins == [Pin("av", "18.1.0", "python_full_version < '3.12'"), Pin("rich", "15.0.0", "")]
    assert problems == []


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [("", "a == 'x'"), ("a == 'x'", "b == 'y' and a == 'x'"), ("a == 'x' or b == 'y'", "a == 'x' or b == 'y'")],
)
def test_a_pin_with_fewer_conditions_holds_wherever_one_with_more_does(wide: str, narrow: str) -> None:
    assert Pin("cffi", "2.1.1", wide).covers(Pin("cffi", "2.1.1", narrow))
    assert Pin("cffi", "2.1.1", narrow).covers(Pin("cffi", "2.1.1", wide)) == (wide == narrow)
    assert not Pin("cffi", "2.1.0", wide).covers(Pin("cffi", "2.1.1", narrow))
    assert not Pin("av", "2.1.1", wide).covers(Pin("cffi", "2.1.1", narrow))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rich==15.0.0 \\\n", "no digest"),
        (f"rich==15.0.0 \\\nav==18.1.0 \\\n{DIGEST}\n", "without a digest"),
        (f"rich>=15 \\\n{DIGEST}\n", "neither"),
        (f"--index-url https://mirror.example/simple\nrich==15.0.0 \\\n{DIGEST}\n", "an address"),
        (f"rich @ file:///somewhere/rich.whl \\\n{DIGEST}\n", "an address"),
    ],
)
def test_what_a_lock_file_must_not_hold(text: str, problem: str) -> None:
    assert any(problem in said for said in read_pins(text)[1])


def test_what_is_installed_is_compared() -> None:
    assert installed_problems([Pin("pytest", "0.0.1", "")])[0].endswith("0.0.1 is locked")
    assert installed_problems([Pin("no-such-package", "1", "")]) == ["no-such-package 1 is locked and not installed"]
    assert installed_problems([Pin("no-such-package", "1", "sys_platform == 'win32'")]) == []


CRATE = '[[package]]\nname = "aes"\nversion = "1.0.0"\nsource = "registry+https://github.com/rust-lang/crates.io-index"\n'


def test_cargo_lock() -> None:
    assert cargo_lock_problems(f'version = 4\n\n{CRATE}checksum = "00"\n') == []
    assert cargo_lock_problems(f"version = 4\n\n{CRATE}") == ["Cargo.lock: aes has no digest"]
    assert cargo_lock_problems(
        CRATE.replace("registry+https://github.com/rust-lang/crates.io-index", "git+https://mirror.example/aes") + 'checksum = "00"\n'
    ) == ["Cargo.lock:4: an address"]
