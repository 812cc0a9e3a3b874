"""Case data from ``cases.csv`` and from image metadata."""

from __future__ import annotations

import random
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
from tests.fuzz import cases as fuzzed_cases
from tests.fuzz.report import run_check

HEADER = "image,case,site,specimen,stain,ish_ratio,her2_copies,control\n"


def cases(tmp_path: Path, text: str | bytes) -> dict[str, CaseInfo]:
    path = tmp_path / "cases.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_cases(path)


FULL = CaseInfo(
    "K7", "gastric", "biopsy", "HER2 4B5", 2.1, 6.5, is_control=True, guideline_origin="cases.csv"
)


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
    ("row", "message"),
    [
        ("a.png,K1,,,,2,1,,no", r"9 cells under 8 columns, the last 'no'; put decimal commas in quotes"),
        ("a.png,K1,,,,-1.2,,", r"line 2: ish_ratio is '-1\.2', not a number from 0 to 100; leave it empty"),
        ("a.png,K1,,,,1e308,,", "ish_ratio is '1e308', not a number"),
        ("a.png,K1,,,,nan,,", "ish_ratio is 'nan'"),
        ("a.png,K1,,,,,inf,", "her2_copies is 'inf'"),
        ("a.png,K1,,,,1_0,,", "ish_ratio is '1_0'"),
        ("a.png,K1,,,,amplified,,", "ish_ratio is 'amplified'"),
        ("a.png,K1,,,,>2.2,,", r"ish_ratio is '>2\.2'"),
        ("a.png,K1,,,,02. Jan,,", r"ish_ratio is '02\. Jan'"),
        ("a.png,#N/A,,,,,,", "case is '#N/A', an error of the spreadsheet"),
        ("a.png,2.02312E+14,,,,,,", r"case is '2\.02312E\+14', a rounded number; format the column as text"),
        ('a.png,"K1\nb.png,K2",,,,,,', r"case is 'K1\\nb\.png,K2', with a line break"),
        ("a.png,K\x071,,,,,,", r"case is 'K\\x071', with a line break or control character"),
        ('a.png,"K1,,,,,,\nb.png,K2,,,,,,', "line 3 is not CSV: unexpected end of data. Check its quotes"),
        ('a.png,"K"1,,,,,,', "line 2 is not CSV.*Check its quotes"),
        (f"a.png,{'K' * 200_000},,,,,,", "line 2 is not CSV: field larger than field limit"),
        (f"a.png,K1,{'x' * 90_000},,,,,", r"line 2: 'x+\.\.\.x+' is neither breast"),
    ],
)
def test_a_bad_row_is_refused_with_its_line_and_value(row: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CasesFileError, match=message) as caught:
        cases(tmp_path, HEADER + row)
    assert "cases.csv" in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("row", "info"),
    [
        ("a.png,=cmd|' /C calc'!A0,,,,,,", CaseInfo("=cmd|' /C calc'!A0")),
        ("a.png,K1,,,,0,,", CaseInfo("K1", her2_cep17_ratio=0.0)),
        ('a.png,K1,,,,"2,15","6,",', CaseInfo("K1", her2_cep17_ratio=2.15, her2_copies=6.0)),
        ("a.png,K1,,,,.5,1.5E1,", CaseInfo("K1", her2_cep17_ratio=0.5, her2_copies=15.0)),
        ('a.png,"K ""1"", left",,,,,,,,,', CaseInfo('K "1", left')),
        ("a.png,007", CaseInfo("007")),
    ],
)
def test_an_odd_row_is_read_as_it_is_meant(row: str, info: CaseInfo, tmp_path: Path) -> None:
    assert cases(tmp_path, HEADER + row + "\n,,,\n\n") == {"a.png": info}


def test_a_column_of_notes_between_others_is_ignored(tmp_path: Path) -> None:
    text = "Nr;image;notes (free, text);case\n1;a.png;no, yes;K1\n"
    assert cases(tmp_path, text) == {"a.png": CaseInfo("K1")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('sep="\nimage,case\n', "as its separator"),
        ((HEADER + "a.png,K1\n").encode("utf-16-le"), "UTF-16 without a byte order mark"),
        (b"image,case\na.png,K\0\n", "is not text"),
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


def test_drawn_files_are_read_as_drawn_and_faults_are_refused(tmp_path: Path) -> None:
    wrong = []
    for case in range(300):
        folder = tmp_path / str(case)
        folder.mkdir()
        kind = fuzzed_cases.draw(random.Random(case), folder)
        outcome = run_check(fuzzed_cases.check, folder)
        if outcome.losses or outcome.verdict == "traceback":
            wrong.append((case, kind, outcome.losses, outcome.detail))
    assert wrong == []
