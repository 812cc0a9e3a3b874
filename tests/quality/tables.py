"""Tables of the quality report: one line per group, and each target with the measured value."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tests.quality.fields import HARMLESS
from tests.quality.measures import Row

CHANGED = (*(name for name, _, _ in HARMLESS), "stain jitter 0.10", "stain x 0.7")
#: Groups whose pictures must be scored.
GOOD = ("plain", "near cut", "unstained", "mixed", *CHANGED)
_CLASSES = ("0", "1+", "2+", "3+")
_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures of several images: cells pooled, fields counted; NaN where there is no value."""

    n_fields: int
    n_cells: int
    f1: float
    accuracy: float
    recall: tuple[float, ...]
    balanced: float
    completeness_mae: float
    stained_mae: float
    completeness_bias: float
    share_error: float
    worst_share_error: float
    score_right: float
    n_wrong: int
    n_off_by_two: int
    n_refused: int
    false_1_plus: float
    od_ratio: tuple[float, ...]


def summarise(rows: Sequence[Row]) -> Summary:
    """Pool the figures of several images."""
    found, wrong = sum(r.found for r in rows), sum(r.false + r.missed for r in rows)
    confusion = pooled_table(rows, "confusion")
    per_class = confusion.sum(1)
    recall = np.divide(np.diag(confusion), per_class, out=np.full(4, _NAN), where=per_class > 0)
    scored = [r for r in rows if r.score_found is not None]
    # A picture that is refused has no shares; its shares are neither right nor wrong.
    errors = [share_error(r) for r in scored]
    grades = [abs(int(r.score_found[0]) - int(r.score_drawn[0])) for r in scored if r.score_drawn]  # type: ignore[index]
    unstained = sum(r.n_cells for r in scored if r.shares_drawn[0] == 1.0)
    false = sum(r.n_cells * (1 - r.shares_found[0]) for r in scored if r.shares_drawn[0] == 1.0)
    return Summary(
        n_fields=len(rows),
        n_cells=int(confusion.sum()),
        f1=_ratio(2 * found, 2 * found + wrong),
        accuracy=_ratio(np.trace(confusion), confusion.sum()),
        recall=tuple(float(v) for v in recall),
        balanced=float(np.nanmean(recall)) if per_class.any() else _NAN,
        completeness_mae=_ratio(sum(r.completeness_error for r in rows), sum(r.n_measured for r in rows)),
        stained_mae=_ratio(sum(r.stained_error for r in rows), sum(r.n_stained for r in rows)),
        completeness_bias=_ratio(sum(r.completeness_bias for r in rows), sum(r.n_measured for r in rows)),
        share_error=float(np.mean(errors)) if errors else _NAN,
        worst_share_error=float(np.max(errors)) if errors else _NAN,
        score_right=_ratio(sum(r.score_found == r.score_drawn for r in rows), len(rows)),
        n_wrong=sum(r.score_found != r.score_drawn for r in rows),
        n_off_by_two=sum(step >= 2 for step in grades),
        n_refused=sum(r.refusal is not None for r in rows),
        false_1_plus=_ratio(false, unstained),
        od_ratio=_od_ratio(rows),
    )


def _od_ratio(rows: Sequence[Row]) -> tuple[float, ...]:
    """Return the median over images of found over drawn membrane density, by drawn intensity."""
    ratios = np.array([r.od_ratio for r in rows if r.od_ratio]).reshape(-1, 3)
    columns = [column[np.isfinite(column)] for column in ratios.T]
    return tuple(float(np.median(column)) if len(column) else _NAN for column in columns)


def share_error(row: Row) -> float:
    """Return the largest difference of a class share in one image, percentage points."""
    return 100 * float(np.abs(np.subtract(row.shares_found, row.shares_drawn)).max())


