"""The README's commands and Python blocks run as printed; its test command is the one that CI runs."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qupath_her2.cli import app

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
README_TEXT = README.read_text(encoding="utf-8") if README.is_file() else ""
CI_LINES = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
CI_LINE = next(line.removesuffix(" || code=$?") for line in CI_LINES if line.startswith("python -m venv"))

pytestmark = pytest.mark.skipif(not README.is_file(), reason="there is no README.md yet")


def shell_blocks() -> str:
    return "\n".join(re.findall(r"```(?:bash|sh|shell|console)\n(.*?)```", README_TEXT, re.DOTALL))


def commands() -> list[list[str]]:
    """Every `qupath-her2` command in the README's shell blocks, without the name of the program."""
    found = re.findall(r"(?:^|&& |\$ |bin/)qupath-her2 ([^\n#&]*)", shell_blocks(), re.MULTILINE)
    return [shlex.split(command) for command in found]


def test_readme_and_ci_run_the_same_test_command() -> None:
    assert CI_LINE.endswith("-m tests.check")
    assert CI_LINE in shell_blocks()


def test_readme_shows_commands() -> None:
    assert commands()


#: Verbs that have verbs of their own.
GROUPS = {group.name for group in app.registered_groups}


def test_every_verb_and_flag_in_the_readme_exists() -> None:
    for words in commands():
        # Of a group of verbs, such as review, the second word is the verb.
        verb = words[: 2 if words[0] in GROUPS else 1]
        help_text = CliRunner().invoke(app, [*verb, "--help"], terminal_width=200)
        assert help_text.exit_code == 0, words
        for flag in (word.split("=")[0] for word in words if word.startswith("--")):
            assert flag in help_text.stdout, (flag, words)


#: ``tests.check`` hands its arguments on to pytest and starts at once.
MODULES = sorted(set(re.findall(r"python -m ((?:tests|qupath_her2)[\w.]*)", README_TEXT)) - {"tests.check"})


@pytest.mark.parametrize("module", MODULES)
def test_every_module_of_the_readme_runs(module: str) -> None:
    command = [sys.executable, "-m", module, "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage:")


def test_the_commands_on_the_example_do_what_they_say(tmp_path: Path) -> None:
    ours = [words for words in commands() if any("example_projects" in word for word in words)]
    assert ours, "the README scores the example"
    for words in ours:
        given = [str(ROOT / word) if word.startswith("example_projects") else word for word in words]
        if "--out" in given:
            given[given.index("--out") + 1] = str(tmp_path / "out")
        else:
            given += ["--out", str(tmp_path / "out")]
        done = CliRunner().invoke(app, given)
        assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "report.html").is_file()


def test_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # In a copy, because the blocks write their results into the folder that a user is in.
    shutil.copytree(ROOT / "example_projects", tmp_path / "example_projects")
    monkeypatch.chdir(tmp_path)
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", README_TEXT, re.DOTALL)):
        exec(compile(block, f"README block {number}", "exec"), {})
