"""``review agreement``: the page and tables of a study from the command line."""

from __future__ import annotations

import csv
import re

import pytest

from tests.unit.cli.commands import call

READINGS = "case,reader,round,value\n" + "".join(
    f"c{case},{reader},{number},{(case * 7 + number * len(reader)) % 13}\n"
    for case in range(24)
    for reader in ("A", "Bo", "Cid")
    for number in (1, 2)
)


def test_agreement_writes_its_page_beside_the_readings(tmp_path):
    path = tmp_path / "readings.csv"
    path.write_text(READINGS, encoding="utf-8")
    truth = tmp_path / "truth.csv"
    truth.write_text("case,share\n" + "".join(f"c{n},{n % 12}\n" for n in range(24)), encoding="utf-8")
    code, out, err = call("review", "agreement", path, "--machine", truth, "--cuts", "1,5,10")
    assert code == 0, err
    assert "(3 readers, 24 slides, 2 rounds)" in out
    folder = tmp_path / "agreement"
    assert sorted(one.name for one in folder.iterdir()) == [
        "agreement.csv",
        "agreement.html",
        "confusion.csv",
    ]
    with (folder / "agreement.csv").open(encoding="utf-8-sig") as file:
        names = {row["figure"] for row in csv.DictReader(file)}
    assert {"Fleiss' kappa", "ICC(3,1)", "Krippendorff's alpha (interval)", "kappa (quadratic)"} <= names


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--cuts", "5,1"], "--cuts '5,1' are no rising numbers"),
        (["--cuts", "a"], "--cuts 'a' are no rising numbers"),
        (["--classes", "a"], "--classes 'a' is no list"),
        (["--machine", "nobody"], "'nobody' is neither a file nor a reader"),
    ],
)
def test_wrong_flags_are_explained(tmp_path, flags, words):
    path = tmp_path / "readings.csv"
    path.write_text(READINGS, encoding="utf-8")
    code, _, err = call("review", "agreement", path, *flags)
    assert code == 1
    assert words in err
    assert not (tmp_path / "agreement").exists()


@pytest.mark.parametrize(("flag", "value"), [("--cuts", "10"), ("--classes", "0,1")])
def test_the_way_out_of_a_wrong_scale_works(tmp_path, flag, value):
    path = tmp_path / "readings.csv"
    text = READINGS if flag == "--cuts" else "case,reader,value\nc1,A,0\nc1,B,1+\nc2,A,3+\nc2,B,2+\n"
    path.write_text(text, encoding="utf-8")
    code, _, err = call("review", "agreement", path, flag, f"{value},")
    assert code == 1
    typed = re.search(r"Write e\.g\. (\S+)\.$", err.strip())
    assert typed is not None
    code, _, err = call("review", "agreement", path, flag, typed.group(1))
    assert code == 0, err


def test_help_names_the_columns():
    code, out, _ = call("review", "agreement", "--help")
    assert code == 0
    assert "case,reader,value" in out
