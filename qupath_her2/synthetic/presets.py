"""Presets of synthetic fields: clear scores, cut-off cases, images to refuse, whole breast tissue and its traps."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from qupath_her2.errors import SettingsError
from qupath_her2.synthetic.breast import TRAPS, breast_tissue, trap_tissue
from qupath_her2.synthetic.settings import FieldSettings

__all__ = ["PLAIN_SHARES", "PRESETS", "preset"]

Shares = tuple[float, float, float, float]

#: Shares of 0, 1+, 2+, 3+ well away from every 10 % cut-off of the ASCO/CAP breast guideline (2018/2023).
PLAIN_SHARES: dict[str, Shares] = {
    "0": (0.97, 0.03, 0.0, 0.0),
    "1+": (0.57, 0.40, 0.03, 0.0),
    "2+": (0.33, 0.30, 0.35, 0.02),
    "3+": (0.15, 0.15, 0.25, 0.45),
}

#: Fields that scoring must refuse, by the reason for it.
_REFUSED: dict[str, dict[str, Any]] = {
    "cytoplasmic": {"shares": (1.0, 0.0, 0.0, 0.0), "diffuse_dab_od": (0.12, 0.45)},
    "nuclear": {"shares": (1.0, 0.0, 0.0, 0.0), "nuclear_dab_od": (0.1, 0.7)},
    "h&e": {"shares": (1.0, 0.0, 0.0, 0.0), "palette": "H&E", "haematoxylin_od": (0.2, 0.45)},
    "glass": {"tissue_edge": 1.0, "stroma": 0.0, "lumens": 0.0},
    "coarse": {"pixel_size_um": 1.0, "width_px": 512, "height_px": 512},
    "few cells": {"n_target": 20, "stroma": 0.0, "lumens": 0.0},
    "blurred": {"psf_um": 1.1, "sharpening": 0.0},
}

#: Names that `preset` accepts.
PRESETS: tuple[str, ...] = ("score", "near cut", "unstained", *_REFUSED, "breast", *TRAPS)


def preset(
    name: str, seed: int = 0, *, score: str = "2+", offset: float = 0.02, **changes: Any
) -> FieldSettings:
    """Return the settings of a named kind of field.

    Parameters
    ----------
    name
        One of `PRESETS`. ``score`` is a clear field of `score`. ``near cut`` has a share of 10 % + `offset` at the
        lower cut-off of `score` (``1+``, ``2+`` or ``3+``), so that it scores `score` for a positive offset and one
        less for a negative one. ``unstained`` has no stained membrane. These must be refused: ``cytoplasmic``,
        ``nuclear``, ``h&e``, ``glass``, ``coarse`` (1 µm/px), ``few cells`` (20), ``blurred``. ``breast`` is whole
        tissue of `score` with growth pattern, stroma, fat, ducts, colours and optics drawn at random from the seed; its
        traps: ``lymphocyte rings`` and ``immune granules`` (another antibody), ``fat and stroma`` and ``benign ducts``
        (no tumour), ``debris`` (unstained tumour under refractile flakes and folds), ``in situ`` (stained carcinoma in
        ducts only).
    seed
        Seed of the field.
    score
        HER2 score, used by ``score``, ``near cut`` and ``breast``.
    offset
        Distance of the deciding share from 10 %, -0.1..0.2, used by ``near cut``.
    **changes
        Any `FieldSettings`; they take precedence over the preset.

    Returns
    -------
    FieldSettings
        The settings.

    Raises
    ------
    SettingsError
        If the preset, the score or a setting is unknown, or a value is out of range.
    """
    known = {one.name for one in fields(FieldSettings)}
    if unknown := sorted(set(changes) - known):
        raise SettingsError(
            f"FieldSettings has no {', '.join(unknown)}. Available settings: {', '.join(sorted(known))}."
        )
    if name == "score":
        base: dict[str, Any] = {"shares": _plain(score)}
    elif name == "near cut":
        base = {"shares": _near(score, offset)}
    elif name == "unstained":
        base = {"shares": (1.0, 0.0, 0.0, 0.0), "diffuse_dab_od": (0.0, 0.03)}
    elif name in _REFUSED:
        base = _REFUSED[name]
    elif name == "breast":
        base = {"shares": _plain(score), **breast_tissue(seed, _pixel_size_um(changes))}
    elif name in TRAPS:
        base = trap_tissue(name, seed, _pixel_size_um(changes))
    else:
        raise SettingsError(f"Unknown preset {name!r}. Choose one of: {', '.join(PRESETS)}.")
    return replace(FieldSettings(seed=seed), **{**base, **changes})


def _pixel_size_um(changes: dict[str, Any]) -> float:
    """Return the pixel size that the changes ask for, or else the default."""
    return float(changes.get("pixel_size_um", FieldSettings().pixel_size_um))


def _plain(score: str) -> Shares:
    """Return the class shares of a clear field of `score`."""
    if score not in PLAIN_SHARES:
        raise SettingsError(f"Unknown score {score!r}. Choose one of: {', '.join(PLAIN_SHARES)}.")
    return PLAIN_SHARES[score]


def _near(score: str, offset: float) -> Shares:
    """Return class shares with the deciding class at 10 % + offset and all lower cut-offs clearly exceeded."""
    if not -0.1 <= offset <= 0.2:
        raise SettingsError(f"offset must lie in -0.1..0.2 (a share of the cells), not {offset}.")
    # The classes below the deciding one are filled far above 10 %, so that only one cut-off decides the score.
    share = 0.10 + offset
    if score == "3+":
        return 0.60 - share, 0.20, 0.20, share
    if score == "2+":
        return 0.65 - share, 0.35, share, 0.0
    if score == "1+":
        return 1 - share, share, 0.0, 0.0
    raise SettingsError(f"There is no cut-off below score {score!r}. Choose 1+, 2+ or 3+.")
