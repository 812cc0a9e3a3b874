"""Drawn whole tissue at random: growth pattern, surroundings, stain, optics and compression differ from field to field.

The ranges are wider than any one laboratory's, so that what is trained on these fields has met softer, paler, browner
and more crowded tissue than it will be shown. Ranges of softness and white point follow real breast fields scanned at
20x, some of them enlarged after compression.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from qupath_her2.synthetic.settings import FieldSettings
from qupath_her2.synthetic.tissue import ARCHITECTURES, TissueSettings

__all__ = ["varied_field", "varied_tissue"]


def varied_field(seed: int) -> FieldSettings:
    """Return the settings of a field, of any size, that depend on `seed` alone; one in four shows nests with septa."""
    return _varied_nests(seed) if seed % 4 == 3 else varied_tissue(seed)


def varied_tissue(seed: int) -> FieldSettings:
    """Return the settings of a field of whole tissue, of any size, that depend on `seed` alone."""
    rng = np.random.default_rng([seed, 1])
    return FieldSettings(seed=seed, tissue=_tissue(rng), **_cells(rng), **_picture(rng))


def _varied_nests(seed: int) -> FieldSettings:
    """Return the settings of a field of nests with septa, as in the reports, that depend on `seed` alone."""
    rng = np.random.default_rng([seed, 2])
    around: dict[str, Any] = {
        name: float(rng.uniform(0, 1)) for name in ("lymphocytes", "collagen", "red_cells", "lumens")
    }
    around |= {"stroma": float(rng.uniform(0.1, 0.5)), "gland": float(rng.uniform(0, 0.8))}
    return FieldSettings(seed=seed, **around, **_cells(rng), **_picture(rng))


def _tissue(rng: np.random.Generator) -> TissueSettings:
    patterns = rng.choice(len(ARCHITECTURES), int(rng.integers(1, 3)), replace=False)
    thin = float(rng.uniform(9, 13))
    return TissueSettings(
        architectures=tuple(ARCHITECTURES[k] for k in patterns),
        # One field in eight shows no tumour.
        tumour=0.0 if rng.random() < 0.125 else float(rng.uniform(0.2, 0.8)),
        nest_um=float(rng.uniform(20, 80)),
        wall_um=(thin, thin + float(rng.uniform(2, 9))),
        in_situ=_sometimes(rng, 0.3),
        benign=_sometimes(rng, 0.3),
        fat=0.6 * _sometimes(rng, 0.25),
        vessels=float(rng.uniform(0, 0.8)),
        tears=0.2 * _sometimes(rng, 0.3),
        collagen=float(rng.uniform(0.1, 1)),
        stroma_od=float(rng.uniform(0.03, 0.15)),
        stroma_dab=float(rng.uniform(0, 0.3)),
        refraction=float(rng.uniform(0, 0.8)),
        fibroblasts=float(rng.uniform(0.2, 1)),
        aggregates=_sometimes(rng, 0.4),
        scatter=float(rng.uniform(0, 0.8)),
        immune_stain=("none", "none", "rings", "granules")[int(rng.integers(0, 4))],
        benign_dab_od=(0.0, float(rng.uniform(0, 0.3))),
        debris=float(rng.uniform(0, 0.5)),
        wrinkles=0.5 * _sometimes(rng, 0.15),
    )


def _sometimes(rng: np.random.Generator, share: float) -> float:
    """Return an amount of 0.2 to 1 in a share of the fields, 0 in all others."""
    amount = float(rng.uniform(0.2, 1))
    return amount if rng.random() < share else 0.0


def _cells(rng: np.random.Generator) -> dict[str, Any]:
    """Draw how the tumour cells look."""
    pale = float(rng.uniform(0.03, 0.16))
    least = float(rng.uniform(0.25, 0.4))
    return {
        # Mostly of one or two classes; one field in six is unstained.
        "shares": (1.0, 0.0, 0.0, 0.0) if rng.random() < 0.17 else tuple(rng.dirichlet([0.5] * 4).tolist()),
        "crowding": float(rng.uniform(0.5, 1)),
        "cell_diameter_um": float(rng.uniform(9.5, 17)),
        "cell_diameter_cv": float(rng.uniform(0.1, 0.3)),
        "cell_aspect": (1.0, float(rng.uniform(1.2, 2.4))),
        "nucleus_area_share": (least, least + 0.22),
        "nucleus_aspect": (1.0, float(rng.uniform(1.3, 2.4))),
        "nucleus_elongation": float(rng.uniform(0.1, 0.9)),
        "haematoxylin_od": (pale, pale * float(rng.uniform(1.5, 2.5))),
        "overlap": float(rng.uniform(0, 0.3)),
        "granularity": float(rng.uniform(0.2, 0.6)),
        "granules": _sometimes(rng, 0.25),
        "cytoplasm_fraction": float(rng.uniform(0.2, 0.6)),
        "diffuse_dab_od": (0.0, 0.02 if rng.random() < 0.7 else float(rng.uniform(0.04, 0.16))),
        "stain_scale": float(rng.uniform(0.7, 1.3)),
    }


def _picture(rng: np.random.Generator) -> dict[str, Any]:
    """Draw optics, scanner and compression."""
    # From the grey of a dim lamp to the pink of an overexposed scan.
    white = rng.uniform(200, 248) + rng.uniform(-1, 1) * np.array([7.0, -3.0, 0.0]) + rng.uniform(-6, 6, 3)
    return {
        "background_od": float(rng.uniform(0.015, 0.1)),
        "stain_jitter": 0.08,
        "psf_um": float(rng.uniform(0.2, 0.6)),
        "out_of_focus": float(rng.uniform(0, 0.4)),
        "glare": float(rng.uniform(0, 0.06)),
        "sharpening": float(rng.uniform(0, 1.8)),
        "noise": float(rng.uniform(0.5, 4)),
        "white": tuple(np.clip(white, 0, 254).tolist()),
        "jpeg_quality": int(rng.integers(55, 96)),
        # One picture in three was taken with coarser pixels and enlarged.
        "captured_um_px": float(rng.uniform(0.55, 0.8)) if rng.random() < 0.33 else None,
    }
