from __future__ import annotations

from pathlib import Path

import pytest

from qupath_her2.errors import PatchError
from qupath_her2.patches.datasets.tables import find_table


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_tables_of_any_spelling(delimiter: str, encoding: str, tmp_path: Path) -> None:
    rows = [["CASENO", " HeR2  score ", "Größe"], ["7", "2", "x"], ["", "", ""], ["8", "3"]]
    text = "\r\n".join(delimiter.join(row) for row in rows)
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    paths, found = find_table(tmp_path, ("CaseNo", "HeR2 SCORE"))
    assert paths == [tmp_path / "t.csv"]
    assert [(row["caseno"], row["her2_score"]) for row in found] == [("7", "2"), ("8", "3")]


def test_tables_without_the_columns_are_listed(tmp_path: Path) -> None:
    with pytest.raises(PatchError, match="Found no CSV file"):
        find_table(tmp_path, ("CaseNo",))
    (tmp_path / "a.csv").write_text("id;score\n1;2\n")
    (tmp_path / "empty.csv").touch()
    with pytest.raises(PatchError, match=r"CaseNo.*'a\.csv' has id, score; 'empty\.csv' has no columns"):
        find_table(tmp_path, ("CaseNo",))
