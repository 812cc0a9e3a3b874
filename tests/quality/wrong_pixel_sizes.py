"""Pictures with a wrong pixel size: ``python -m tests.quality.wrong_pixel_sizes``.

Each picture is scored with its pixel size as it is, and off by 1.6, two and ten in both directions. Printed is how many
are refused, how many are scored with a warning that the nuclei do not fit, and how many are scored without a word, as
only those of the true size should be. Seeds were used neither for tuning nor for training.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.scale import DOUBT
from qupath_her2.synthetic.field import draw_field
from tests.quality.chain import score_picture
from tests.quality.fields import FIRST_SEED, SCALES_UM_PX, other_good_tasks, plain_tasks

FACTORS = (0.1, 0.5, 0.6, 1.0, 1.6, 2.0, 10.0)
#: Copies along each side, so that a picture has pixels enough for a working grid ten times coarser.
_COPIES = 3


def outcome(rgb: NDArray[np.uint8], pixel_size_um: float) -> str:
    """Score a picture and return ``refused``, ``warned`` or ``scored``."""
    scored = score_picture(rgb, pixel_size_um)
    if scored.score.score is None:
        return "refused"
    warnings = () if scored.cells is None else scored.cells.warnings
    return "warned" if any(warning.startswith(DOUBT) for warning in warnings) else "scored"


def _drawn(seeds: int) -> Iterator[tuple[str, NDArray[np.uint8], float]]:
    for seed in range(FIRST_SEED + 70_000, FIRST_SEED + 70_000 + seeds):
        for um_px in SCALES_UM_PX:
            tasks = [*plain_tasks(seed, um_px, changed=False), *other_good_tasks(seed, um_px)]
            for task in tasks:
                rgb = draw_field(task.settings).rgb
                yield f"drawn, {um_px} µm/px", np.tile(rgb, (_COPIES, _COPIES, 1)), um_px


def _real(folder: Path, um_px: float) -> Iterator[tuple[str, NDArray[np.uint8], float]]:
    for path in sorted(folder.iterdir()):
        if path.suffix in (".png", ".jpg"):
            rgb: Any = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
            yield f"{folder.name}, {um_px} µm/px", rgb, um_px


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2, help="seeds of drawn fields, six per scale and seed")
    parser.add_argument(
        "--real",
        nargs=2,
        action="append",
        default=[],
        metavar=("DIR", "UM_PX"),
        help="pictures and pixel size",
    )
    args = parser.parse_args()
    cv2.setNumThreads(1)
    found: dict[tuple[str, float], Counter[str]] = {}
    pictures = [_drawn(args.seeds), *(_real(Path(folder), float(um_px)) for folder, um_px in args.real)]
    for name, rgb, um_px in (picture for source in pictures for picture in source):
        for factor in FACTORS:
            found.setdefault((name, factor), Counter())[outcome(rgb, um_px * factor)] += 1
        sys.stderr.write(f"{name}\n")
    words = ("refused", "warned", "scored")
    lines = [f"{'pictures':36}{'size off by':>12}" + "".join(f"{word:>10}" for word in words)]
    lines += [
        f"{name:36}{factor:12g}" + "".join(f"{counts[word]:10}" for word in words)
        for (name, factor), counts in found.items()
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
