"""A person's corrections in QuPath count: her classes, her deletions; QuPath's own counts equal ours."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from qupath_her2.project.exchange.run_record import RunRecord
from qupath_her2.project.exchange.runs import read_run
from qupath_her2.records import CELL_CLASSES, CellTable, SlideScore
from qupath_her2.report.stored import stored_regions
from tests.groovy.fields import HERE, REAL_DATA, Fields, closing, copy_of, make_cores, make_fields, run_of
from tests.helpers.qupath import QuPath

pytestmark = [
    pytest.mark.qupath,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="NOT TESTED: the Python is started by a shell script"),
]

CHANGED, DELETED = 10, 3
#: Of the round of numbers: cells of each image that are reclassified, deleted, and given another outline.
ROUND = (10, 6, 4)


@pytest.fixture(scope="module")
def _made_once(qupath: QuPath, tmp_path_factory: pytest.TempPathFactory) -> Fields:
    folder = tmp_path_factory.mktemp("fields")
    return make_fields(qupath, folder / "a study", folder / "private", ("2+",))


@pytest.fixture
def fields(_made_once: Fields, tmp_path: Path) -> Fields:
    return copy_of(_made_once, tmp_path)


def correct(fields: Fields) -> None:
    words = ("--args", str(CHANGED), "--args", str(DELETED))
    said = fields.run(HERE / "correct_cells.groovy", "-p", str(fields.project), "-i", "case01", "-s", *words)
    assert f"CORRECTED {CHANGED} {DELETED} 0" in said, said


def counted(fields: Fields, *images: str) -> dict[str, dict[str, Any]]:
    """Return QuPath's counts and ours of each annotation, by image and UUID; of all images if none is named."""
    named = [word for image in images for word in ("-i", image)]
    said = fields.run(HERE / "counts.groovy", "-p", str(fields.project), *named)
    lines = [line.split(" ", 2)[1:] for line in said.splitlines() if line.startswith("COUNTED ")]
    assert lines, said
    return {image: {region["id"]: region for region in json.loads(text)} for image, text in lines}


def check_counts(fields: Fields) -> tuple[int, float | None]:
    """Compare QuPath's counts and H-score of each scored region with ours; return cells and H-score of the image."""
    score = check_image(run_of(fields), counted(fields, "case01")["case01"], fields.qupath)
    return score.n_cells, score.h_score


def check_image(run: Path, shown: dict[str, Any], qupath: QuPath) -> SlideScore:
    """Compare QuPath's counts and H-score of each region with those of a run; return its score."""
    record, table, score = read_run(run)
    assert table is not None
    assert len(score.regions) == len(record.regions)
    assert len(table) >= score.n_cells
    by_nucleus = counts_by_nucleus(run, record, table) if is_by_nucleus(qupath) else {}
    for uuid, ours in score.regions.items():
        theirs = shown[uuid]["qupath"]
        wanted = by_nucleus.get(uuid) or [
            round(ours.shares.get(name, 0) * ours.n_cells) for name in CELL_CLASSES
        ]
        assert [int(theirs.get(f"Num {name}") or 0) for name in CELL_CLASSES] == wanted, (uuid, theirs)
        n = sum(wanted)
        # QuPath has a column of H-scores only where a cell of the image is 1+, 2+ or 3+.
        is_graded = any(f"Num {name}" in theirs for name in CELL_CLASSES[1:])
        assert ("Tumor: H-score" in theirs) == is_graded
        if n and uuid not in by_nucleus:
            assert n == ours.n_cells
            assert theirs.get("Tumor: H-score", 0) == pytest.approx(ours.h_score, abs=1e-9)
            assert shown[uuid]["ours"]["HER2: H-score"] == pytest.approx(ours.h_score, abs=1e-9)
        elif n:
            expected = sum(100 * code * k for code, k in enumerate(wanted)) / n
            assert theirs.get("Tumor: H-score", 0) == pytest.approx(expected, abs=1e-9)
    return score


def is_by_nucleus(qupath: QuPath) -> bool:
    """Whether QuPath counts a cell where the centroid of its nucleus lies, as 0.5 does; later ones take the outline."""
    return qupath.version.startswith("0.5")


