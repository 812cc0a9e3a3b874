"""Page of a reader study: agreement of all, of pairs and of rounds; cells of matrices lead to slides and images."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np

from qupath_her2.project.exchange.writing import output_errors, replace_file
from qupath_her2.report.html import report_templates
from qupath_her2.report.reader_tables import study_csv

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qupath_her2.scoring.agreement.kappa import Estimate
    from qupath_her2.scoring.agreement.reader_study import (
        Figure,
        ReaderStudy,
        ScaleStudy,
    )

__all__ = ["WrittenStudy", "write_study"]

#: Width of the axis of the dots, 0 to 1, in px of the drawing.
_AXIS_PX = 520


@dataclass(frozen=True, slots=True)
class WrittenStudy:
    """Files of a reader study: the page, every figure, and every cell of the confusion matrices."""

    html: Path
    figures: Path
    matrices: Path


@dataclass(frozen=True, slots=True)
class DotRow:
    """One round in the drawing: a dot per reader, the mean of readers, and that of the machine; values are kappas."""

    round: str
    readers: tuple[tuple[str, float], ...]
    mean: Estimate
    machine: Estimate | None


@dataclass(frozen=True, slots=True)
class Grid:
    """Kappas of all pairs of readers in one round: rows of (value, colour), in the order of `readers`."""

    round: str
    readers: tuple[str, ...]
    rows: tuple[tuple[tuple[str, str], ...], ...]


def write_study(out: Path, study: ReaderStudy, *, version: str, title: str) -> WrittenStudy:
    """Write ``agreement.html``, ``agreement.csv`` and ``confusion.csv``.

    Parameters
    ----------
    out
        Output folder; created if missing.
    study
        The study.
    version
        Version of this package.
    title
        Heading of the page.

    Returns
    -------
    WrittenStudy
        Paths of the files.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    with output_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    written = WrittenStudy(out / "agreement.html", out / "agreement.csv", out / "confusion.csv")
    figures, matrices = study_csv(study)
    replace_file(written.figures, figures)
    replace_file(written.matrices, matrices)
    readings = study.readings
    page = (
        report_templates()
        .get_template("agreement.html.j2")
        .render(
            title=title,
            study=study,
            rounds=readings.rounds,
            facts=_facts(study),
            scales=[(scale, _dots(study, scale), _grids(study, scale)) for scale in study.scales],
            slides=_slide_rows(study),
            place={slide: number for number, slide in enumerate(readings.slides, 1)},
            links=_links(readings.links, out),
            by_round=_by_round,
            numbers_of=_slide_numbers,
            shown=_shown,
            percent=lambda share: f"{100 * share.value:.1f} %" if share.n else "–",
            excludes_zero=lambda one: one.low > 0 or one.high < 0,
            axis_px=_AXIS_PX,
            version=version,
            made=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        )
    )
    replace_file(written.html, page.encode())
    return written


def _facts(study: ReaderStudy) -> dict[str, str]:
    readings = study.readings
    people = len(readings.people)
    facts = {
        "readers": f"{people}"
        + (f", and {readings.readers[readings.machine]}" if readings.machine is not None else ""),
        "slides": f"{len(readings.slides)}, of {len(set(readings.cases))} cases",
        "rounds": ", ".join(readings.rounds),
        "readings of people": f"{int(np.isfinite(readings.numbers[:, :, list(readings.people)]).sum()):,}",
    }
    if study.scales:
        facts["classes"] = ", ".join(study.scales[0].classes)
    facts["intervals"] = (
        f"95 %, percentiles of {study.bootstrap.draws:,} resamples of cases (seed {study.bootstrap.seed})"
    )
    return facts


def _by_round(figures: Sequence[Figure], rounds: Sequence[str]) -> list[tuple[str, list[Figure | None]]]:
    """Return the figures as rows: (name, the figure of each round)."""
    rows: dict[str, dict[str, Figure]] = defaultdict(dict)
    for one in figures:
        rows[one.name][one.round] = one
    return [(name, [found.get(key) for key in rounds]) for name, found in rows.items()]


def _slide_numbers(found: Sequence[Figure | None]) -> str:
    """Return how many slides a figure has in each round; once where the number is the same."""
    numbers = [str(one.slides) if one else "–" for one in found]
    return numbers[0] if len(set(numbers)) == 1 else ", ".join(numbers)


