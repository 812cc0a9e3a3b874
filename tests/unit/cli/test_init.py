"""The program as a whole: help, examples and version."""

from __future__ import annotations

import itertools
import re
import shlex
from typing import Any

import pytest
import typer

from qupath_her2.cli import app
from tests.unit.cli.commands import call, start

GROUP: Any = typer.main.get_command(app)
#: {verb: command}; of a group the verbs within it, such as "review collect".
COMMANDS: dict[str, Any] = {
    " ".join((name, *within)): command
    for name, group in sorted(GROUP.commands.items())
    for within, command in (
        [((verb,), command) for verb, command in sorted(group.commands.items())]
        if hasattr(group, "commands")
        else [((), group)]
    )
}
VERBS = list(COMMANDS)


def examples(verb: str) -> list[list[str]]:
    """The commands in the help of a verb, as words without the name of the program."""
    lines = [line.strip() for line in COMMANDS[verb].help.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("qupath-her2 ")]


def named(words: list[str]) -> str:
    """The verb of a command, which may be two words."""
    return " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_examples(verb: str) -> None:
    code, out, _ = call(*verb.split(), "--help")
    assert code == 0
    assert "Example" in out
    assert f"qupath-her2 {verb}" in out
    assert "…" not in out


@pytest.mark.parametrize("verb", VERBS)
def test_the_examples_of_the_help_are_accepted(verb: str) -> None:
    assert [named(words) for words in examples(verb)].count(verb) >= 1
    for words in examples(verb):
        # Parsing alone: flags, choices and values are checked, nothing is run.
        COMMANDS[named(words)].make_context(named(words), words[len(named(words).split()) :])


@pytest.mark.parametrize("verb", VERBS)
def test_paragraphs_of_the_help_fill_their_lines(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = call(*verb.split(), "--help")
    lines = [line.strip() for line in out.splitlines()]
    text = lines[: next(number for number, line in enumerate(lines) if line.startswith("Example"))]
    for line, below in itertools.pairwise(text):
        # A line of a paragraph ends where the next word would not fit (80 columns, one of margin on each side).
        if line and below:
            assert len(f"{line} {below.split()[0]}") > 78, line


def test_the_first_help_leads_to_a_first_score() -> None:
    code, out, _ = call("--help")
    assert code == 0
    for step in ("qupath-her2 doctor", "qupath-her2 example demo", "qupath-her2 run demo"):
        assert step in out
    assert "Research use only" in out
    assert all(re.search(rf"│ {verb} ", out) for verb in GROUP.commands)


def test_version_of_the_installed_command() -> None:
    process = start("--version")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert re.match(r"qupath-her2 \S+", out)
