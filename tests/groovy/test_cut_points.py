"""Live cut-points: classes, scores and sentences in QuPath equal Python's for the same cut-points."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from qupath_her2.cells.membrane.grading import GradingSettings, grade
from qupath_her2.cells.membrane.measurements import stored_estimates
from qupath_her2.project.exchange.runs import read_run
from qupath_her2.records import NOT_MEASURED, CaseInfo
from qupath_her2.scoring.guidelines import GUIDELINES
from qupath_her2.scoring.intervals import false_call_limit
from qupath_her2.scoring.ish import ish_for
from qupath_her2.scoring.reason import explain
from qupath_her2.scoring.rules import cell_classes, evaluate
from qupath_her2.scoring.score_cells import ScoringSettings, score_cells
from tests.groovy.conftest import SCRIPTS
from tests.groovy.fields import HERE, closing, make_fields, run_of
from tests.helpers.qupath import QuPath

pytestmark = [pytest.mark.qupath, pytest.mark.slow]
N_HISTOGRAMS = 400
#: Cases of each dual-probe group, of single probes, of a ratio alone, and without ISH.
ISH_CASES = [
    CaseInfo("K", her2_cep17_ratio=ratio, her2_copies=copies)
    for ratio, copies in (
        *((None, None), (2.0, 4.0), (2.0, 3.9), (1.9, 6.0), (1.9, 4.0), (1.9, 3.9), (2.5, None)),
        *((None, 6.0), (None, 4.0), (None, 3.9)),
    )
]


def words(*values: object) -> list[str]:
    return [word for value in values for word in ("--args", str(value))]


def histograms(rng: np.random.Generator) -> list[np.ndarray]:
    """Histograms near the cut-offs of all guidelines: few cells of most pairs, many of one."""
    found = []
    for _ in range(N_HISTOGRAMS):
        counts = rng.integers(0, rng.choice([2, 12, 100, 20_000]), (4, 4)) * (rng.random((4, 4)) < 0.4)
        counts[0, 0] = rng.integers(90, rng.choice([120, 1200, 400_000]))
        # A cell has no pattern without an intensity, and the other way round.
        counts[0, 1:] = counts[1:, 0] = 0
        found.append(counts)
    return found


def test_tables_scores_and_sentences_are_pythons(qupath: QuPath, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    drawn = histograms(rng)
    clusters = [tuple(sorted(rng.integers(0, 9, 3).tolist())) for _ in drawn]
    asked, told = tmp_path / "asked.json", tmp_path / "told.json"
    ish = [ISH_CASES[number % len(ISH_CASES)] for number in range(len(drawn))]
    content = [
        {"counts": c.ravel().tolist(), "clusters": k, "case": asdict(case)}
        for c, k, case in zip(drawn, clusters, ish, strict=True)
    ]
    asked.write_text(json.dumps(content), encoding="utf-8")
    done = qupath.run(
        HERE / "score_words.groovy", *words(asked, SCRIPTS / "lib", told), private=tmp_path / "private"
    )
    assert f"WORDS {N_HISTOGRAMS}" in done.stdout, done.stdout + done.stderr
    found = json.loads(told.read_bytes())
    assert set(found) == set(GUIDELINES)
    pairs = np.indices((4, 4)).reshape(2, 16).astype(np.uint8)
    for key, table in GUIDELINES.items():
        assert found[key]["classes"] == cell_classes(pairs[0], pairs[1], table).tolist()
        for counts, sizes, case, told_of in zip(drawn, clusters, ish, found[key]["answers"], strict=True):
            n = int(counts.sum())
            if n < 100:
                assert told_of["score"] is None
                continue
            of_clusters = sizes if table.by_cluster else None
            verdict = evaluate(counts, table, false_calls=false_call_limit(n, 0.005), clusters=of_clusters)
            assert told_of["score"] == verdict.score, (key, counts)
            read = ish_for(case, verdict.score)
            assert told_of["sentence"] == explain(verdict, counts, table, clusters=of_clusters, ish=read)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([40, 120, 200], [40, 120, 200]),
        ([0, 120, 254], [20, 120, 234]),
        # Pushed apart to the right, and back from the end.
        ([50, 52, 200], [50, 96, 200]),
        ([250, 251, 252], [142, 188, 234]),
    ],
)
def test_names_of_cut_points_do_not_overlap(
    qupath: QuPath, tmp_path: Path, lines: list[float], expected: list[float]
) -> None:
    given = (",".join(map(str, lines)), SCRIPTS / "lib")
    done = qupath.run(HERE / "histogram_names.groovy", *words(*given), private=tmp_path / "private")
    assert f"PLACES {[float(x) for x in expected]}" in done.stdout, done.stdout + done.stderr


def draw_cuts(rng: np.random.Generator) -> dict[str, float]:
    ods = np.sort(rng.uniform(0.005, 0.9, 3))
    shares = np.sort(rng.uniform(0, 1, 3))
    names = ("faint_od", "moderate_od", "intense_od", "min_completeness", "lateral_from", "complete_from")
    return dict(zip(names, [*ods.tolist(), *shares.tolist()], strict=True))


@pytest.mark.skipif(sys.platform == "win32", reason="NOT TESTED: the Python is started by a shell script")
@pytest.mark.parametrize(
    ("score", "options"),
    [("2+", ()), ("1+", ("guideline=gastric-biopsy", "site=gastric", "specimen=biopsy"))],
)
def test_live_classes_and_scores_are_those_of_python(
    qupath: QuPath, tmp_path: Path, score: str, options: tuple[str, ...]
) -> None:
    fields = make_fields(qupath, tmp_path / "a study", tmp_path / "private", (score,))
    closing(fields.on_image("score_image.groovy", "-s", *(x for o in options for x in ("--args", o))))
    run = run_of(fields)
    record, table, stored = read_run(run)
    assert table is not None
    rng = np.random.default_rng(7)
    # Cut-points on the very value of a cell, too: the rule there must be the same.
    exact = {
        "faint_od": 0.01,
        "moderate_od": float(table.column("HER2: Membrane own DAB OD").max()),
        "intense_od": 2.0,
        "min_completeness": 0.0,
        "lateral_from": 0.1,
        # In a field of faint cells the median may lie below the share of lateral ones.
        "complete_from": max(0.1, float(np.median(table.column("HER2: Membrane completeness")))),
    }
    cuts = [None, exact, *(draw_cuts(rng) for _ in range(30))]
    asked, told = tmp_path / "asked.json", tmp_path / "told.json"
    asked.write_text(json.dumps(cuts), encoding="utf-8")
    on = ("-p", str(fields.project), "-i", "case01")
    said = fields.run(HERE / "live_scores.groovy", *on, *words(run, asked, SCRIPTS / "lib", told))
    assert f"LIVE {len(cuts)}" in said, said
    found: dict[str, Any] = json.loads(told.read_bytes())
    assert (found["refusal"], found["corrected"], found["changed"]) == (None, 0, False)
    assert len({one["uuid"] for one in found["near"]}) == len(found["near"]) >= 10
    assert all("from" in one["why"] for one in found["near"])

    uuids = [str(UUID(bytes=one.tobytes())) for one in table.uuid]
    scoring = ScoringSettings(**record.settings["scoring"])
    case = CaseInfo(**{**record.image["case"], "guideline_origin": ""})
    for given, answer in zip(cuts, found["answers"], strict=True):
        assert answer["problem"] is None
        settings = GradingSettings(**(given or record.settings["cells"]["grading"]))
        intensity, pattern = grade(stored_estimates(table), settings)
        classes, expected = score_cells(
            intensity,
            pattern,
            table.region,
            [one["uuid"] for one in record.regions],
            case=case,
            settings=scoring,
            centroid_xy_um=table.centroid_xy * record.image["pixel_size_um"],
        )
        assert {uuid: code % 256 for uuid, code in answer["classes"].items()} == dict(
            zip(uuids, classes.tolist(), strict=True)
        )
        assert answer["score"] == expected.score
        assert answer["sentence"] == expected.reason
        assert answer["hScore"] == pytest.approx(expected.h_score, abs=1e-9)
    assert found["answers"][0]["score"] == stored.score
    assert NOT_MEASURED not in table.cell_class
