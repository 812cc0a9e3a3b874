from __future__ import annotations

from pathlib import Path

import pytest

from qupath_her2.errors import CasesFileError
from qupath_her2.project.cases import column_of_cases, column_of_metadata, of_image


def write(folder: Path, text: str) -> Path:
    path = folder / "cases.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_first_column_that_is_there_counts(tmp_path: Path) -> None:
    path = write(tmp_path, "Image;HER2 IHC;Label\na.svs;2+;x\nb;;y\nc.svs;0\n")
    assert column_of_cases(path, ("her2-ihc", "label")) == ("her2-ihc", {"a.svs": "2+", "c.svs": "0"})
    assert column_of_cases(path, ("none", "LABEL")) == ("LABEL", {"a.svs": "x", "b": "y"})
    assert column_of_cases(path, ("none",)) == (None, {})


def test_values_are_found_with_and_without_extension(tmp_path: Path) -> None:
    _, values = column_of_cases(write(tmp_path, "slide,label\na.svs,1\nb,2\n"), ("label",))
    assert [of_image(values, name) for name in ("a.svs", "b.ome.tif", "b", "c.svs")] == ["1", "2", "2", None]


@pytest.mark.parametrize("text", ["", "label\n1\n"])
def test_no_image_column_has_no_values(text: str, tmp_path: Path) -> None:
    assert column_of_cases(write(tmp_path, text), ("label",)) == (None, {})


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CasesFileError):
        column_of_cases(tmp_path / "cases.csv", ("label",))


def test_metadata_by_the_same_rule() -> None:
    metadata = {"HER2 IHC": " 2+ ", "Label": "", "x": "y"}
    assert column_of_metadata(metadata, ("label", "her2_ihc")) == "2+"
    assert column_of_metadata(metadata, ("label",)) is None
