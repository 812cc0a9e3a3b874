"""Synthetic studies for each recipe, and training settings that a CPU can afford."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.helpers.drawn_study import draw_study

__all__ = ["DRAWN", "DrawnRecipe", "as_toml"]


@dataclass(frozen=True, slots=True)
class DrawnRecipe:
    """A synthetic study whose classes are easy to tell apart, and settings to train on it.

    `classes` are labels of images, or of regions where `region_classes` is given; `side_px` is the side of a patch;
    `epochs`, `batch_size` and `learning_rate` suit the recipe's network from random weights.
    """

    classes: tuple[str, ...]
    side_px: int
    epochs: int
    batch_size: int
    learning_rate: float
    stain: str = "IHC"
    region_classes: tuple[str, ...] | None = None
    is_whole_image: bool = False
    random_per_image: int = 0
    cases: int = 6

    def draw(self, folder: Path, seed: int = 0) -> tuple[str, ...]:
        """Draw the study into `folder` and return the images' names."""
        return draw_study(
            folder,
            self.classes,
            cases=self.cases,
            stain=self.stain,
            region_classes=self.region_classes,
            seed=seed,
        )

    def settings(self, **train: Any) -> dict[str, Any]:
        """Return the settings as in ``her2.toml``; `train` overrides those of the table ``[train]``."""
        grid = {"patch_size_px": self.side_px, "target_um_px": 0.0 if self.is_whole_image else 0.5}
        schedule = {"learning_rate": self.learning_rate, "least_learning_rate": 0.0}
        return {
            "patches": {
                "grid": grid,
                "shares": [0.5, 0.17, 0.33],
                "split": "by-case",
                "random_per_image": self.random_per_image,
            },
            "train": {
                "epochs": self.epochs,
                "batch_size": self.batch_size,
                "schedule": {**schedule, "monitor": "accuracy"},
                **train,
            },
        }


def as_toml(tables: dict[str, Any], above: str = "") -> str:
    """Return nested settings as TOML."""
    plain = {name: value for name, value in tables.items() if not isinstance(value, dict)}
    lines = [f"[{above}]"] if above and plain else []
    lines += [f"{name} = {json.dumps(value)}" for name, value in plain.items()]
    below = [
        as_toml(value, f"{above}.{name}".lstrip("."))
        for name, value in tables.items()
        if isinstance(value, dict)
    ]
    return "\n".join([*lines, *below])


_GRADES = ("0", "1+", "2+", "3+")
#: {recipe: its synthetic study}.
DRAWN: dict[str, DrawnRecipe] = {
    "convoher2": DrawnRecipe(_GRADES, 96, epochs=25, batch_size=8, learning_rate=1e-3),
    "se-resnet50": DrawnRecipe(
        ("negative", "equivocal", "positive"), 64, epochs=15, batch_size=8, learning_rate=1e-3, stain="H&E"
    ),
    "tumour-resnet34": DrawnRecipe(
        ("stroma", "tumour"),
        64,
        epochs=12,
        batch_size=8,
        learning_rate=3e-3,
        region_classes=("Stroma", "Tumor"),
        random_per_image=6,
    ),
    "lowres-convnext": DrawnRecipe(
        ("0", "low", "high"), 64, epochs=20, batch_size=4, learning_rate=3e-4, is_whole_image=True, cases=12
    ),
    "patch-count": DrawnRecipe(_GRADES, 64, epochs=12, batch_size=8, learning_rate=3e-4),
}
