"""Options shared by the verbs: each explained once, and a wrong cell source is a usage error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from qupath_her2.cli import app
from tests.unit.cli.commands import call

GROUP: Any = typer.main.get_command(app)


@pytest.mark.parametrize("verb", sorted(GROUP.commands))
def test_every_option_is_explained_in_a_sentence(verb: str) -> None:
    for option in GROUP.commands[verb].params:
        text = getattr(option, "help", None) or ""
        if option.opts == ["--help"] or "-h" in option.opts:
            continue
        assert text.rstrip().endswith((".", ")")), f"{verb} {option.opts}: {text!r}"


def test_the_same_flag_means_the_same_wherever_it_stands() -> None:
    # A flag of one name has one help text, save for those that name another thing in another verb.
    own = {
        "--name",
        "--cells",
        "--model",
        "--rule",
        "--recipe",
        "--weights",
        "--whole-tissue",
        "--dry-run",
        "--force",
    }
    found: dict[str, set[str]] = {}
    for command in GROUP.commands.values():
        for option in command.params:
            for flag in option.opts:
                if flag.startswith("--"):
                    found.setdefault(flag, set()).add(str(getattr(option, "help", "")))
    assert {flag for flag, texts in found.items() if len(texts) > 1} <= own


def test_an_unknown_cell_source_is_wrong_usage(tmp_path: Path) -> None:
    code, _, err = call("run", tmp_path, "--cells", "magic")
    assert code == 2
    assert "magic" in err
