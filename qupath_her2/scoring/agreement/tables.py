"""Agreement figures as text tables, for the terminal, the CSV file, and the HTML report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qupath_her2.scoring.agreement.confusion_matrix import Share
    from qupath_her2.scoring.agreement.kappa import Estimate
    from qupath_her2.scoring.agreement.study import Agreement, FoldFigure

__all__ = [
    "NO_VALUE",
    "Table",
    "agreement_tables",
    "confusion_table",
    "fold_table",
    "share_text",
    "table_text",
]

#: Printed for a figure without a value.
NO_VALUE = "–"
_PLURAL = {"case": "cases", "slide": "slides", "patch": "patches"}


@dataclass(frozen=True, slots=True)
class Table:
    """A text table: every row has as many cells as `header`; `notes` are sentences below the table."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else NO_VALUE


def share_text(share: Share | None) -> str:
    """Return a proportion in per cent with its Wilson 95 % interval and counts."""
    if share is None or share.n == 0:
        return NO_VALUE
    low, high = share.interval
    return f"{100 * share.value:.1f} % ({100 * low:.1f}–{100 * high:.1f}), {share.k}/{share.n}"


def _estimate(estimate: Estimate) -> str:
    # The value can exist without an interval: every resample may be undefined.
    if not math.isfinite(estimate.low):
        return _number(estimate.value)
    return f"{estimate.value:.3f} ({estimate.low:.3f}–{estimate.high:.3f})"


def agreement_tables(one: Agreement) -> tuple[Table, ...]:
    """Return the summary, the confusion matrix, the figures of each class, and those of each cut-off.

    Proportions are in per cent with Wilson 95 % intervals and counts. The warnings are notes of the first table.
    """
    tables = [_summary(one), confusion_table(one), _classes(one)]
    if one.cuts:
        rows = tuple((cut.name, share_text(cut.ppa), share_text(cut.npa)) for cut in one.cuts)
        note = "PPA, NPA: positive and negative percent agreement, above and below the cut"
        tables.append(Table("Agreement at each cut", ("cut", "PPA", "NPA"), rows, (note,)))
    return tuple(tables)


def _summary(one: Agreement) -> Table:
    words = {
        "none": "Cohen's kappa",
        "linear": "linear weighted kappa",
        "quadratic": "quadratic weighted kappa",
    }
    rows = [
        ("truth set by", one.truth_by),
        (f"{_PLURAL[one.level]} compared", f"{one.n}, of {one.n_cases} cases"),
        ("not assessable", share_text(one.not_assessable)),
        ("agreement", share_text(one.accuracy)),
        ("macro F1", _number(one.macro_f1)),
        *((words[kind], _estimate(estimate)) for kind, estimate in one.kappa.items()),
    ]
    # With two classes nothing can be two classes away.
    if one.off_by_two is not None and len(one.class_names) > 2:
        rows.append(("off by two classes or more", share_text(one.off_by_two)))
    if one.equivocal_truth is not None:
        rows.append(("2+ in the truth", share_text(one.equivocal_truth)))
        rows.append(("2+ in the answers", share_text(one.equivocal_answer)))
    if one.calibration.n:
        rows.append(("AUC, one against rest, macro", _number(one.macro_auc)))
        rows.append(("expected calibration error", _number(one.calibration.error)))
    if one.without_truth:
        rows.append(("left out: truth not known", str(one.without_truth)))
    notes = (
        "research use only",
        *one.warnings,
        f"95 % intervals: Wilson for proportions, {one.bootstrap.draws} bootstrap resamples of cases for kappa",
    )
    return Table("Agreement with the truth", ("figure", "value"), tuple(rows), notes)


def confusion_table(one: Agreement, title: str = "Confusion matrix") -> Table:
    """Return the confusion matrix, truth in rows and answers in columns, with both margins."""
    rows = tuple(
        (name, *(str(int(n)) for n in counts), str(int(counts.sum())))
        for name, counts in zip(one.class_names, one.matrix, strict=True)
    )
    # Both margins: they show at a glance a class that is answered too often.
    totals = ("all", *(str(int(n)) for n in one.matrix.sum(axis=0)), str(int(one.matrix.sum())))
    return Table(
        title,
        ("truth \\ answer", *one.class_names, "all"),
        (*rows, totals),
        (f"without an answer: {one.not_assessable.k}",) if one.not_assessable.k else (),
    )


def _classes(one: Agreement) -> Table:
    rows = tuple(
        (
            figures.name,
            share_text(figures.sensitivity),
            share_text(figures.specificity),
            share_text(figures.ppv),
            share_text(figures.npv),
            _number(figures.f1),
            _number(one.areas[figures.name]),
        )
        for figures in one.classes
    )
    header = ("class", "sensitivity", "specificity", "PPV", "NPV", "F1", "AUC")
    return Table("Each class against the rest", header, rows)


def fold_table(folds: Sequence[FoldFigure]) -> Table:
    """Return mean, SD and single values of every figure of a cross-validation."""
    n = len(folds[0].values) if folds else 0
    rows = tuple(
        (figure.name, _number(figure.mean), _number(figure.sd), *(_number(value) for value in figure.values))
        for figure in folds
    )
    header = ("figure", "mean", "SD", *(f"fold {k + 1}" for k in range(n)))
    note = "the SD is over folds that share training cases: it is not a standard error"
    return Table(f"{n}-fold cross-validation", header, rows, (note,))


def table_text(table: Table) -> str:
    """Format a table as lines of aligned columns, title first, notes last."""
    lines = [table.header, *table.rows]
    # Columns as wide as their widest cell; a terminal that is narrower wraps lines but loses nothing.
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.header))]
    drawn = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([table.title, drawn[0], rule, *drawn[1:], *(f"* {note}" for note in table.notes)]) + "\n"