def pooled_table(rows: Iterable[Row], name: str) -> np.ndarray:
    """Return a table of counts summed over images: int64 (4, 5), drawn by found."""
    tables = [np.array(getattr(r, name)) for r in rows if getattr(r, name)]
    return np.sum(tables, axis=0) if tables else np.zeros((4, 5), np.int64)


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else _NAN


def group_table(rows: Sequence[Row]) -> str:
    """Return the table, one line per group and scale."""
    head = (
        f"{'group':26}{'µm/px':>6}{'fields':>7}{'cells':>8}{'F1':>8}{'acc.':>7}  {'recall 0 / 1+ / 2+ / 3+':27}"
        f"{'compl. MAE':>11}{'(stained)':>10}{'share err. pts':>15}{'score right':>13}{'off by 2':>9}{'refused':>8}"
        "  own OD found / drawn, faint moderate intense"
    )
    lines = [head, "-" * len(head)]
    keys = sorted({(r.group, r.um_px) for r in rows if r.group != "varied"}, key=_place)
    lines += [_line(*key, [r for r in rows if (r.group, r.um_px) == key]) for key in keys]
    names = dict.fromkeys(r.name for r in rows if r.group == "varied")
    lines += [
        _line(f"varied: {n}", 0.5, [r for r in rows if (r.group, r.name) == ("varied", n)]) for n in names
    ]
    return "\n".join(lines)


def _place(key: tuple[str, float]) -> tuple[int, str, float]:
    """Return the sort key of a group: assessable groups first, coarser scale before finer."""
    group, um_px = key
    return GOOD.index(group) if group in GOOD else len(GOOD), group, -um_px


def _line(group: str, um_px: float, rows: Sequence[Row]) -> str:
    s = summarise(rows)
    recall = " ".join(f"{_number(v):>6}" for v in s.recall)
    shares = (
        f"{_number(s.share_error, 1)} (max {_number(s.worst_share_error, 1)})" if s.share_error >= 0 else "-"
    )
    ratios = " ".join(_number(v, 2) for v in s.od_ratio)
    must_refuse = group.startswith("refuse ")
    right = "-" if must_refuse else f"{s.n_fields - s.n_wrong} of {s.n_fields}"
    return (
        f"{group[:25]:26}{um_px:>6g}{s.n_fields:>7}{s.n_cells:>8,}{_number(s.f1, 4):>8}{_number(s.accuracy):>7}  "
        f"{recall:27}{_number(s.completeness_mae):>11}{_number(s.stained_mae):>10}{shares:>15}"
        f"{right:>13}{'-' if must_refuse else s.n_off_by_two:>9}{s.n_refused:>8}  {ratios}"
    )


def _number(value: float, digits: int = 3) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


@dataclass(frozen=True, slots=True)
class Target:
    """A figure with its floor and its aim; `at_most` if smaller is better."""

    what: str
    floor: float
    aim: float
    measure: Callable[[Summary], float]
    groups: tuple[str, ...]
    at_most: bool = False


TARGETS: tuple[Target, ...] = (
    Target("nuclei F1", 0.97, 0.99, lambda s: s.f1, ("plain", "mixed")),
    Target("class accuracy, matched cells", 0.90, 0.96, lambda s: s.accuracy, ("plain", "mixed")),
    Target("lowest class recall", 0.85, 0.93, lambda s: min(s.recall), ("plain", "mixed")),
    Target("completeness MAE", 0.09, 0.04, lambda s: s.completeness_mae, ("plain", "mixed"), True),
    Target("class shares, points, mean", 3, 1, lambda s: s.share_error, ("plain", "mixed"), True),
    Target("class shares, points, worst", 3, 1, lambda s: s.worst_share_error, ("plain", "mixed"), True),
    Target("field score right, plain", 1, 1, lambda s: s.score_right, ("plain",)),
    Target("field score right, near a cut", 0.95, 1, lambda s: s.score_right, ("near cut",)),
    Target("off by two, fields", 0, 0, lambda s: s.n_off_by_two, GOOD, True),
    Target("false 1+, unstained cells", 0.005, 0.005, lambda s: s.false_1_plus, ("unstained",), True),
    Target("false refusals, fields", 0, 0, lambda s: s.n_refused, GOOD, True),
)


