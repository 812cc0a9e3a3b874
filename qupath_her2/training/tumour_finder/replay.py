"""Freshly drawn tissue that is replayed against forgetting: nobody's data, as much as is wanted, with known truth.

What is learned from a few cases must not cost what the finder knows of others. Cells of drawn tissue therefore take
part with the probability that the finder gave them before (pseudo-rehearsal, Robins 1995): they hold it, and do not
teach it to judge drawings. Drawn truth serves for the judgement alone, on other fields.

Drawings hold what is known of real tissue only where they vary as much as it does, and not all of it. With finders
that had not seen the real pictures which they were judged by, fields of one preset let the AUC on seven pictures of
other sources fall by 0.03 after corrections in three; fields that vary, changed as scanners change pictures, by 0.01
if there are 24 of them, and by 0.004 if there are 72.

References
----------
.. [1] Robins A. "Catastrophic forgetting, rehearsal and pseudorehearsal." Connection Science 7:123-146, 1995.
   doi:10.1080/09540099550039318
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
import shapely

from qupath_her2.runs.methods.proposals import ProposalsMethod
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.plan import plan_jobs
from qupath_her2.training.tumour_finder.changed_pictures import change_picture, random_change
from qupath_her2.training.tumour_finder.tissue import Tissue, measure_tissue

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qupath_her2.config import Settings
    from qupath_her2.synthetic.field import Field

__all__ = ["LEFT_OUT", "drawn_labels", "drawn_tissue"]

#: Label of cells that are neither tumour nor other tissue.
LEFT_OUT: Final = -1
#: Kinds of drawn nuclei that are left out: nothing that a cell shows tells benign ducts from carcinoma.
_BENIGN = ("duct", "myoepithelium")
#: Seeds that nothing else draws.
_FIRST_SEED = 4_100_000
_UM_PX, _SIDE_PX = 0.5, 512


def drawn_tissue(n: int, settings: Settings, seed: int = 0) -> Iterator[tuple[Tissue, NDArray[np.int8]]]:
    """Draw fields, change them as scanners and laboratories do, and yield the cells found in each with their labels.

    Parameters
    ----------
    n
        Number of fields.
    settings
        Of the run whose cells they stand beside.
    seed
        Other seeds draw other fields.

    Yields
    ------
    tissue : Tissue
        Cells as in an image of the project.
    label : NDArray[np.int8]
        1 tumour, 0 not, `LEFT_OUT`.
    """
    from qupath_her2.synthetic.field import draw_field
    from qupath_her2.synthetic.varied import varied_field

    # Stain vectors and choices of pictures belong to the files of the project.
    plain = replace(settings, stain_vectors=None, images=type(settings.images)())
    size: dict[str, Any] = {"pixel_size_um": _UM_PX, "width_px": _SIDE_PX, "height_px": _SIDE_PX}
    first = _FIRST_SEED + 100_000 * seed
    with tempfile.TemporaryDirectory() as folder:
        for number in range(first, first + n):
            field = draw_field(replace(varied_field(number), **size))
            rng = np.random.default_rng(number)
            change = random_change(rng)
            rgb, factor = change_picture(field.rgb, _UM_PX, change, rng)
            place = Path(folder) / f"{number}"
            place.mkdir()
            _write(place / "field.png", rgb)
            options = RunOptions(method=ProposalsMethod(), pixel_size_um=_UM_PX * factor * change.declared)
            (job,) = plan_jobs(place, options, plain).jobs
            tissue, _ = measure_tissue(job)
            yield tissue, drawn_labels(field, tissue.centre_xy * factor)[0]


def _write(path: Path, rgb: NDArray[np.uint8]) -> None:
    done, packed = cv2.imencode(
        ".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1]
    )
    assert done
    path.write_bytes(packed.tobytes())


def drawn_labels(field: Field, centre_xy: NDArray[np.float64]) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """Return the label of each found cell of a drawn field, and whether it is false: no nucleus was drawn there.

    Benign ducts are left out, as in real pictures, and false cells among tumour cells are no example of either.

    Parameters
    ----------
    field
        The drawn field.
    centre_xy
        float64 (N, 2), centres of the found cells, pixels of the field.

    Returns
    -------
    label : NDArray[np.int8]
        1 tumour, 0 not, `LEFT_OUT`.
    is_false : NDArray[np.bool_]
        No nucleus was drawn there.
    """
    truth = field.truth
    drawn = [*truth.nuclei, *truth.other_nuclei]
    kinds = np.array(["tumour"] * len(truth.nuclei) + list(truth.other_kinds))
    kind_label = np.where(
        np.isin(kinds, ("tumour", "border")), 1, np.where(np.isin(kinds, _BENIGN), LEFT_OUT, 0)
    )
    doubtful = shapely.contains_xy(truth.tumour_region, centre_xy[:, 0], centre_xy[:, 1])
    label = np.where(doubtful, LEFT_OUT, 0)
    tree = shapely.STRtree([shapely.Polygon(ring).buffer(0) for ring in drawn])
    cell, nucleus = tree.query(shapely.points(centre_xy), predicate="within")
    label[cell] = kind_label[nucleus]
    is_false = np.ones(len(centre_xy), bool)
    is_false[cell] = False
    return label.astype(np.int8), is_false
