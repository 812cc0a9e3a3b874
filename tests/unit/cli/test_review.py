"""``review agreement``: the page and tables of a study from the command line."""

from __future__ import annotations

import csv
import re
import shutil
from dataclasses import replace

import pytest

from tests.helpers.reviewed_project import reviewed_image
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


def collected(project, *flags):
    return call("review", "collect", project, "--no-qupath", *flags)


@pytest.fixture
def image(tmp_path):
    return reviewed_image(tmp_path / "study" / "her2")


def test_collect_then_status(image):
    project = image.her2.parent
    code, out, err = call("review", "status", project)
    assert (code, "no rounds" in out) == (0, True), err
    code, out, err = collected(project)
    assert (code, out) == (0, "collect  nothing new (no differences)\n"), err
    image.correct({3: "Tumor: 2+", 4: None}, (9,))
    code, out, err = collected(project, "--reviewer", "Anna")
    assert code == 0, err
    assert "3 new; in all 1 cell deleted, 2 cells reclassified" in out
    image.correct({3: "Tumor: 1+", 4: None}, (9,))
    code, out, err = collected(project, "--reviewer", "Bo")
    assert (
        "conflict  1_case, cell at 65.00, 10.00: Anna reclassified Tumor: 2+; Bo reclassified Tumor: 1+"
        in err
    )
    code, out, err = call("review", "status", project)
    assert "001-anna" in out
    assert "2 rounds, 2 labelled cells, 1 conflicts" in out


def test_the_next_step_of_an_empty_project_works(image):
    _, out, _ = call("review", "status", image.her2.parent)
    typed = re.search(r"Next: qupath-her2 (review collect) (\S+)", out)
    assert typed is not None
    code, _, err = call(*typed.group(1).split(), typed.group(2), "--no-qupath")
    assert code == 0, err


def test_merge_takes_over_the_rounds_of_a_copy(image, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(image.her2.parent, copy)
    image.correct({3: "Tumor: 2+"})
    collected(image.her2.parent, "--reviewer", "Anna")
    theirs = replace(image, her2=copy / "her2")
    code, _, err = call("review", "merge", image.her2.parent, copy)
    assert code == 1
    assert "has no rounds" in err
    theirs.correct({3: "Tumor: 1+", 5: "Tumor: 3+"})
    collected(copy, "--reviewer", "Bo")
    code, out, err = call("review", "merge", image.her2.parent, copy)
    assert code == 0, err
    assert "merge  1 rounds taken over, 1 conflicts" in out
    # What Bo changed in another copy is not taken back by Anna's next round.
    image.correct({3: "Tumor: 2+", 6: "Tumor: 3+"})
    _, out, _ = collected(image.her2.parent, "--reviewer", "Anna")
    assert "1 new; in all 2 cells reclassified" in out


def test_an_image_must_be_scored_before_it_has_a_queue(project):
    code, _, err = call("review", "queue", project)
    assert code == 1
    typed = re.search(r"Score it first: qupath-her2 run (\S+)\.$", err.strip())
    assert typed is not None
    code, out, err = call("run", typed.group(1), "--no-qupath")
    assert code == 0, err
    code, out, err = call("review", "queue", project, "--cells", "20", "--blind")
    assert code == 0, err
    assert "(20 cells of 2 cases)" in out
    folder = project / "her2" / "review" / "queue"
    assert {path.name for path in folder.iterdir()} >= {"queue.csv", "blind.csv"}
    assert len(list(folder.glob("*.geojson"))) == 2


def test_help_names_the_columns():
    code, out, _ = call("review", "agreement", "--help")
    assert code == 0
    assert "case,reader,value" in out
