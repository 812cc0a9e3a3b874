"""Messages in the words of QuPath, as QuPath's own Java makes them from the table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.groovy.conftest import HERE, SCRIPTS
from tests.house.test_qupath_words import in_qupath, messages

if TYPE_CHECKING:
    from tests.helpers.qupath import QuPath


def test_java_and_python_read_the_table_alike(qupath: QuPath, tmp_path: Path) -> None:
    said = sorted(messages())
    asked, shown = tmp_path / "asked.json", tmp_path / "shown.json"
    asked.write_text(json.dumps(said), encoding="utf-8")
    words = [word for path in (asked, shown, SCRIPTS / "lib") for word in ("--args", str(path))]
    done = qupath.run(HERE / "words.groovy", *words, private=tmp_path / "private")
    assert f"WORDS {len(said)}" in done.stdout, done.stdout + done.stderr
    assert json.loads(shown.read_text(encoding="utf-8")) == [in_qupath(text) for text in said]
    assert sum(in_qupath(text) != text for text in said) > 50
