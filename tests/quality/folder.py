"""Plain and mixed fields scored as one folder, with the stain vectors of their group, as in a run.

Scored alone, a field too pale for an estimate falls back on QuPath's default vectors. In a folder it uses the estimate
of its stain group.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

import cv2

from qupath_her2.slides.readers.slide import open_slide
from qupath_her2.slides.tissue import find_tissue
from qupath_her2.synthetic.field import draw_field
from tests.quality.chain import group_vectors, picture_file, score_slide
from tests.quality.fields import folder_tasks
from tests.quality.measures import Row, measured_row

__all__ = ["folder_rows"]


def folder_rows(seeds: Iterable[int], um_px: float) -> list[Row]:
    """Draw the plain and mixed fields of all seeds at one scale, and score them with the vectors of their groups.

    Parameters
    ----------
    seeds : seeds of the fields, as in the report.
    um_px : µm/px.
    """
    cv2.setNumThreads(1)
    tasks = folder_tasks(seeds, um_px)
    fields = [draw_field(task.settings) for task in tasks]
    rows = []
    with ExitStack() as stack:
        files = [stack.enter_context(picture_file(field.rgb)) for field in fields]
        slides = [stack.enter_context(open_slide(file)) for file in files]
        tissues = [find_tissue(slide, pixel_size_um=um_px) for slide in slides]
        vectors = group_vectors(list(zip(slides, tissues, strict=True)), um_px)
        for task, field, slide, tissue, stains in zip(tasks, fields, slides, tissues, vectors, strict=True):
            scored = score_slide(slide, tissue, stains, um_px, field.truth.tumour_region)
            (variant,) = task.variants
            rows.append(measured_row(variant.group, variant.name, field, scored))
    return rows
