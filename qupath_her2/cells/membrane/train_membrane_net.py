"""Train the membrane network: ``python -m qupath_her2.cells.membrane.train_membrane_net OUT.npz``.

Fields are drawn over the whole range of tissue, stain, optics and compression that `qupath_her2.synthetic` offers;
cells are detected in them as in any image and matched to the drawn ground truth. Seeds from `FIRST_SEED` to `LAST_SEED`
are reserved for training: tests and benchmarks use others. Training needs torch (``pip install qupath-her2[learn]``),
using the network does not.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from qupath_her2.cells.grid import make_grid
from qupath_her2.cells.measure import CellSettings, find_cells
from qupath_her2.cells.membrane.grading import GradingSettings
from qupath_her2.cells.membrane.membrane_net import REACH, SPREAD_FLOOR
from qupath_her2.cells.membrane.profile_features import FEATURE_NAMES, ProfileFeatures
from qupath_her2.cells.samples import read_samples
from qupath_her2.learning.train.membrane_net_fit import (
    MembraneCuts,
    MembraneFitSettings,
    MembraneTruth,
    fit_membrane_net,
)
from qupath_her2.records import PATTERNS, Region
from qupath_her2.regions import map_regions
from qupath_her2.slides.readers.slide import Slide, open_slide
from qupath_her2.slides.stains.estimate import estimate_stains
from qupath_her2.slides.stains.vectors import StainVectors, optical_density
from qupath_her2.slides.tissue import find_tissue
from qupath_her2.synthetic.field import FieldTruth, draw_field
from qupath_her2.synthetic.perturb import perturb
from qupath_her2.synthetic.settings import FieldSettings

__all__ = ["FIRST_SEED", "LAST_SEED", "TrainingCells", "drawn_cells", "field_settings", "train_membrane_net"]

FIRST_SEED, LAST_SEED = 200_000, 299_999

#: Shares of 0, 1+, 2+ and 3+ cells in the drawn fields.
_MIXES = (
    (1.0, 0.0, 0.0, 0.0),
    (0.9, 0.1, 0.0, 0.0),
    (0.6, 0.4, 0.0, 0.0),
    (0.3, 0.5, 0.2, 0.0),
    (0.3, 0.2, 0.45, 0.05),
    (0.2, 0.15, 0.25, 0.4),
    (0.05, 0.1, 0.15, 0.7),
    (0.25, 0.25, 0.25, 0.25),
)
#: Side of a drawn field, µm: a few hundred cells.
_EXTENT_UM = 320.0
#: Fraction of fields with a tone curve (gamma) such as other scanners apply.
_GAMMA_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class TrainingCells:
    """Measured features of N cells with their ground truth.

    Attributes
    ----------
    features
        float16 (N, 36, C), as measured, see `profile_features`.
    own_od
        float32 (N), true membrane density, OD; 0 = unstained.
    completeness
        float32 (N), true stained fraction of the outline, 0..1.
    intensity, pattern
        uint8 (N), indices into `records.INTENSITIES` and `records.PATTERNS`.
    """

    features: ProfileFeatures
    own_od: NDArray[np.float32]
    completeness: NDArray[np.float32]
    intensity: NDArray[np.uint8]
    pattern: NDArray[np.uint8]


def field_settings(seed: int) -> FieldSettings:
    """Return the settings of one training field, determined by `seed`.

    Density, completeness and width vary as independently as the classes allow: faint complete and moderate incomplete
    cells are common, and widths vary from field to field. Networks trained on fields where faint always meant
    incomplete called the faint but complete membranes of a real 2+ core incomplete.
    """
    rng = np.random.default_rng(seed)
    # Two thirds at the usual scanner resolutions, one third in between.
    pixel_size_um = float(rng.choice([0.25, 0.5, rng.uniform(0.2, 0.5)]))
    side = round(_EXTENT_UM / pixel_size_um)
    return FieldSettings(
        width_px=side,
        height_px=side,
        pixel_size_um=pixel_size_um,
        seed=seed,
        shares=_MIXES[seed % len(_MIXES)],
        crowding=float(rng.uniform(0.6, 1.0)),
        class_patchiness=float(rng.uniform(0, 1)),
        cell_diameter_um=float(rng.uniform(11, 15)),
        gland=float(rng.uniform(0, 0.5)),
        stain_scale=float(np.exp(rng.uniform(np.log(0.65), np.log(1.3)))),
        contact=str(rng.choice(["quadrature", "sum"])),  # type: ignore[arg-type]
        uncommon=float(rng.uniform(0, 0.4)),
        faint_complete=float(rng.uniform(0.05, 0.6)),
        width_1_um=(float(rng.uniform(0.55, 1.0)), 0.12),
        width_2_um=(float(rng.uniform(0.7, 1.4)), 0.2),
        width_3_um=(float(rng.uniform(1.0, 2.3)), 0.3),
        diffuse_dab_od=(0.0, float(rng.choice([0.0, 0.0, 0.03, 0.06]))),
        psf_um=float(rng.uniform(0.2, 0.4)),
        jpeg_quality=int(rng.integers(65, 97)),
        granularity=float(rng.uniform(0.15, 0.45)),
        noise=float(rng.uniform(1, 3)),
    )


def _stains(slide: Slide, rgb: NDArray[np.uint8], pixel_size_um: float) -> StainVectors:
    # Estimated from the image as in a run, not taken from the drawing: the network must tolerate errors of unmixing.
    background = find_tissue(slide, pixel_size_um=pixel_size_um).background_rgb
    density = optical_density(rgb, background).reshape(-1, 3)
    return estimate_stains(density[density.sum(1) > 0.15], background_rgb=background)


def _matches(centres: NDArray[np.float64], truth: FieldTruth) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pair drawn nuclei with detections one to one; return the indices of detections and of drawn nuclei.

    A pair forms where a drawn nucleus contains exactly one detected centre; ambiguous cells would be wrong labels.
    """
    tree = shapely.STRtree(shapely.points(centres))
    nuclei = [shapely.Polygon(ring).buffer(0) for ring in truth.nuclei]
    drawn, found = tree.query(nuclei, predicate="contains")
    once = np.bincount(drawn, minlength=len(nuclei))[drawn] == 1
    alone = np.bincount(found, minlength=len(centres))[found] == 1
    return found[once & alone], drawn[once & alone]


