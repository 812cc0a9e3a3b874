from __future__ import annotations

from pathlib import Path

import numpy as np

from qupath_her2.learning.metrics.precision_recall import precision_recall
from qupath_her2.training.indicator_ranges import fit_slides
from qupath_her2.training.indicators_page import write_indicators_page
from qupath_her2.training.tumour_figures import TumourFigures
from tests.unit.training.test_indicator_ranges import slides


def test_the_page_has_both_matrices_and_the_curves_of_the_tumour_map(tmp_path: Path) -> None:
    _, figures = fit_slides(slides(), "ours")
    rng = np.random.default_rng(0)
    truth = rng.random(500) < 0.4
    curves = precision_recall(rng.normal(size=500) + 2 * truth, truth)
    tumour = TumourFigures(curves, 12, ("Left out: a.svs.",))
    page = write_indicators_page(tmp_path / "new", "Indicators", {"cases": "20"}, figures, tumour)
    text = page.read_text(encoding="utf-8")
    for one in (figures.by_all, figures.by_intensity):
        assert f"{one.accuracy.k} of {one.accuracy.n} right" in text
    assert f"{int(truth.sum())} of 500 patches of 12 images lie in drawn tumour" in text
    assert "Left out: a.svs." in text
    picture = (tmp_path / "new" / "tumour-curves.svg").read_text(encoding="utf-8")
    assert f"average precision {curves.average_precision:.3f}" in picture
    # Figure 9: each matrix is a picture of its own, with the counts of its method.
    for name, one in (("all", figures.by_all), ("intensity", figures.by_intensity)):
        drawn = (tmp_path / "new" / f"scores-{name}.svg").read_text(encoding="utf-8")
        assert f">{one.matrix[2, 3]}<" in drawn


def test_without_a_tumour_network_or_with_one_class_there_are_no_curves(tmp_path: Path) -> None:
    _, figures = fit_slides(slides(), "ours")
    only = TumourFigures(precision_recall(np.array([0.5]), np.array([True])), 1)
    for tumour in (None, only):
        write_indicators_page(tmp_path, "Indicators", {}, figures, tumour)
        assert not (tmp_path / "tumour-curves.svg").exists()
