"""The table of a comparison: cells trained once, the same folds for all, mean and SD, the paper beside."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")
pytest.importorskip("h5py", reason="feature files are NOT TESTED: pip install 'qupath-her2[learn]'")

from qupath_her2.errors import TrainingError
from qupath_her2.learning.train.training_state import STATE_FILE
from qupath_her2.patches.folds import fold_splits
from qupath_her2.patches.manifest import PatchManifest, select
from qupath_her2.recipes.compare_resolution import REPORTED
from qupath_her2.scoring.agreement.study import Agreement
from qupath_her2.training.bags.compare import (
    Approach,
    compare,
    comparison_table,
    on_folds_of,
    write_comparison,
)
from qupath_her2.training.evaluation import agreement_of_images
from tests.helpers.drawn_bags import draw_cohort


@pytest.fixture
def slides(tmp_path: Path) -> PatchManifest:
    return draw_cohort(tmp_path / "features", cases=24, n_patches=5)[0]


def guess(seen: list[str], name: str = "svm, low") -> Approach:
    """An approach that always says positive, with the truth for every third slide."""

    def run(slides: PatchManifest, out: Path) -> Mapping[str, Agreement]:
        seen.append(out.name)
        rows = np.flatnonzero(slides.split == 2)
        answer = np.where(rows % 3 == 0, slides.label[rows], 1)
        names = [slides.class_names[code] for code in answer.tolist()]
        return {
            name: agreement_of_images(slides, rows.tolist(), slides.class_names, names, np.eye(2)[answer])
        }

    return Approach("guess", "by chance", {"a": 1}, run)


def test_cells_are_trained_once_and_rows_summarised(slides: PatchManifest, tmp_path: Path) -> None:
    splits = fold_splits(slides, 4)
    seen: list[str] = []
    told: list[tuple[str, int, bool]] = []
    rows = compare([guess(seen)], splits, tmp_path, begin=lambda *words: told.append(words))
    assert seen == ["fold-01", "fold-02", "fold-03", "fold-04"]
    again = compare([guess(seen)], splits, tmp_path, begin=lambda *words: told.append(words))
    assert len(seen) == 4
    assert again == rows
    assert [there for _, _, there in told] == [False] * 4 + [True] * 4
    (row,) = rows
    assert (row.name, row.n_slides) == ("svm, low", 24)
    mean, sd = row.mean_sd("accuracy")
    assert mean == pytest.approx(np.mean(row.folds["accuracy"]))
    assert sd == pytest.approx(np.std(row.folds["accuracy"], ddof=1))
    compare([replace(guess(seen), name="timm:a/b")], splits, tmp_path / "names")
    assert [path.name for path in (tmp_path / "names").iterdir()] == ["timm-a-b"]
    del seen[4:]
    # Other settings, or another split, are other cells.
    compare([replace(guess(seen), settings={"a": 2})], splits, tmp_path)
    compare([guess(seen)], fold_splits(slides, 4, seed=1), tmp_path)
    assert len(seen) == 12


def test_a_killed_comparison_ends_at_the_same_table(slides: PatchManifest, tmp_path: Path) -> None:
    splits = fold_splits(slides, 3)
    whole = compare([guess([])], splits, tmp_path / "whole")

    def kill(_: str, number: int, is_there: bool) -> None:
        if number == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare([guess([])], splits, tmp_path / "killed", begin=kill)
    seen: list[str] = []
    assert compare([guess(seen)], splits, tmp_path / "killed") == whole
    assert seen == ["fold-03"]


def test_a_stopped_cell_keeps_its_state_until_it_is_finished_or_its_settings_change(
    slides: PatchManifest, tmp_path: Path
) -> None:
    splits = fold_splits(slides, 3)
    resumed: list[str] = []
    state = tmp_path / "guess" / "fold-01" / STATE_FILE

    def stop(one: PatchManifest, out: Path) -> Mapping[str, Agreement]:
        resumed.extend([out.name] if (out / STATE_FILE).exists() else [])
        (out / STATE_FILE).write_bytes(b"half")
        raise KeyboardInterrupt

    def train(settings: int, run: Callable[[PatchManifest, Path], Mapping[str, Agreement]] = stop) -> None:
        with suppress(KeyboardInterrupt):
            compare([replace(guess([]), settings=settings, run=run)], splits, tmp_path)

    train(1)
    train(1)
    assert resumed == ["fold-01"]
    train(2)
    assert resumed == ["fold-01"]
    assert state.exists()
    train(2, guess([]).run)
    assert not state.exists()


def test_a_restart_trains_finished_cells_again(slides: PatchManifest, tmp_path: Path) -> None:
    splits = fold_splits(slides, 3)
    seen: list[str] = []
    rows = compare([guess(seen)], splits, tmp_path)
    assert compare([guess(seen)], splits, tmp_path, restart=True) == rows
    assert len(seen) == 6


def test_a_patient_in_two_folds_is_caught(slides: PatchManifest, tmp_path: Path) -> None:
    images = tuple(replace(image, case=f"P{number // 2}") for number, image in enumerate(slides.images))
    leaking = [replace(one, images=images) for one in fold_splits(slides, 3)]
    with pytest.raises(TrainingError, match=r"Fold 1 has \d+ cases in more than one part"):
        compare([guess([])], leaking, tmp_path)


def test_patches_follow_the_folds_of_their_case(slides: PatchManifest) -> None:
    (fold, *_) = fold_splits(slides, 3)
    # Patches of the slides but the first, in another order, and of a case that no slide has.
    patches = select(slides, np.repeat(np.arange(23, 0, -1), 2))
    stranger = replace(slides.images[5], case="stranger")
    patches = replace(patches, images=(*slides.images[:5], stranger, *slides.images[6:]))
    found = on_folds_of(fold, patches)
    expected = np.where(patches.image == 5, -1, fold.split[patches.image])
    np.testing.assert_array_equal(found.split, expected)
    assert found.settings["split"]["kind"] == "by case"


def test_the_table_has_the_paper_beside_and_no_number_where_there_is_none(
    slides: PatchManifest, tmp_path: Path
) -> None:
    rows = compare([guess([]), replace(guess([], "other"), name="other")], fold_splits(slides, 3), tmp_path)
    table = comparison_table(rows, "her2-3", REPORTED["her2-3"])
    assert table.title == "her2-3, 3 folds by case"
    assert table.header[:6] == ("network", "approach", "slides", "AUC", "F1", "accuracy")
    assert table.rows[0][-1] == "90.84 / 78.17 / 79.11"
    assert table.rows[1][-1] == "–"
    write_comparison(tmp_path, table, rows)
    assert "svm, low" in (tmp_path / "comparison.csv").read_text(encoding="utf-8-sig")
    assert math.isnan(replace(rows[0], folds={}).mean_sd("accuracy")[0])


def test_the_papers_figures_are_percentages_of_known_rows() -> None:
    # Table 4 and 6, S1 to S3: 16 rows a task, three more of majority votes in the 4-way task.
    assert {task: len(rows) for task, rows in REPORTED.items()} == {
        "her2-binary": 16,
        "her2-3": 16,
        "her2-4": 19,
    }
    assert all(10 < value < 100 for rows in REPORTED.values() for row in rows.values() for value in row)
    # Printed in the text as well.
    assert REPORTED["her2-3"]["lowres-convnext_small"] == (91.79, 83.52, 83.56)
    assert REPORTED["her2-binary"]["mlp, high"] == (96.67, 88.52, 91.78)
