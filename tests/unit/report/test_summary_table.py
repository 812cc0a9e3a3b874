from __future__ import annotations

import csv
import io

import pytest

from qupath_her2.records import CELL_CLASSES, CaseInfo, Score, SlideScore
from qupath_her2.report.summary_table import (
    SUMMARY_COLUMNS,
    Staining,
    SummaryRow,
    lists_failures,
    percent,
    proposed_note,
    recorded_staining,
    short_class,
    shown_score,
    summary_csv,
)


def read(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def scored() -> SummaryRow:
    score = SlideScore(
        status="scored",
        score="1+",
        reason="12.0 % of 500 tumour cells",
        guideline="ASCO/CAP breast 2018/2023",
        shares=dict(zip(CELL_CLASSES, (0.8, 0.12, 0.05, 0.03), strict=True)),
        complete_share=0.08,
        h_score=31.0,
        n_cells=500,
        cells_to_next_score=10,
        tags=("HER2-low",),
        warnings=("pale", "few"),
    )
    return SummaryRow("1_a", "Größe, 7.png", "scored", CaseInfo(case="=1+1"), score, run="20260101-abc")


def test_scored_row_reads_back_as_written() -> None:
    (row,) = read(summary_csv([scored()]))
    assert tuple(row) == SUMMARY_COLUMNS
    assert row["image"] == "Größe, 7.png"
    assert row["score"] == "1+"
    assert [row[f"{name} %"] for name in ("Negative", "1+", "2+", "3+")] == ["80.00", "12.00", "5.00", "3.00"]
    assert (row["H-score"], row["cells"], row["cells to next score"]) == ("31.0", "500", "10")
    assert row["warnings"] == "pale | few"
    assert row["run"] == "20260101-abc"


def test_file_opens_right_in_a_spreadsheet() -> None:
    data = summary_csv([scored()])
    assert data.startswith(b"\xef\xbb\xbf")
    assert data.count(b"\r\n") == 2
    assert read(data)[0]["case"] == "'=1+1"


def test_failed_image_has_its_message_and_no_invented_number() -> None:
    (row,) = read(summary_csv([SummaryRow("2_b", "b.tif", "failed", error="cannot be\nread")]))
    assert row["status"] == "failed"
    assert row["reason"] == "cannot be read"
    assert row["score"] == row["H-score"] == row["3+ %"] == row["run"] == ""


def test_short_class() -> None:
    assert [short_class(name) for name in CELL_CLASSES] == ["Negative", "1+", "2+", "3+"]


def test_failures_are_found_in_a_written_table() -> None:
    failed = SummaryRow("2_b", "b.tif", "failed", error="cannot be\nread")
    # A file name says nothing of its state.
    named = SummaryRow("3_c", "failed", "scored")
    assert not lists_failures(summary_csv([scored(), named]))
    assert lists_failures(summary_csv([scored(), failed]))
    assert not lists_failures(b"\xff,status\r\n")


def test_percentages_keep_the_cut_offs_readable() -> None:
    assert [percent(share) for share in (None, 0.0, 0.0996, 1.0)] == ["", "0.00", "9.96", "100.00"]


def test_figures_of_an_image_that_is_not_assessable_are_not_shown() -> None:
    few = SlideScore(
        "not assessable", None, "too few cells", "g", shares=dict.fromkeys(CELL_CLASSES, 0.25), h_score=150.0,
        complete_share=0.5, n_cells=40,
    )  # fmt: skip
    (line,) = read(summary_csv([SummaryRow("1", "a", "not assessable", score=few)]))
    assert set(line.values()) - {""} == {
        "a",
        "breast",
        "resection",
        "not assessable",
        "40",
        "too few cells",
        "g",
    }
    # The stored score keeps them: other limits may make it a score.
    assert few.shares != shown_score(few).shares == {}


@pytest.mark.parametrize(
    ("scores", "sentence"),
    [
        ([], ""),
        ([None, "drawn"], ""),
        (["found", None], "The tumour regions were proposed by the program and nobody confirmed them."),
        (
            ["found", "drawn", "found"],
            "In 2 of 3 images, the tumour regions were proposed by the program and nobody confirmed them.",
        ),
        # Nothing was scored in them.
        (["proposed"], ""),
    ],
)
def test_the_first_sentence_counts_images_that_nobody_confirmed(
    scores: list[str | None], sentence: str
) -> None:
    def one(kind: str | None) -> SlideScore | None:
        if kind is None:
            return None
        status = "proposed" if kind == "proposed" else "scored"
        probability = None if kind == "drawn" else 0.9
        region = Score(status, None, "", "", tumour_probability=probability)  # type: ignore[arg-type]
        return SlideScore(status, None, "", "", regions={"a": region})  # type: ignore[arg-type]

    assert proposed_note(map(one, scores)) == sentence


def test_runs_of_earlier_versions_say_less_of_their_staining() -> None:
    used = {"stains": {"background_rgb": [240, 240, 234]}, "staining": {"membrane_dab_od": 0.4}}
    assert recorded_staining(used) == Staining(238.0, None, 0.4)
    assert recorded_staining({"stains": None}) == Staining() == recorded_staining({})
