"""Named fields: plain scores, fields near a cut, and pictures that deserve refusal."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from qupath_her2.errors import SettingsError
from qupath_her2.synthetic.settings import FieldSettings

__all__ = ["PLAIN_SHARES", "PRESETS", "preset"]

Shares = tuple[float, float, float, float]

#: Shares of 0, 1+, 2+, 3+ that lie well away from every 10 % cut of the breast guideline (2018/2023).
PLAIN_SHARES: dict[str, Shares] = {
    "0": (0.97, 0.03, 0.0, 0.0),
    "1+": (0.57, 0.40, 0.03, 0.0),
    "2+": (0.33, 0.30, 0.35, 0.02),
    "3+": (0.15, 0.15, 0.25, 0.45),
}

_REFUSED: dict[str, dict[str, Any]] = {
    "cytoplasmic": {"shares": (1.0, 0.0, 0.0, 0.0), "diffuse_dab_od": (0.12, 0.45)},
    "nuclear": {"shares": (1.0, 0.0, 0.0, 0.0), "nuclear_dab_od": (0.1, 0.7)},
    "h&e": {"shares": (1.0, 0.0, 0.0, 0.0), "palette": "H&E", "haematoxylin_od": (0.2, 0.45)},
    "glass": {"tissue_edge": 1.0, "stroma": 0.0, "lumens": 0.0},
    "coarse": {"pixel_size_um": 1.0, "width_px": 512, "height_px": 512},
    "few cells": {"n_target": 20, "stroma": 0.0, "lumens": 0.0},
    "blurred": {"psf_um": 1.1, "sharpening": 0.0},
}

#: What `preset` knows.
PRESETS: tuple[str, ...] = ("score", "near cut", "unstained", *_REFUSED)


def preset(
    name: str, seed: int = 0, *, score: str = "2+", offset: float = 0.02, **changes: Any
) -> FieldSettings:
    """Return the settings of a named kind of field.

    Parameters
    ----------
    name
        One of `PRESETS`. ``score`` is a plain field of `score`; ``near cut`` has a share of 10 % +
        `offset` at the lower cut of `score` (``1+``, ``2+`` or ``3+``): it scores `score` for a positive
        offset, one less for a negative one; ``unstained`` has no membrane at all. The others deserve
        refusal: ``cytoplasmic``, ``nuclear``, ``h&e``, ``glass``, ``coarse`` (1 µm/px), ``few cells`` (20),
        ``blurred``.
    seed
        The field's seed.
    score, offset
        Used by ``score`` and ``near cut``.
    changes
        Any other `FieldSettings`, winning over the preset's.

    Raises
    ------
    SettingsError
        For an unknown preset, score or setting.
    """
    known = {one.name for one in fields(FieldSettings)}
    if unknown := sorted(set(changes) - known):
        raise SettingsError(f"FieldSettings has no {', '.join(unknown)}; it has: {', '.join(sorted(known))}.")
    if name == "score":
        base: dict[str, Any] = {"shares": _plain(score)}
    elif name == "near cut":
        base = {"shares": _near(score, offset)}
    elif name == "unstained":
        base = {"shares": (1.0, 0.0, 0.0, 0.0), "diffuse_dab_od": (0.0, 0.03)}
    elif name in _REFUSED:
        base = _REFUSED[name]
    else:
        raise SettingsError(f"Unknown preset {name!r}; there are: {', '.join(PRESETS)}.")
    return replace(FieldSettings(seed=seed), **{**base, **changes})


def _plain(score: str) -> Shares:
    """Shares of a plain field."""
    if score not in PLAIN_SHARES:
        raise SettingsError(f"Unknown score {score!r}; there are: {', '.join(PLAIN_SHARES)}.")
    return PLAIN_SHARES[score]


def _near(score: str, offset: float) -> Shares:
    """Shares with the deciding class at 10 % + offset and the classes below well filled."""
    if not -0.1 <= offset <= 0.2:
        raise SettingsError(f"offset must lie in -0.1..0.2 of the cells, not {offset}.")
    share = 0.10 + offset
    if score == "3+":
        return 0.60 - share, 0.20, 0.20, share
    if score == "2+":
        return 0.65 - share, 0.35, share, 0.0
    if score == "1+":
        return 1 - share, share, 0.0, 0.0
    raise SettingsError(f"No cut lies below score {score!r}; choose 1+, 2+ or 3+.")
