"""The licence check: expressions, and what is not on the list."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.licences import AllowList, ExpressionError, is_allowed, python_licences, read_allow_list, verdict

ROOT = Path(__file__).resolve().parent.parent.parent
ALLOWED = frozenset({"MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "Unicode-3.0"})
ALLOW = AllowList(ALLOWED, {"MIT License": "MIT"}, {"quiet": "MIT", "loud": "AGPL-3.0-only"})


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("SSPL-1.0", False),
        ("MIT OR SSPL-1.0", True),
        ("SSPL-1.0 OR MIT", True),
        ("MIT AND SSPL-1.0", False),
        ("(MIT OR SSPL-1.0) AND Unicode-3.0", True),
        ("SSPL-1.0 OR MIT AND SSPL-1.0", False),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("Apache-2.0 WITH Classpath-exception", False),
    ],
)
def test_expressions(expression: str, *, allowed: bool) -> None:
    assert is_allowed(expression, ALLOWED) is allowed


@pytest.mark.parametrize("expression", ["", "MIT License", "MIT OR", "OR MIT", "(MIT", "MIT)", "()", "MIT; Apache-2.0", "MIT MIT"])
def test_what_is_no_expression(expression: str) -> None:
    with pytest.raises(ExpressionError):
        is_allowed(expression, ALLOWED)


@pytest.mark.parametrize(
    ("name", "expression", "problem"),
    [
        ("x", "MIT License", ""),
        ("quiet", "UNKNOWN", ""),
        ("loud", "MIT", "AGPL-3.0-only is not on the allow list"),
        ("x", "UNKNOWN", "UNKNOWN is not on the allow list"),
        ("x", "do what you like", "no licence can be read"),
    ],
)
def test_verdicts(name: str, expression: str, problem: str) -> None:
    said = verdict("package", name, expression, ALLOW)
    assert problem in said
    assert bool(said) is bool(problem)


def test_the_list_names_packages_that_are_used() -> None:
    assert set(read_allow_list(ROOT).stated) <= {name for name, _ in python_licences()}
