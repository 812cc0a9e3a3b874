"""Breast tissue drawn at random from a seed, in the ranges of colour and architecture met in real HER2 slides.

The ranges of white point, stain vectors and densities were measured on 19 real DAB pictures (8 breast fields of two
scanners, 4 cores, 4 fields of another antibody, 3 of other stains): white 182 to 254 grey levels, haematoxylin
(0.60..0.72, 0.54..0.66, 0.35..0.52), DAB (0.33..0.46, 0.52..0.62, 0.64..0.79), OD of clear nuclei 0.14 to 0.45 in the
median, DAB up to 1.9.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from qupath_her2.synthetic.noise import stream
from qupath_her2.synthetic.tissue import Architecture, TissueSettings

__all__ = ["TRAPS", "breast_tissue", "trap_tissue"]

#: Ends of the line on which the measured DAB vectors lie.
_YELLOW, _RED = np.array([0.34, 0.525, 0.78]), np.array([0.44, 0.61, 0.66])
#: Growth patterns and how often each is the main one of a field.
_MAIN: dict[Architecture, float] = {
    "solid": 0.32, "glandular": 0.16, "tubular": 0.18, "trabecular": 0.14, "single cells": 0.10, "cribriform": 0.10,
}  # fmt: skip
#: Patterns whose cells stand round a lumen.
_WITH_LUMEN = ("glandular", "tubular", "cribriform")

#: Fields whose stain is no HER2 score of a tumour: changes of the settings and of the tissue of a breast field.
TRAPS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "lymphocyte rings": (
        {"shares": (1.0, 0.0, 0.0, 0.0)},
        {"tumour": 0.0, "in_situ": 0.0, "benign": 0.1, "aggregates": 0.9, "scatter": 0.9, "immune_stain": "rings"},
    ),
    "immune granules": (
        {"shares": (1.0, 0.0, 0.0, 0.0)},
        {"aggregates": 0.6, "scatter": 0.7, "immune_stain": "granules", "immune_share": 0.4},
    ),
    "fat and stroma": ({}, {"tumour": 0.0, "in_situ": 0.0, "benign": 0.0, "fat": 0.5}),
    "benign ducts": (
        {},
        {
            "tumour": 0.0, "in_situ": 0.0, "benign": 0.9, "benign_dab_od": (0.15, 0.6),
            "secretion_dab_od": (0.1, 0.6),
        },
    ),
    "debris": (
        {"shares": (1.0, 0.0, 0.0, 0.0)},
        {"tumour": 0.3, "debris": 1.0, "debris_yellow": 0.3, "wrinkles": 0.7, "refraction": 1.0, "collagen": 0.3},
    ),
    "in situ": ({"shares": (0.1, 0.15, 0.25, 0.5)}, {"tumour": 0.0, "in_situ": 1.0}),
}  # fmt: skip


def breast_tissue(seed: int, pixel_size_um: float) -> dict[str, Any]:
    """Draw architecture, colours, stain and optics of a breast field at random.

    Parameters
    ----------
    seed
        Seed of the field: the same seed gives the same settings.
    pixel_size_um
        µm per pixel of the picture; soft pictures were taken at up to 1.9 times that.

    Returns
    -------
    dict[str, Any]
        Settings of `FieldSettings`, the class shares and the seed left out.
    """
    rng = stream(seed, "breast")
    names = list(_MAIN)
    main = names[int(rng.choice(len(names), p=list(_MAIN.values())))]
    # Two patterns side by side are as common as one.
    second = names[int(rng.integers(len(names)))]
    architectures = (main,) if second == main or rng.random() < 0.5 else (main, second)
    low = rng.uniform(0.09, 0.18)
    area = rng.uniform(0.22, 0.36)
    return {
        "tissue": _tissue(rng, architectures),
        "gland": rng.uniform(0.8, 1.0) if main in _WITH_LUMEN else rng.uniform(0.0, 0.4),
        "crowding": rng.uniform(0.8, 1.0),
        "cell_diameter_um": rng.uniform(11.0, 17.0),
        "cell_diameter_cv": rng.uniform(0.12, 0.26),
        "nucleus_area_share": (area, area + rng.uniform(0.12, 0.28)),
        "nucleus_elongation": rng.uniform(0.25, 0.9),
        "haematoxylin_od": (low, low + rng.uniform(0.08, 0.22)),
        "intense_od": (0.46, rng.uniform(0.55, 1.1)),
        "width_3_um": (rng.uniform(1.2, 2.1), 0.3),
        "class_patchiness": rng.uniform(0.4, 0.95),
        "diffuse_dab_od": (0.0, rng.uniform(0.01, 0.10)),
        "granularity": rng.uniform(0.25, 0.8),
        "granules": float(rng.uniform(0.2, 1.0) if rng.random() < 0.5 else 0.0),
        "cytoplasm_fraction": rng.uniform(0.1, 0.55),
        "red_cells": rng.uniform(0.0, 0.08),
        "background_od": rng.uniform(0.04, 0.12),
        **_colours(rng),
        **_optics(rng, pixel_size_um),
    }


def _tissue(rng: np.random.Generator, architectures: tuple[Architecture, ...]) -> TissueSettings:
    """Draw the tissue; each optional structure is absent from about half of the fields."""

    def sometimes(share: float, low: float, high: float) -> float:
        return float(rng.uniform(low, high) if rng.random() < share else 0.0)

    wall = rng.uniform(9.0, 15.0)
    return TissueSettings(
        architectures=architectures,
        tumour=rng.uniform(0.25, 0.65),
        nest_um=rng.uniform(22.0, 52.0),
        wall_um=(wall, wall + rng.uniform(2.0, 8.0)),
        clefts=sometimes(0.7, 0.1, 0.6),
        cleft_um=rng.uniform(2.0, 13.0),
        in_situ=sometimes(0.3, 0.1, 0.5),
        benign=sometimes(0.35, 0.1, 0.5),
        fat=sometimes(0.3, 0.05, 0.3),
        vessels=rng.uniform(0.1, 0.7),
        tears=sometimes(0.6, 0.0, 0.12),
        collagen=rng.uniform(0.15, 1.0),
        stroma_od=rng.uniform(0.03, 0.13),
        stroma_dab=sometimes(0.5, 0.02, 0.5),
        refraction=rng.uniform(0.1, 0.8),
        fibroblasts=rng.uniform(0.2, 1.0),
        aggregates=sometimes(0.5, 0.05, 0.5),
        scatter=rng.uniform(0.0, 0.6),
        immune_share=rng.uniform(0.4, 1.0),
        immune_od=(rng.uniform(0.15, 0.4), rng.uniform(0.5, 1.3)),
        benign_dab_od=(0.0, sometimes(0.4, 0.05, 0.5)),
        secretion_dab_od=(0.0, sometimes(0.4, 0.05, 0.5)),
        necrosis_dab_od=(0.02, rng.uniform(0.05, 0.2)),
        debris=sometimes(0.6, 0.02, 0.35),
        debris_yellow=rng.uniform(0.05, 0.3),
        wrinkles=sometimes(0.08, 0.2, 0.5),
    )


def _colours(rng: np.random.Generator) -> dict[str, Any]:
    """Draw white point and stain vectors within the measured ranges."""
    level = rng.uniform(182, 252)
    # Neutral, bluish as in whole-slide scanners, or pink as in pictures balanced on pale eosinophilic tissue.
    tint = ((0, 0, 0), (-1, -2, 4), (4, 0, -4))[int(rng.choice(3, p=[0.5, 0.3, 0.2]))]
    white = tuple(float(min(255.0, level + t)) for t in tint)
    return {
        "white": white,
        "haematoxylin_vector": (rng.uniform(0.60, 0.71), rng.uniform(0.59, 0.655), rng.uniform(0.39, 0.47)),
        # Measured DAB vectors lie along one line, from a yellow to a reddish brown.
        "dab_vector": tuple(
            float(v) for v in _YELLOW + rng.uniform(0, 1) * (_RED - _YELLOW) + rng.normal(0, 0.006, 3)
        ),
        "stain_jitter": 0.0,
    }


def _optics(rng: np.random.Generator, pixel_size_um: float) -> dict[str, Any]:
    """Draw focus, softness, noise and compression."""
    is_soft = rng.random() < 0.35
    soft_um_px = pixel_size_um * rng.uniform(1.25, 1.9)
    return {
        "psf_um": rng.uniform(0.2, 0.5),
        "sharpening": rng.uniform(0.3, 1.6),
        "out_of_focus": rng.uniform(0.0, 0.8),
        "defocus_um": rng.uniform(0.6, 2.0),
        "noise": rng.uniform(0.6, 2.5),
        "glare": rng.uniform(0.005, 0.03),
        "jpeg_quality": int(rng.integers(60, 93)),
        # Detail coarser than 1 µm/px would no longer be the tissue of a 20x slide.
        "captured_um_px": min(soft_um_px, 1.0) if is_soft and pixel_size_um < 1 else None,
    }


def trap_tissue(name: str, seed: int, pixel_size_um: float) -> dict[str, Any]:
    """Draw a breast field at random and turn it into one of `TRAPS`.

    Parameters
    ----------
    name
        A name in `TRAPS`.
    seed
        Seed of the field.
    pixel_size_um
        µm per pixel.

    Returns
    -------
    dict[str, Any]
        Settings of `FieldSettings`, the seed left out.
    """
    settings, tissue = TRAPS[name]
    drawn = breast_tissue(seed, pixel_size_um)
    return {**drawn, **settings, "tissue": replace(drawn["tissue"], **tissue)}
