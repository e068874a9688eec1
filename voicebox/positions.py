"""YAML files of which every value keeps its position, so that all problems of a file are told at once, each with its place.

Read with BaseLoader's rules: every value is a string, because YAML's own types turn 012 into 10, 12:30 into 750 and `on` into True.
NOT here: what the values mean (config/, dialplan/), reading files. Pure.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import yaml

from voicebox.errors import LocalError

MAX_FILE_CHARACTERS = 262_144
MAX_PROBLEMS = 50
MAX_BRACKETS = 50
_TOO_DEEP = ("brackets or indentation go too deep", "Nothing here needs more than a few levels.")


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One thing that is wrong. line and column: 1-based, 0 for the file as a whole; path: dotted, from the file's top."""

    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{where}{' ' + self.path if self.path else ''}: {self.message}." + (f" {self.hint}" if self.hint else "")


class ProblemsFound(LocalError):
    """A file cannot be used; str() is one line for each problem."""

    def __init__(self, problems: Iterable[ConfigProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems[:MAX_PROBLEMS]))


class PositionedFile:
    """Walks one YAML file and gathers problems. Contract: read everything, then raise_problems()."""

    def __init__(self, text: str, file: str) -> None:
        self._file = file
        self.problems: list[ConfigProblem] = []
        self.root: yaml.Node | None = None
        if len(text) > MAX_FILE_CHARACTERS:
            self.problems.append(ConfigProblem(file, 0, 0, "", f"longer than {MAX_FILE_CHARACTERS} characters", "Make it shorter."))
            return
        if (line := _too_deep(text)) is not None:
            self.problems.append(ConfigProblem(file, line, 1, "", *_TOO_DEEP))
            return
        try:
            self.root = yaml.compose(text, Loader=yaml.BaseLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
            self.problems.append(ConfigProblem(file, line, column, "", error.problem or "not YAML", "Look at the indentation and quotes of this line."))
        except RecursionError:
            self.problems.append(ConfigProblem(file, 1, 1, "", *_TOO_DEEP))
        except (yaml.YAMLError, ValueError):
            self.problems.append(ConfigProblem(file, 1, 1, "", "not YAML", "Look for letters that no editor shows."))

    def problem(self, node: yaml.Node | None, path: str, message: str, hint: str = "") -> None:
        """Note a problem at a node."""
        line, column = (node.start_mark.line + 1, node.start_mark.column + 1) if node is not None else (0, 0)
        self.problems.append(ConfigProblem(self._file, line, column, path, message, hint))

    def raise_problems(self) -> None:
        """Raise ProblemsFound where there are any."""
        if self.problems:
            raise ProblemsFound(sorted(self.problems, key=lambda problem: (problem.line, problem.column)))

    def mapping(
        self, node: yaml.Node | None, path: str, known: Iterable[str] | None = None, refused: Mapping[str, tuple[str, str]] | None = None
    ) -> dict[str, yaml.Node]:
        """Return a mapping's values by key; unknown and repeated keys, and anything but a mapping, are problems.

        known: None for any key; refused: what is said about some unknown keys, message and hint.
        """
        if node is None or (isinstance(node, yaml.ScalarNode) and node.value == ""):
            return {}
        if not isinstance(node, yaml.MappingNode):
            self.problem(node, path, "here should be keys with values", "Write `key: value`, one a line.")
            return {}
        names = None if known is None else list(known)
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            here = f"{path}.{name}" if path else name
            if not isinstance(key, yaml.ScalarNode):
                self.problem(key, path, "a key should be one word", "Write `key: value`.")
            elif name in found:
                self.problem(key, here, "given twice", "Delete one of the two.")
            elif names is not None and name not in names:
                self.problem(key, here, *(refused or {}).get(name, ("unknown", did_you_mean(name, names))))
            else:
                found[name] = value
        return found

    def sequence(self, node: yaml.Node | None, path: str) -> list[yaml.Node]:
        """Return a list's items; anything else is a problem."""
        if node is None:
            return []
        if not isinstance(node, yaml.SequenceNode):
            self.problem(node, path, "here should be a list", "Write `- item`, one a line, or [item, item].")
            return []
        return list(node.value)

    def text(self, node: yaml.Node, path: str) -> str | None:
        """Return a single value; anything else is a problem."""
        if isinstance(node, yaml.ScalarNode):
            return str(node.value)
        self.problem(node, path, "here should be one value", "Write one word or number, in quotes if need be.")
        return None


def _too_deep(text: str) -> int | None:
    """Return the line, 1-based, in which too many brackets are open; None where none is. The YAML reader takes seconds for hundreds of them."""
    depth, line = 0, 1
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        line += letter == "\n"
        if depth > MAX_BRACKETS:
            return line
    return None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint with the nearest known names."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"Did you mean `{near[0]}`?" if near else f"Known here: {', '.join(names)}."
