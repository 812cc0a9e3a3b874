"""Drawn panels of readers, whose truth is known."""

from __future__ import annotations

import numpy as np

from qupath_her2.scoring.agreement.readings import Readings, Scale

SCORES = ("0", "1+", "2+", "3+")


def panel(
    codes: np.ndarray, *, machine: int | None = None, ish: list[bool | None] | None = None, **more: object
) -> Readings:
    """Return readings of HER2 scores, int (T, N, R) with -1 for none; slides s0, s1 … are cases of their own."""
    codes = np.asarray(codes, np.int64)
    rounds, slides, readers = codes.shape
    names = tuple("machine" if reader == machine else f"R{reader}" for reader in range(readers))
    fields: dict[str, object] = {
        "slides": tuple(f"s{n}" for n in range(slides)),
        "cases": tuple(f"s{n}" for n in range(slides)),
        "readers": names,
        "rounds": tuple(str(n + 1) for n in range(rounds)),
        "machine": machine,
        "numbers": np.where(codes >= 0, codes, np.nan),
        "scale": Scale("scores", SCORES, codes),
        "seconds": np.full(codes.shape, np.nan),
        "ish": tuple(ish or [None] * slides),
    }
    return Readings(**{**fields, **more})  # type: ignore[arg-type]


def noisy(seed: int, slides: int, readers: int, slips: float) -> np.ndarray:
    """Return codes, int (N, R): a true score per slide that each reader misses by a class with probability `slips`."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, slides)[:, None]
    step = np.where(rng.random((slides, readers)) < slips, rng.choice([-1, 1], (slides, readers)), 0)
    return np.clip(truth + step, 0, 3)