def _shown(estimate: Estimate) -> str:
    if not math.isfinite(estimate.value):
        return "–"
    interval = f" ({estimate.low:.3f} to {estimate.high:.3f})" if math.isfinite(estimate.low) else ""
    return f"{estimate.value:.3f}{interval}"


def _dots(study: ReaderStudy, scale: ScaleStudy) -> list[DotRow]:
    """Return each reader's mean quadratic kappa with the other readers, by round."""
    rows = []
    for name in study.readings.rounds:
        values: dict[str, list[float]] = defaultdict(list)
        for one in scale.comparisons:
            if one.kind == "readers" and one.round == name:
                for reader in (one.first, one.second):
                    values[reader].append(one.figures.kappa["quadratic"].value)
        found = {figure.name: figure.estimate for figure in scale.figures if figure.round == name}
        means = {reader: float(np.mean(kappas)) for reader, kappas in values.items()}
        rows.append(
            DotRow(
                name,
                # A kappa below 0 is drawn at 0; its number stands in the tooltip.
                tuple((reader, mean) for reader, mean in means.items() if math.isfinite(mean)),
                found["mean kappa of readers (quadratic)"],
                found.get("mean kappa of machine and reader (quadratic)"),
            )
        )
    return [row for row in rows if row.readers]


def _grids(study: ReaderStudy, scale: ScaleStudy) -> list[Grid]:
    """Return the quadratic kappa of each pair of readers, the machine included, by round."""
    grids = []
    for name in study.readings.rounds:
        kappas = {}
        for one in scale.comparisons:
            if one.kind != "rounds" and one.round == name:
                value = one.figures.kappa["quadratic"].value
                kappas[one.first, one.second] = kappas[one.second, one.first] = value
        readers = [reader for reader in study.readings.readers if any(reader in pair for pair in kappas)]
        rows = [[_grid_cell(kappas.get((row, column), math.nan)) for column in readers] for row in readers]
        if len(readers) > 2:
            grids.append(Grid(name, tuple(readers), tuple(map(tuple, rows))))
    return grids


def _grid_cell(value: float) -> tuple[str, str]:
    """Return text and background of a kappa: the higher, the bluer."""
    if not math.isfinite(value):
        return "", "#fff"
    part = min(max(value, 0.0), 1.0)
    shade = "#{:02x}{:02x}{:02x}".format(*(round(255 + (end - 255) * part) for end in (92, 154, 204)))
    return f"{value:.2f}".replace("0.", ".", 1), shade


def _slide_rows(study: ReaderStudy) -> list[tuple[str, str, list[str]]]:
    """Return (slide, case, the readings of each round in words) of every slide, for the end of the page."""
    readings = study.readings
    people = list(readings.people)
    rows = []
    for slide, name in enumerate(readings.slides):
        words = [_words(study, number, slide, people) for number in range(len(readings.rounds))]
        if readings.machine is not None:
            words.insert(0, _words(study, 0, slide, [readings.machine]))
        rows.append((name, readings.cases[slide], words))
    return rows


def _words(study: ReaderStudy, number: int, slide: int, columns: list[int]) -> str:
    """Return the readings of one slide: ``0 × 3, 1+ × 28``, or median and range of numbers."""
    values = study.readings.numbers[number, slide, columns]
    known = values[np.isfinite(values)]
    if not len(known):
        return "–"
    if study.readings.scale is None:
        if len(known) == 1:
            return f"{known[0]:g}"
        return f"{np.median(known):g} ({known.min():g} to {known.max():g})"
    codes = study.readings.scale.codes[number, slide, columns]
    counts = np.bincount(codes[codes >= 0], minlength=len(study.readings.scale.classes))
    names = study.readings.scale.classes
    # A single reading needs no number.
    if len(known) == 1:
        return names[int(np.argmax(counts))]
    return ", ".join(f"{name} × {n}" for name, n in zip(names, counts.tolist(), strict=True) if n)


def _links(links: Mapping[str, str], out: Path) -> dict[str, str]:
    """Return addresses that a page in `out` can follow: relative ones for files, so that folders can be moved."""
    return {slide: link if "://" in link else _relative(Path(link), out) for slide, link in links.items()}


def _relative(path: Path, out: Path) -> str:
    try:
        return quote(Path(os.path.relpath(path, out.resolve())).as_posix())
    except ValueError:
        # Another drive of Windows.
        return path.as_uri()