def counts_by_nucleus(run: Path, record: RunRecord, table: CellTable) -> dict[str, list[int]]:
    """Count the cells of each class whose nucleus has its centroid in each region; the outline where there is none."""
    xy = np.full((len(table), 2), np.nan)
    for row in range(len(table)):
        for ring, offsets in ((table.nucleus_xy, table.nucleus_offsets), (table.cell_xy, table.cell_offsets)):
            points = ring[offsets[row] : offsets[row + 1]]
            if len(points) > 2:
                centre = shapely.Polygon(points).centroid
                xy[row] = centre.x, centre.y
                break
    found = {}
    for region in stored_regions(run, record):
        inside = shapely.contains_xy(region.geometry, xy[:, 0], xy[:, 1])
        classes = table.cell_class[inside]
        found[str(region.uuid)] = [int((classes == code).sum()) for code in range(len(CELL_CLASSES))]
    return found


def reason(fields: Fields) -> str:
    return str(read_run(run_of(fields))[2].reason)


def test_corrected_cells_count_as_they_were_left(fields: Fields) -> None:
    first = closing(fields.on_image("score_image.groovy", "-s"))
    assert first["state"] == "pushed"
    before = check_counts(fields)
    correct(fields)

    said = fields.on_image("score_image.groovy", "-s")
    sentence = f"{CHANGED} cells you changed and {DELETED} you deleted are counted as you left them."
    assert sentence in said, said
    assert sentence in reason(fields)
    after = check_counts(fields)
    assert after[0] == before[0] - DELETED
    assert after[1] != before[1]

    # Scored a third time nothing is lost: neither the edited objects nor their classes.
    again = closing(fields.on_image("score_image.groovy", "-s"))
    assert again["state"] == "pushed"
    assert check_counts(fields) == after
    # Another guideline on the same cells keeps them, too.
    said = fields.on_image("score_image.groovy", "-s", "--args", "guideline=gastric-resection")
    assert sentence in said, said
    assert check_counts(fields)[0] == after[0]


def test_counts_of_overlapping_regions_holes_and_edges_are_qupaths(fields: Fields) -> None:
    fields.on_image("score_image.groovy", "-s")
    alone, _ = check_counts(fields)
    said = fields.run(HERE / "add_regions.groovy", "-p", str(fields.project), "-i", "case01", "-s")
    assert "DRAWN 2" in said, said
    said = fields.on_image("score_image.groovy", "-s")
    assert "Tumor regions overlap" in said, said
    together, _ = check_counts(fields)
    assert together > alone
    correct(fields)
    fields.on_image("score_image.groovy", "-s")
    assert check_counts(fields)[0] == together - DELETED


def check_round(fields: Fields, regions: int) -> int:
    """Draw regions into all images, score, correct, score again; compare all counts; return the number of regions."""
    on_all = ("-p", str(fields.project), "-s")
    n_images = len(list(fields.folder.glob("*.ome.tif")))
    said = fields.run(HERE / "draw_regions.groovy", *on_all, "--args", str(regions))
    assert said.count(f"DRAWN {regions}") == n_images, said
    first = compare_all(fields)
    changes = ROUND
    if is_by_nucleus(fields.qupath):
        # Outlines moved off their nuclei and out of all regions are counted by 0.5 where the nuclei were left.
        changes = (*ROUND[:2], 0)
    words = [word for number in changes for word in ("--args", str(number))]
    said = fields.run(HERE / "correct_cells.groovy", *on_all, *words)
    assert said.count(f"CORRECTED {' '.join(map(str, changes))}") == n_images, said
    again = compare_all(fields)
    assert set(again) == set(first)
    for image, score in again.items():
        assert "you changed" in score.reason, image
        assert "you deleted" in score.reason, image
    return sum(len(score.regions) for score in again.values())


def compare_all(fields: Fields) -> dict[str, SlideScore]:
    """Score the whole project, and compare each region's counts and H-score with QuPath's; return the scores."""
    said = fields.run("score_project.groovy", "-p", str(fields.project))
    assert "failed=0" in said, said
    shown = counted(fields)
    found = {}
    for image, regions in sorted(shown.items()):
        found[image] = check_image(run_of(fields, int(image.removeprefix("case"))), regions, fields.qupath)
    return found


def test_counts_of_twenty_drawn_regions_are_qupaths(qupath: QuPath, tmp_path: Path) -> None:
    fields = make_fields(qupath, tmp_path / "a study", tmp_path / "private", ("2+", "3+"))
    assert check_round(fields, 10) >= 20


@pytest.mark.skipif(REAL_DATA not in os.environ, reason=f"NOT TESTED: {REAL_DATA} is not set")
def test_counts_of_real_regions_are_qupaths(qupath: QuPath, tmp_path: Path) -> None:
    cores = make_cores(qupath, tmp_path / "a study", tmp_path / "private")
    assert check_round(cores, 1) >= 4
