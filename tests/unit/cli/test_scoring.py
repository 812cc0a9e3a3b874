"""Table and closing line of a run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qupath_her2.cells.scale import ScaleDoubt
from qupath_her2.cli.scoring import closing_line, show_table
from qupath_her2.records import ImageResult, Prediction, Score, SlideScore

SHARES = {"Tumor: Negative": 0.125, "Tumor: 1+": 0.25, "Tumor: 2+": 0.5, "Tumor: 3+": 0.125}


def scored(name: str = "a.svs", n_cells: int = 1_234_567, state: str = "scored") -> ImageResult:
    score = SlideScore("scored", "2+", "", "", shares=SHARES, h_score=162.4, n_cells=n_cells)
    return ImageResult(image=name, name=name, state=state, score=score, n_cells=n_cells)  # type: ignore[arg-type]


def refused(code: str) -> ImageResult:
    score = SlideScore("not assessable", None, "", "", refusal_code=code)
    return ImageResult(image=code, name=code, state="not assessable", score=score)


def test_the_closing_line_counts_states_reasons_and_cells() -> None:
    results = [
        scored(n_cells=1000),
        scored(n_cells=200),
        refused("blurred"),
        refused("too_few_cells"),
        refused("blurred"),
    ]
    results.append(ImageResult(image="x", name="x", state="failed", error="gone"))
    assert (
        closing_line(results)
        == "2 scored, 3 not assessable, 1 failed: 2 blurred, 1 too few cells; 1,200 cells"
    )
    done = [scored(state="up to date")] * 2
    assert closing_line(done) == "2/2 up to date; nothing to do (to redo: run or predict --force)"


def test_predictions_count_patches() -> None:
    said = Prediction("best", "her2-3", "high", {"low": 0.25, "high": 0.75}, n_patches=1, rule="mean")
    result = ImageResult(
        "a", "a.svs", "predicted", score=SlideScore("predicted", None, "", "", prediction=said)
    )
    assert closing_line([result]) == "1 predicted; 1 patch"


def test_the_table_keeps_names_and_figures_whole_in_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    name = "TCGA-A1-A0SB-01Z-00-DX1.B34C267B-CAAD-4F7C-9E4B-6B1E2B0F5E5F.svs"
    show_table([scored(name), ImageResult("x", "x.svs", "failed", error="gone")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Research use only"
    assert lines[lines.index(name) + 1].split() == ["2+", "12.5", "25.0", "50.0", "12.5", "162", "1,234,567"]
    assert lines[lines.index("x.svs") + 1].split() == ["failed"]
    assert max(map(len, lines)) <= 80


def test_a_doubtful_pixel_size_stands_below_the_row_of_the_score(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    plain, doubted = scored("a.svs"), scored("b.svs")
    assert doubted.score is not None
    sentence = ScaleDoubt(4.5, 0.46, 0.7).sentence()
    show_table([plain, replace(doubted, score=replace(doubted.score, warnings=("soft", sentence)))])
    out = capsys.readouterr().out
    assert out.index("b.svs") < out.index(sentence)
    assert out.count("Nuclei would be") == 1
    assert "soft" not in out


def with_regions(status: str, *probabilities: float | None) -> ImageResult:
    regions = {
        str(number): Score(status, None, "", "", n_cells=100 * (number + 1), tumour_probability=probability)  # type: ignore[arg-type]
        for number, probability in enumerate(probabilities)
    }
    score = SlideScore(status, "2+" if status == "scored" else None, "", "", n_cells=300, regions=regions)  # type: ignore[arg-type]
    return ImageResult("a", "a.svs", status, score=score, n_cells=300)  # type: ignore[arg-type]


def test_the_line_above_the_table_says_that_nobody_confirmed_the_regions(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_table([with_regions("scored", 0.9, 0.8), scored()])
    first = capsys.readouterr().out.splitlines()[0]
    sentence = "In 1 of 2 images, the tumour regions were proposed by the program and nobody confirmed them."
    assert first == f"{sentence} Research use only"


def test_proposals_have_a_table_and_a_closing_line_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    results = [with_regions("proposed", 0.9, 0.6), refused("no_tumour_found")]
    show_table(results)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["Image", "Tumour", "regions", "Cells", "Probability"]
    # Of 300 cells, 100 have 0.9 and 200 have 0.6.
    assert lines[2].split() == ["a.svs", "2", "300", "0.70"]
    assert closing_line(results) == (
        "1 proposed, 1 not assessable: 1 no tumour found; 2 regions of class Tumor?, for a person to accept or delete"
    )