def drawn_cells(seed: int, settings: CellSettings | None = None) -> TrainingCells:
    """Draw one field, detect its cells and return their features with the ground truth."""
    s = settings or CellSettings()
    field = draw_field(field_settings(seed))
    rng = np.random.default_rng(seed)
    # Scanners apply tone curves, which bend optical densities.
    if rng.random() < _GAMMA_SHARE:
        gamma = float(rng.uniform(0.85, 1.15))
        rgb = perturb(field.rgb, "gamma", gamma, field.settings.pixel_size_um, rng)
        field = replace(field, rgb=rgb)
    regions = map_regions([Region(UUID(int=seed), field.truth.tumour_region, "tumour")])
    grid = make_grid(field.settings.pixel_size_um, s.grid)
    # Through a file and the slide reader, so that training sees exactly what a run sees.
    with TemporaryDirectory() as folder:
        path = Path(folder) / "field.png"
        cv2.imwrite(str(path), cv2.cvtColor(field.rgb, cv2.COLOR_RGB2BGR))
        with open_slide(path) as slide:
            stains = _stains(slide, field.rgb, field.settings.pixel_size_um)
            samples = read_samples(slide, regions, grid, stains, s.planes)
            found = find_cells(slide, regions, grid, stains, samples, s, with_features=True)
    i, j = _matches(found.centre_xy, field.truth)
    # The drawn density of an unstained cell is that of a membrane it does not have.
    stained = field.truth.completeness[j] > 0
    return TrainingCells(
        found.features[i],
        np.where(stained, field.truth.membrane_od[j], 0).astype(np.float32),
        field.truth.completeness[j],
        field.truth.intensity[j],
        field.truth.pattern[j],
    )


def train_membrane_net(
    cells: list[TrainingCells], out: Path, settings: MembraneFitSettings | None = None
) -> None:
    """Fit the network to drawn cells and write it as plain arrays.

    Density is fitted by the squared error of its square root, so that faint membranes weigh as much as strong ones; a
    further loss penalises estimates on the wrong side of the standard cut-points.

    Parameters
    ----------
    cells
        Training cells of many fields.
    out
        File to write, compressed npz.
    settings
        Settings of the fit.

    Raises
    ------
    SettingsError
        Without torch, or with too few cells.
    """
    features, own_od, completeness, intensity, pattern = (
        np.concatenate([getattr(part, one.name) for part in cells]) for one in fields(TrainingCells)
    )
    is_complete = pattern == PATTERNS.index("complete")
    truth = MembraneTruth(np.sqrt(own_od), completeness, intensity, is_complete)
    s = GradingSettings()
    cuts = MembraneCuts((s.moderate_od, s.intense_od), s.complete_from)
    weights = fit_membrane_net(
        features, truth, cuts, settings or MembraneFitSettings(reach=REACH, spread_floor=SPREAD_FLOOR)
    )
    np.savez_compressed(out, features=np.array(FEATURE_NAMES), **weights)  # type: ignore[arg-type]


def main() -> None:
    """Run the command: draw fields, detect their cells, train the network, write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="file to write, for example membrane_net.npz")
    parser.add_argument("--fields", type=int, default=320, help="how many fields to draw (default 320)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    arguments = parser.parse_args()
    seeds = range(FIRST_SEED, FIRST_SEED + arguments.fields)
    with ProcessPoolExecutor(arguments.workers) as pool:
        train_membrane_net(list(pool.map(drawn_cells, seeds)), arguments.out)


if __name__ == "__main__":
    main()
