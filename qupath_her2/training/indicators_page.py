"""Page and pictures of ``indicators``: figures 6 and 9 of Che et al. 2023 (doi 10.3390/diagnostics13020263)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from qupath_her2.learning.metrics.curves import confusion_figure
from qupath_her2.learning.metrics.precision_recall import precision_recall_figure
from qupath_her2.project.exchange.writing import output_errors, replace_file
from qupath_her2.provenance import versions
from qupath_her2.report.training import Part, Picture, write_training_page
from qupath_her2.scoring.agreement.tables import agreement_tables
from qupath_her2.scoring.rules import SCORES

if TYPE_CHECKING:
    from pathlib import Path

    from qupath_her2.scoring.agreement.study import Agreement
    from qupath_her2.training.indicator_ranges import RangeFigures
    from qupath_her2.training.tumour_figures import TumourFigures

__all__ = ["write_indicators_page"]

_SVG = "image/svg+xml"


def write_indicators_page(
    folder: Path,
    title: str,
    facts: Mapping[str, str],
    figures: RangeFigures,
    tumour: TumourFigures | None = None,
) -> Path:
    """Write confusion matrices of both methods and curves of the tumour network, as pictures and on one page.

    Written: ``scores-all.svg``, ``scores-intensity.svg``, with a tumour network ``tumour-curves.svg``, and
    ``indicators.html``, which holds them with all figures.

    Parameters
    ----------
    folder
        Created where missing.
    title
        Heading of the page.
    facts
        {name: value}, the first table.
    figures
        Of the scores.
    tumour
        Of the tumour network; None without one, or where it could not be judged.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    pictures = {
        "scores-intensity.svg": confusion_figure(
            figures.by_intensity.matrix, SCORES, "Staining intensity alone"
        ),
        "scores-all.svg": confusion_figure(figures.by_all.matrix, SCORES, "All three indicators"),
    }
    parts = [
        Part(
            "Scores by staining intensity alone, and by all three indicators",
            (
                _picture(pictures, "scores-intensity.svg", _words(figures.by_intensity)),
                _picture(pictures, "scores-all.svg", _words(figures.by_all)),
            ),
            agreement_tables(figures.by_all),
        )
    ]
    if tumour is not None and tumour.curves.n_positive not in (0, tumour.curves.n):
        name, curves = "tumour-curves.svg", tumour.curves
        pictures[name] = precision_recall_figure(curves, "Tumour patches against all other tissue")
        caption = (
            f"{curves.n_positive:,} of {curves.n:,} patches of {tumour.n_images} images lie in drawn tumour. "
            "The grey lines are those of chance"
        )
        parts.append(Part("Tumour map", (_picture(pictures, name, caption),)))
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for file, document in pictures.items():
        replace_file(folder / file, document.encode())
    warnings = (*figures.by_all.warnings, *(() if tumour is None else tumour.notes))
    page = folder / "indicators.html"
    write_training_page(page, title, facts, parts, version=versions()["qupath-her2"], warnings=warnings)
    return page


def _picture(pictures: Mapping[str, str], name: str, caption: str) -> Picture:
    return Picture(caption, pictures[name].encode(), _SVG)


def _words(one: Agreement) -> str:
    return f"{one.accuracy.k} of {one.accuracy.n} right; labels in rows, scores in columns"
