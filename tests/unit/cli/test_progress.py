from __future__ import annotations

import json

import pytest

from qupath_her2.cli.options import ProgressKind
from qupath_her2.cli.progress import progress_bar, say_json, wants_bar


def test_a_bar_shows_its_fields_as_text_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("cells", after="name") as bar:
        task = bar.add_task("score", total=4, cells="", name="")
        bar.update(task, completed=2, cells="1,200 cells", name="[bold]case07[/bold].svs")
    shown = capsys.readouterr()
    assert shown.out == ""
    line = shown.err.splitlines()[-1]
    assert line.startswith("score")
    assert "1,200 cells" in line
    # Brackets of a file name are no markup.
    assert line.rstrip().endswith("[bold]case07[/bold].svs")


def test_json_is_one_line_and_seen_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    say_json(event="done", name='a"b\nc')
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"event": "done", "name": 'a"b\nc'}


@pytest.mark.parametrize("kind", list(ProgressKind))
@pytest.mark.parametrize("is_terminal", [True, False])
def test_auto_is_a_bar_on_a_terminal_only(
    kind: ProgressKind, is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal)
    assert wants_bar(kind) == (kind.value == "bar" or (kind.value == "auto" and is_terminal))
