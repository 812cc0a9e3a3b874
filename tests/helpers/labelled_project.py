"""An exchange folder of scored images whose stain is darker or paler, and lists of labels of their cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qupath_her2.cells.membrane.class_model import MODEL_MEASUREMENTS
from qupath_her2.cells.membrane.grading import Estimates, GradingSettings, grade
from qupath_her2.project.spreadsheet import csv_bytes
from qupath_her2.review.cut_point_fit import LabelledCells
from qupath_her2.scoring.guidelines import BREAST_2018
from qupath_her2.scoring.rules import cell_classes
from tests.helpers.reviewed_project import ReviewedImage, reviewed_image

__all__ = ["drawn_labels", "labelled_cells", "labelled_image", "write_labels"]

LATERAL = "HER2: Membrane is lateral"
WORDS = ("0", "1+", "2+", "3+")


def _draw(n: int, scale: float, seed: int) -> tuple[Estimates, np.ndarray]:
    """Return the estimates of n cells whose stain is `scale` times as dense, and their true classes."""
    rng = np.random.default_rng(seed)
    od, complete = rng.uniform(0, 0.9, n) ** 2, rng.beta(2, 1, n)
    lateral = np.zeros(n, bool)
    truth = cell_classes(*grade(Estimates(od, complete, lateral), GradingSettings()), BREAST_2018)
    seen = np.clip(np.sqrt(od * scale) + rng.normal(0, 0.02, n), 0, None) ** 2
    noisy = np.clip(complete + rng.normal(0, 0.02, n), 0, 1)
    return Estimates(seen.astype(np.float32), noisy.astype(np.float32), lateral), truth


def labelled_cells(n: int, *, scale: float = 1.0, cases: int = 4, seed: int = 0) -> LabelledCells:
    """Return n labelled cells of some cases."""
    own, truth = _draw(n, scale, seed)
    root = np.sqrt(own.own_od.astype(np.float64))
    features = np.column_stack([root, own.completeness, root, root, root * own.completeness])
    case = np.array([f"case {i % cases}" for i in range(n)])
    return LabelledCells(own, features, truth, case, np.array(["breast-2018"] * n))


def labelled_image(her2: Path, image: str, *, scale: float, n: int = 40) -> tuple[ReviewedImage, np.ndarray]:
    """Add a scored image to an exchange folder; return it with the true classes of its cells."""
    own, truth = _draw(n, scale, seed=int(image[0]))
    columns = {name: own.own_od for name in MODEL_MEASUREMENTS if name != "HER2: Membrane completeness"}
    columns |= {"HER2: Membrane completeness": own.completeness, LATERAL: own.lateral.astype(np.float32)}
    return reviewed_image(her2, n, image, columns), truth


def drawn_labels(
    images: list[tuple[ReviewedImage, np.ndarray]], reader: str = "Anna"
) -> list[tuple[str, ...]]:
    """Return a line of a list for each cell."""
    return [
        (image.image, image.uuid(row), reader, WORDS[code])
        for image, truth in images
        for row, code in enumerate(truth.tolist())
    ]


def write_labels(path: Path, lines: list[tuple[str, ...]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(csv_bytes([("image", "uuid", "reader", "value"), *lines]))
    return path
