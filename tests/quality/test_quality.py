"""Lowest acceptable accuracy on a few fields with fixed seeds; `tests.quality.report` measures many more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.quality.fields import FIRST_SEED, HARMFUL, Task, Variant, other_good_tasks, plain_tasks
from tests.quality.measures import Row, run_task
from tests.quality.tables import pooled_table, summarise

pytestmark = pytest.mark.quality

SEED = FIRST_SEED + 90_000


def _tasks() -> list[Task]:
    fine = next(task for task in plain_tasks(SEED, 0.25, changed=False) if task.variants[0].name == "2+")
    harmful = tuple(Variant(f"refuse {name}", "2+", kind, amount) for name, kind, amount in HARMFUL)
    harmless = (Variant("JPEG 70", "2+", "jpeg", 70), Variant("blur 0.5 µm", "2+", "blur", 0.5))
    fine = Task(fine.settings, (*fine.variants, *harmless, *harmful))
    return [*plain_tasks(SEED, 0.5, changed=False), fine, *other_good_tasks(SEED, 0.5)]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """Seven fields and four changed images of one of them."""
    return [row for task in _tasks() for row in run_task(task)]


def _of(rows: list[Row], *groups: str) -> list[Row]:
    return [row for row in rows if row.group in groups]


def test_nuclei_are_found(rows: list[Row]) -> None:
    # Below the target of 0.97 by what the real crops cost: their weight in the training of the outline rating is 0.6.
    assert summarise(_of(rows, "plain", "mixed")).f1 >= 0.96


def test_cells_are_classified(rows: list[Row]) -> None:
    summary = summarise(_of(rows, "plain", "mixed"))
    assert summary.n_cells > 2000
    assert summary.accuracy >= 0.90
    assert min(summary.recall) >= 0.85, pooled_table(_of(rows, "plain", "mixed"), "confusion")


def test_completeness_is_measured(rows: list[Row]) -> None:
    assert summarise(_of(rows, "plain", "mixed")).completeness_mae <= 0.09


def test_class_shares_are_near_the_drawn_ones(rows: list[Row]) -> None:
    assert summarise(_of(rows, "plain", "mixed")).share_error <= 3


def test_plain_fields_get_their_score(rows: list[Row]) -> None:
    plain = _of(rows, "plain")
    assert [row.score_found for row in plain] == ["0", "1+", "2+", "3+", "2+"]
    assert [row.score_drawn for row in plain] == ["0", "1+", "2+", "3+", "2+"]


def test_unstained_cells_stay_negative(rows: list[Row]) -> None:
    assert summarise(_of(rows, "unstained")).false_1_plus <= 0.005


def test_compression_and_slight_blur_keep_the_score(rows: list[Row]) -> None:
    changed = _of(rows, "JPEG 70", "blur 0.5 µm")
    assert [row.score_found for row in changed] == ["2+", "2+"]
    assert min(summarise([row]).accuracy for row in changed) >= 0.87


def test_only_blurred_images_are_refused(rows: list[Row]) -> None:
    refused = {row.group: row.refusal for row in rows if row.refusal is not None}
    assert refused == {"refuse blur 1.0 µm": "blurred", "refuse blur 1.5 µm": "blurred"}


def test_every_figure_is_a_number(rows: list[Row]) -> None:
    """A field without matched cells would give NaN, which some comparisons let pass."""
    for row in rows:
        if row.refusal is None:
            assert row.found > 100
            assert np.isfinite(row.completeness_error)
            assert sum(row.shares_found) == pytest.approx(1)


def test_an_untrained_network_is_worse_than_the_classical_detector(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from tests.helpers.colour_net import save_colour_net
    from tests.quality.network_cells import compare_cells, comparison_table

    # It segments the three colours of flat images, which no drawn field has.
    save_colour_net(tmp_path / "flat")
    classical, flat = compare_cells([tmp_path / "flat"], [831_900], extent_um=120.0)
    assert classical.nuclei.f1 > 0.85
    assert flat.nuclei.f1 < classical.nuclei.f1
    assert flat.cells.tp + flat.cells.fn == classical.cells.tp + classical.cells.fn
    assert len(comparison_table([classical, flat]).splitlines()) == 4
