"""Fields drawn for the quality report, and the changes made to their images before scoring."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qupath_her2.synthetic.perturb import Perturbation, perturb
from qupath_her2.synthetic.presets import PLAIN_SHARES, preset
from qupath_her2.synthetic.settings import FieldSettings

#: Seeds below were used for tuning, or for training the membrane net and the nucleus trees (200 000 to 299 999).
FIRST_SEED = 500_000
EXTENT_UM, NEAR_CUT_EXTENT_UM = 320.0, 500.0
SCALES_UM_PX = (0.5, 0.25)

AS_DRAWN = "as drawn"
#: Changes of a finished image that must not change the score: name, kind, amount.
HARMLESS: tuple[tuple[str, Perturbation, float], ...] = (
    ("JPEG 70", "jpeg", 70),
    ("tint 0.06", "tint", 0.06),
    ("gamma 0.85", "gamma", 0.85),
    ("gamma 1.15", "gamma", 1.15),
    ("blur 0.5 µm", "blur", 0.5),
)
#: Changes that must be refused.
HARMFUL: tuple[tuple[str, Perturbation, float], ...] = (
    ("blur 1.0 µm", "blur", 1.0),
    ("blur 1.5 µm", "blur", 1.5),
)
#: Tissue, stain and optics as from another laboratory, scanner or generator; everything else as usual.
VARIATIONS: dict[str, dict[str, Any]] = {
    "contact sum": {"contact": "sum"},
    "soft optics": {"psf_um": 0.4, "sharpening": 0.0},
    "crisp optics": {"psf_um": 0.2, "sharpening": 1.8, "noise": 3.0},
    "haematoxylin 0.15-0.30": {"haematoxylin_od": (0.15, 0.30)},
    "haematoxylin 0.04-0.08": {"haematoxylin_od": (0.04, 0.08)},
    "textbook stain vectors": {
        "haematoxylin_vector": (0.651, 0.701, 0.290),
        "dab_vector": (0.269, 0.568, 0.778),
    },
    "small cells": {"cell_diameter_um": 10.5},
    "large cells": {"cell_diameter_um": 16.5},
    "loose": {"crowding": 0.5},
    "glands": {"gland": 0.8},
    "uncommon patterns": {"uncommon": 0.3, "lateral": 0.4},
    "granular": {"granularity": 0.5},
    "brown cytoplasm": {"cytoplasm_fraction": 0.55},
    "white glass, no JPEG": {"white": (250.0, 250.0, 250.0), "jpeg_quality": None},
}


@dataclass(frozen=True, slots=True)
class Variant:
    """One image to score: group and name in the report, and the change made to the drawn image."""

    group: str
    name: str
    kind: Perturbation | None = None
    amount: float = 0.0

    def apply(self, rgb: NDArray[np.uint8], settings: FieldSettings) -> NDArray[np.uint8]:
        """Return the image to score."""
        if self.kind is None:
            return rgb
        rng = np.random.default_rng(settings.seed)
        return perturb(rgb, self.kind, self.amount, settings.pixel_size_um, rng)


@dataclass(frozen=True, slots=True)
class Task:
    """A field to draw and the images to make of it; with `whole_tissue` there is no region."""

    settings: FieldSettings
    variants: tuple[Variant, ...]
    whole_tissue: bool = False
    refusal: str | None = field(default=None)


def _size(um_px: float, extent_um: float = EXTENT_UM) -> dict[str, Any]:
    side = round(extent_um / um_px)
    return {"pixel_size_um": um_px, "width_px": side, "height_px": side}


def _one(group: str, name: str, settings: FieldSettings, **more: Any) -> Task:
    return Task(settings, (Variant(group, name),), **more)


def plain_tasks(seed: int, um_px: float, *, changed: bool) -> Iterator[Task]:
    """Yield a field of each score as drawn; with `changed` also with every harmless and harmful change."""
    for score in PLAIN_SHARES:
        variants = [Variant("plain", score)]
        if changed:
            variants += [Variant(name, score, kind, amount) for name, kind, amount in HARMLESS]
            variants += [Variant(f"refuse {name}", score, kind, amount) for name, kind, amount in HARMFUL]
            for name, more in (
                ("stain jitter 0.10", {"stain_jitter": 0.10}),
                ("stain x 0.7", {"stain_scale": 0.7}),
            ):
                yield _one(name, score, preset("score", seed, score=score, **_size(um_px), **more))
        yield Task(preset("score", seed, score=score, **_size(um_px)), tuple(variants))


def near_cut_tasks(seed: int, um_px: float) -> Iterator[Task]:
    """Yield fields 1.5 to 3 percentage points above and below each cut-off, so large that one cell hardly counts."""
    rng = np.random.default_rng(seed)
    for score in ("1+", "2+", "3+"):
        for sign in (-1, 1):
            offset = sign * float(rng.uniform(0.015, 0.03))
            settings = preset(
                "near cut", seed, score=score, offset=offset, **_size(um_px, NEAR_CUT_EXTENT_UM)
            )
            yield _one("near cut", f"{score} {100 * offset:+.1f}", settings)


def other_good_tasks(seed: int, um_px: float) -> Iterator[Task]:
    """Yield an unstained field and a field of all classes."""
    yield _one("unstained", "unstained", preset("unstained", seed, **_size(um_px)))
    yield _one("mixed", "mixed", FieldSettings(seed=seed, shares=(0.25, 0.25, 0.25, 0.25), **_size(um_px)))


def folder_tasks(seeds: Iterable[int], um_px: float) -> list[Task]:
    """Return the plain and mixed fields of all seeds, as drawn, to be scored as one folder."""
    tasks: list[Task] = []
    for seed in seeds:
        tasks += plain_tasks(seed, um_px, changed=False)
        tasks += (task for task in other_good_tasks(seed, um_px) if task.variants[0].group == "mixed")
    return tasks


def varied_tasks(seed: int, um_px: float = 0.5) -> Iterator[Task]:
    """Yield a mixed field with each of `VARIATIONS`."""
    for name, changes in VARIATIONS.items():
        settings = {"shares": (0.4, 0.25, 0.2, 0.15), **_size(um_px), **changes}
        yield _one("varied", name, FieldSettings(seed=seed, **settings))


def refused_tasks(seed: int) -> Iterator[Task]:
    """Yield images that are drawn to be refused; blurred ones are among the variants of the plain fields."""
    for um_px in SCALES_UM_PX:
        for name in ("h&e", "cytoplasmic", "nuclear", "few cells"):
            yield _one(f"refuse {name}", f"{um_px} µm/px", preset(name, seed, **_size(um_px)))
    for um_px in (0.6, 1.0):
        yield _one(f"refuse {um_px} µm/px", "3+", preset("score", seed, score="3+", **_size(um_px)))
    glass = preset("glass", seed, **_size(0.5))
    yield _one("refuse glass", "whole tissue", glass, whole_tissue=True)
    yield _one("refuse glass", "region drawn", glass)


def all_tasks(seeds: Iterable[int], *, quick: bool = False) -> list[Task]:
    """Return all tasks of the report; `quick` draws only plain fields at 0.25 µm/px."""
    tasks: list[Task] = []
    for seed in seeds:
        for um_px in SCALES_UM_PX:
            fine = um_px < 0.5
            tasks += plain_tasks(seed, um_px, changed=not (quick and fine))
            if quick and fine:
                continue
            tasks += other_good_tasks(seed, um_px)
            tasks += near_cut_tasks(seed, um_px)
        tasks += varied_tasks(seed)
        tasks += refused_tasks(seed)
    return tasks