def target_table(rows: Sequence[Row]) -> str:
    """Return each target with the measured value at each scale."""
    scales = sorted({r.um_px for r in rows if r.group == "plain"}, reverse=True)
    head = f"{'what':42}{'floor':>10}{'aim':>8}" + "".join(f"{f'{um} µm/px':>22}" for um in scales)
    lines = [head, "-" * len(head)]
    for target in _targets(rows):
        if not any(r.group in target.groups for r in rows):
            continue
        sign = "<=" if target.at_most else ">="
        line = f"{target.what:42}{sign + f' {target.floor:g}':>10}{target.aim:>8g}"
        for um_px in scales:
            chosen = [r for r in rows if r.group in target.groups and r.um_px == um_px]
            if um_px == scales[0]:
                # Coarser pictures are there to be refused and have no column of their own.
                chosen += [r for r in rows if r.group in target.groups and r.um_px > um_px]
            value = target.measure(summarise(chosen)) if chosen else _NAN
            line += f"{f'{_number(value, 4)} {verdict(target, value)}':>22}"
        lines.append(line)
    return "\n".join(lines)


def _targets(rows: Sequence[Row]) -> list[Target]:
    """Return all targets: those above, and those of each change of an image."""
    made = list(TARGETS)
    seen = {r.group for r in rows}
    for name in CHANGED:
        if name in seen:
            made.append(Target(f"{name}: same score", 1, 1, lambda s: s.score_right, (name,)))
            made.append(Target(f"{name}: accuracy", 0.87, 0.87, lambda s: s.accuracy, (name,)))
    for name in sorted(group for group in seen if group.startswith("refuse ")):
        made.append(Target(f"{name}: refused", 1, 1, lambda s: s.n_refused / s.n_fields, (name,)))
    return made


def verdict(target: Target, value: float) -> str:
    """Return ``aim``, ``ok``, ``MISSED`` or nothing."""
    if math.isnan(value):
        return "      "
    sign = -1 if target.at_most else 1
    if sign * value >= sign * target.aim:
        return "aim   "
    return "ok    " if sign * value >= sign * target.floor else "MISSED"


def error_tables(rows: Sequence[Row]) -> str:
    """Return confusion tables of class, intensity and pattern, for cells of the plain and mixed fields."""
    chosen = [r for r in rows if r.group in ("plain", "mixed")]
    lines = []
    for name, words in (
        ("confusion", _CLASSES),
        ("intensity", ("none", "faint", "moderate", "intense")),
        ("pattern", ("none", "incompl.", "lateral", "complete")),
    ):
        table = pooled_table(chosen, name)
        lines.append(
            f"{name if name != 'confusion' else 'class'}, drawn (rows) by found, plain and mixed fields"
        )
        lines.append(" " * 10 + "".join(f"{word:>10}" for word in (*words, "not meas.")))
        lines += [
            f"{word:10}" + "".join(f"{v:>10,}" for v in row) for word, row in zip(words, table, strict=True)
        ]
        lines.append("")
    return "\n".join(lines)


def failures(rows: Sequence[Row]) -> str:
    """Return one line for each image that was scored or refused wrongly."""
    lines = []
    for r in rows:
        must_refuse = r.group.startswith("refuse ")
        if r.group == "varied" or (r.refusal is not None if must_refuse else r.score_found == r.score_drawn):
            continue
        drawn, found = (
            " ".join(f"{100 * v:5.1f}" for v in shares) for shares in (r.shares_drawn, r.shares_found)
        )
        lines.append(
            f"{r.group:22} {r.name:14} {r.um_px:g} µm/px seed {r.seed}: drawn {r.score_drawn}, "
            f"{r.score_found or r.refusal}; shares drawn {drawn}, found {found}"
        )
    return "\n".join(lines) or "none"
