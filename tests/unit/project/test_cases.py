"""Case data from ``cases.csv`` and from image metadata."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qupath_her2.errors import CasesFileError
from qupath_her2.project.cases import (
    case_of,
    metadata_column,
    read_case_column,
    read_cases,
    unmatched_cases,
    value_of_image,
)
from qupath_her2.records import CaseInfo

HEADER = "image,case,site,specimen,stain,ish_ratio,her2_copies,control\n"


def cases(tmp_path: Path, text: str | bytes) -> dict[str, CaseInfo]:
    path = tmp_path / "cases.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_cases(path)


FULL = CaseInfo("K7", "gastric", "biopsy", "HER2 4B5", 2.1, 6.5, is_control=True)


@pytest.mark.parametrize(
    "data",
    [
        (HEADER + "a.png,K7,gastric,biopsy,HER2 4B5,2.1,6.5,yes\n").encode(),
        b"\xef\xbb\xbf" + (HEADER + "a.png,K7,gastric,biopsy,HER2 4B5,2.1,6.5,x\n").encode(),
        b"Image;Case;Site;Specimen;Stain;ISH ratio;HER2 copies;Control\r\n"
        b"a.png;K7;;Gastric biopsy;HER2 4B5;2,1;6,5;1\r\n",
        b"sep=;\nimage;case;site;specimen;stain;ish_ratio;her2_copies;control\n"
        b"a.png;K7;stomach;biopsy;HER2 4B5;2.1;6.5;y",
        (HEADER + "a.png,K7,gastric,biopsy,HER2 4B5,2.1,6.5,TRUE\n").replace(",", "\t").encode("utf-16"),
        (HEADER + '\n,,,,,,,\n"a.png",K7,gastric,biopsy,"HER2 4B5","2,1",6.5,yes\n').encode(),
    ],
    ids=["plain", "BOM", "Excel", "sep", "Unicode text", "quoted"],
)
def test_every_dialect_that_excel_writes(data: bytes, tmp_path: Path) -> None:
    assert cases(tmp_path, data) == {"a.png": FULL}


def test_only_the_image_column_is_required(tmp_path: Path) -> None:
    assert cases(tmp_path, "image,remark\na.png,nice\n") == {"a.png": CaseInfo()}


def test_all_bad_rows_are_listed(tmp_path: Path) -> None:
    text = HEADER + "a,,lung,,,,,\nb,,,,,many,-1,maybe\n,K1,,,,,,\nc,,,,,,,\nc,,breast,gastric biopsy,,,,\n"
    with pytest.raises(CasesFileError) as caught:
        cases(tmp_path, text)
    for part in (
        "7 bad entries",
        "line 2: 'lung' is neither",
        "line 3: control is 'maybe'",
        "line 3: ish_ratio is 'many'",
        "line 3: her2_copies is '-1'",
        "line 4: no image name",
        "line 6: site is both breast and gastric",
        "line 6: image 'c' occurs twice",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("case,stain\n1,2\n", "no column 'image'"),
        ("image,ish_raito\na,1\n", "did you mean 'ish_ratio'"),
        ("image,image\na,b\n", "occurs twice"),
        (b"image,case\na,K\xe4se\n", "not UTF-8"),
    ],
)
def test_unusable_cases_file(text: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(CasesFileError, match=message):
        cases(tmp_path, text)


def test_missing_cases_file(tmp_path: Path) -> None:
    with pytest.raises(CasesFileError, match="cannot be read"):
        read_cases(tmp_path / "none.csv")


def test_names_match_with_and_without_extension() -> None:
    known = {"a.png": CaseInfo("1"), "b": CaseInfo("2"), "Käse": CaseInfo("3"), "d": CaseInfo("4")}
    decomposed = unicodedata.normalize("NFD", "Käse.ome.tif")
    found = [case_of(known, name) for name in ("a.png", "b.svs", decomposed, "a.tif")]
    assert [info and info.case for info in found] == ["1", "2", "3", None]
    assert unmatched_cases(known, ["a.png", "b.svs", decomposed]) == ("d",)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=80), st.text(alphabet="image,;\t\n\"'x1.=sep\x00é", max_size=60).map(str.encode)
    )
)
def test_any_bytes_give_cases_or_a_cases_file_error(tmp_path: Path, data: bytes) -> None:
    try:
        found = cases(tmp_path, data)
    except CasesFileError:
        found = {}
    assert all(isinstance(info, CaseInfo) for info in found.values())


# --- additional columns


def write(folder: Path, text: str) -> Path:
    path = folder / "cases.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_first_existing_column_is_returned(tmp_path: Path) -> None:
    path = write(tmp_path, "Image;HER2 IHC;Label\na.svs;2+;x\nb;;y\nc.svs;0\n")
    assert read_case_column(path, ("her2-ihc", "label")) == ("her2-ihc", {"a.svs": "2+", "c.svs": "0"})
    assert read_case_column(path, ("none", "LABEL")) == ("LABEL", {"a.svs": "x", "b": "y"})
    assert read_case_column(path, ("none",)) == (None, {})


def test_values_are_found_with_and_without_extension(tmp_path: Path) -> None:
    _, values = read_case_column(write(tmp_path, "slide,label\na.svs,1\nb,2\n"), ("label",))
    assert [value_of_image(values, name) for name in ("a.svs", "b.ome.tif", "b", "c.svs")] == [
        "1",
        "2",
        "2",
        None,
    ]


@pytest.mark.parametrize("text", ["", "label\n1\n"])
def test_without_image_column_there_are_no_values(text: str, tmp_path: Path) -> None:
    assert read_case_column(write(tmp_path, text), ("label",)) == (None, {})


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CasesFileError):
        read_case_column(tmp_path / "cases.csv", ("label",))


def test_metadata_columns_are_matched_alike() -> None:
    metadata = {"HER2 IHC": " 2+ ", "Label": "", "x": "y"}
    assert metadata_column(metadata, ("label", "her2_ihc")) == "2+"
    assert metadata_column(metadata, ("label",)) is None
