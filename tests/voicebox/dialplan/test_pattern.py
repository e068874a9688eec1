"""Patterns: what fits, what does not and why, and which pattern leaves another nothing to do."""

from __future__ import annotations

import itertools
import random

import pytest

from voicebox.dialplan.pattern import compile_pattern, hidden

SUFFIXES = ("privacy",)


@pytest.mark.parametrize(
    ("pattern", "matches", "misses"),
    [
        ("X[0-9]X", ["012", "999"], ["12", "1234", "12a"]),
        ("ZX", ["10"], ["01"]),
        ("NX", ["20"], ["10"]),
        ("[4-6*]1", ["41", "61", "*1"], ["31", "-1"]),
        ("[4-6-]1", ["51", "-1"], ["71"]),
        ("00.", ["001", "00123456"], ["00", "01"]),
        ("00!", ["00", "001"], ["0"]),
        ("*43", ["*43"], ["43"]),
        ("bob", ["bob"], ["bo", "bobb"]),
        ("<name>.privacy", ["bob", "bob-2"], ["bob.private", "-bob", "bob-", "a b", ""]),
        ("bob.privacy", ["bob"], ["bobxprivacy"]),
        ("7<n:ZX>", ["710"], ["701"]),
        ("7<n:X.>", ["710"], ["71"]),
    ],
)
def test_patterns(pattern: str, matches: list[str], misses: list[str]) -> None:
    expression = compile_pattern(pattern, SUFFIXES).expression
    assert [text for text in matches if not expression.fullmatch(text)] == []
    assert [text for text in misses if expression.fullmatch(text)] == []


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("", "1 to 64"),
        ("1" * 65, "1 to 64"),
        (".privacy", "no suffix"),
        ("A", "`A`, which cannot stand there"),
        ("1.2", "before its end"),
        ("!1", "before its end"),
        ("<n:!>1", "before its end"),
        ("<who>", "<who>, which is not known"),
        ("<n:ab>", "something else than X"),
        ("<n:.1>", "something else than X"),
        ("<contact:XX>", "something else than X"),
        ("<name><name>", "stands already"),
        ("<name>1<contact>", "stands already"),
        ("<n:X><n:X>", "stands already"),
        ("<name", "`<`"),
        ("[a]", "`[`"),
        ("[", "`[`"),
        ("[6-4]", "backwards"),
        ("a b", "` `"),
        ("<name>.", "no suffix of this box, which has privacy"),
        ("<name>.private", "no suffix of this box, which has privacy"),
    ],
)
def test_wrong_patterns_are_refused(pattern: str, words: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        compile_pattern(pattern, SUFFIXES)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "text", "why"),
    [
        ("2X", "712", "`7` at place 1 does not fit"),
        ("7<n:XX>", "7a2", "`a` at place 2 does not fit"),
        ("2X", "2", "more should follow"),
        ("2X", "200", "`0` at place 3 does not fit"),
        ("<name>", "bob-", "more should follow"),
        ("<name>", "b b", "` ` at place 2 does not fit"),
        ("7.", "7", "more should follow"),
        ("7X", "7é", "`é` at place 2 does not fit"),
    ],
)
def test_what_does_not_fit_is_said(pattern: str, text: str, why: str) -> None:
    compiled = compile_pattern(pattern)
    assert compiled.expression.fullmatch(text) is None
    assert compiled.misfit(text) == why


@pytest.mark.parametrize(
    ("later", "earlier", "is_hidden"),
    [
        ("20", ["2X"], True),
        ("2X", ["20"], False),
        ("XX", ["ZX", "0X"], True),
        ("XX", ["ZX", "0Z"], False),
        ("2!", ["2", "2."], True),
        ("bob", ["<name>"], True),
        ("<name>", ["bob"], False),
        ("<contact>", ["<name>"], True),
        ("<name>", ["<contact>"], False),
        ("<contact>", ["<contact>"], True),
        ("bob", ["<contact>"], False),
        ("<name>", ["."], True),
        (".", ["<name>"], False),
        ("!", ["."], False),
        ("*43", ["<name>"], False),
        ("7<n:XX>", ["7XX"], True),
        ("7XX", ["7<n:X><m:X>"], True),
        ("1", [], False),
    ],
)
def test_hidden_patterns(later: str, earlier: list[str], is_hidden: bool) -> None:
    assert hidden(compile_pattern(later), [compile_pattern(text) for text in earlier]) is is_hidden


def test_hidden_is_what_trying_every_text_says() -> None:
    """Seeded: over letters of which every pattern is made, up to one longer than the patterns are."""
    rng = random.Random(5)
    texts = ["".join(letters) for length in range(5) for letters in itertools.product("01a-", repeat=length)]
    counted = {True: 0, False: 0}
    for _ in range(80):
        later, *earlier = ["".join(rng.choices(["0", "1", "X", "Z", "[01]", "a"], k=rng.randint(1, 3))) + rng.choice(["", "", ".", "!"]) for _ in range(4)]
        fits = [text for text in texts if compile_pattern(later).expression.fullmatch(text)]
        left = [text for text in fits if not any(compile_pattern(pattern).expression.fullmatch(text) for pattern in earlier)]
        said = hidden(compile_pattern(later), [compile_pattern(pattern) for pattern in earlier])
        assert not (said and left), (later, earlier, left)
        if not left and not set("XZ.!") & set(later):  # beyond these letters there may be texts that nothing earlier takes
            assert said, (later, earlier)
        counted[said] += 1
    assert min(counted.values()) > 3


def test_automaton_and_expression_agree() -> None:
    rng = random.Random(6)
    for _ in range(300):
        parts = rng.choices(["0", "X", "N", "[0-3*]", "a", "-", "<n:X>"], k=rng.randint(0, 3))
        text = "".join(dict.fromkeys(parts)) + rng.choice(["", "!", ".", "<name>"])
        if not text:
            continue
        pattern = compile_pattern(text)
        for _ in range(20):
            dialled = "".join(rng.choices("0125a-*é", k=rng.randint(0, 5)))
            exact = compile_pattern("".join(dialled)) if dialled and set(dialled) <= set("0125a-*") else None
            if exact is not None:
                assert hidden(exact, [pattern]) is (pattern.expression.fullmatch(dialled) is not None), (text, dialled)


def test_finding_hidden_patterns_has_a_bound() -> None:
    hard = [compile_pattern("".join("[0-8]" if other == place else "X" for other in range(12))) for place in range(12)]
    assert hidden(compile_pattern("X" * 12), hard) is False
