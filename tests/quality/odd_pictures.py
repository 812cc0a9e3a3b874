"""Drawn folders with one odd picture in them: ``python -m tests.quality.odd_pictures``.

A folder is four plain fields (0 to 3+) of one laboratory and one odd picture, drawn or real, all of which are scored
images. Printed is the accuracy of the four fields alone: with the vectors they have without the odd picture, with the
estimate over the pixels of all pictures that this package used up to now, and with the vectors of their group.
Seeds were used neither for tuning nor for training.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from qupath_her2.slides.readers.slide import Slide, open_slide
from qupath_her2.slides.stains.density_sample import sample_tissue
from qupath_her2.slides.stains.estimate import estimate_stains
from qupath_her2.slides.stains.vectors import StainVectors
from qupath_her2.slides.tissue import Tissue, find_tissue
from qupath_her2.synthetic.field import draw_field
from qupath_her2.synthetic.presets import preset
from qupath_her2.synthetic.settings import FieldSettings
from tests.quality.chain import group_vectors, picture_file, score_slide
from tests.quality.fields import EXTENT_UM, FIRST_SEED, plain_tasks
from tests.quality.measures import Row, measured_row
from tests.quality.tables import summarise

_UM_PX = 0.5
#: Vectors of another laboratory: haematoxylin without blue absorption; a reddish chromogen; both.
_OTHERS: dict[str, dict[str, Any]] = {
    "other haematoxylin": {"haematoxylin_vector": (0.83, 0.55, 0.10)},
    "other chromogen": {"dab_vector": (0.30, 0.75, 0.59)},
    "other laboratory": {"haematoxylin_vector": (0.80, 0.58, 0.15), "dab_vector": (0.45, 0.60, 0.66)},
}
_PRESETS = ("nuclear", "cytoplasmic", "h&e")
WAYS = ("without it", "pooled pixels", "group")


def _odd_settings(name: str, seed: int) -> FieldSettings:
    side = round(EXTENT_UM / _UM_PX)
    size = {"pixel_size_um": _UM_PX, "width_px": side, "height_px": side}
    if name in _OTHERS:
        return preset("score", seed, score="3+", **size, **_OTHERS[name])
    return preset(name, seed, **size)


@contextmanager
def _opened(picture: np.ndarray[Any, np.dtype[np.uint8]]) -> Iterator[tuple[Slide, Tissue]]:
    with picture_file(picture) as path, open_slide(path) as slide:
        yield slide, find_tissue(slide, pixel_size_um=_UM_PX)


def _pooled_pixels(slides: Iterable[tuple[Slide, Tissue]]) -> StainVectors:
    return estimate_stains(np.concatenate([sample_tissue(s, t, _UM_PX) for s, t in slides]))


def odd_rows(name: str, seed: int, picture: Path | None = None) -> dict[str, list[Row]]:
    """Score four plain fields in a folder with an odd picture; rows by way of estimating the vectors.

    Parameters
    ----------
    name : the odd picture, or its name in the report where it is a file.
    seed : of all drawn fields.
    picture : a real picture; None draws one.
    """
    cv2.setNumThreads(1)
    fields = [draw_field(task.settings) for task in plain_tasks(seed, _UM_PX, changed=False)]
    odd = (
        draw_field(_odd_settings(name, seed + 1)).rgb
        if picture is None
        else cv2.cvtColor(cv2.imread(str(picture)), cv2.COLOR_BGR2RGB)
    )
    rows: dict[str, list[Row]] = {}
    with ExitStack() as stack:
        slides = [stack.enter_context(_opened(field.rgb)) for field in fields]
        everything = [*slides, stack.enter_context(_opened(np.asarray(odd, np.uint8)))]
        vectors = {
            "without it": group_vectors(slides, _UM_PX),
            "pooled pixels": [_pooled_pixels(everything)] * len(slides),
            "group": group_vectors(everything, _UM_PX)[: len(slides)],
        }
        for way, found in vectors.items():
            for field, (slide, tissue), stains in zip(fields, slides, found, strict=True):
                scored = score_slide(slide, tissue, stains, _UM_PX, field.truth.tumour_region)
                rows.setdefault(way, []).append(measured_row(name, way, field, scored))
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="folders per odd picture")
    parser.add_argument(
        "--real", type=Path, help="folder of real pictures, each of which is put into drawn folders"
    )
    args = parser.parse_args()
    pictures: dict[str, Path | None] = dict.fromkeys((*_OTHERS, *_PRESETS))
    if args.real:
        pictures |= {
            path.stem: path for path in sorted(args.real.iterdir()) if path.suffix in (".png", ".jpg")
        }
    lines = [f"{'odd picture':32}{'vectors':16}{'class accuracy':>15}{'share error':>13}{'scores right':>14}"]
    for name, picture in pictures.items():
        found: dict[str, list[Row]] = {}
        for seed in range(args.seeds):
            for way, rows in odd_rows(name, FIRST_SEED + 60_000 + 10 * seed, picture).items():
                found.setdefault(way, []).extend(rows)
        for way in WAYS:
            summary = summarise(found[way])
            right = sum(row.score_found == row.score_drawn for row in found[way])
            lines.append(
                f"{name:32}{way:16}{summary.accuracy:15.3f}{summary.share_error:13.1f}{right:8} of {len(found[way])}"
            )
        sys.stderr.write(f"{name}\n")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
