"""Settings of a synthetic field: tissue, stain, optics and sensor in one frozen record."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from qupath_her2.errors import SettingsError
from qupath_her2.synthetic.tissue import TissueSettings

__all__ = ["FieldSettings"]

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class FieldSettings:
    """Tissue, stain and scanner of one synthetic HER2 field.

    Geometry is laid out in µm and depends on `seed` and the extent only: the same seed at 0.25 and at 0.5 µm/px over
    the same extent shows the same tissue. A ``(low, high)`` pair is a range from which each cell's value is drawn
    uniformly. Optical densities are log10 amounts along a unit stain vector, before the blur of the optics.

    Attributes
    ----------
    width_px, height_px
        Size of the image, px.
    pixel_size_um
        µm per pixel, 0.05..4.
    seed
        Seed of all random numbers.
    shares
        Shares of the counted tumour cells in the classes 0, 1+, 2+, 3+; they sum to 1.
    n_target
        Keep only this many tumour cells, those nearest to the centre of the image; None fills the tumour.
    crowding
        0..1; 1 leaves no gap between cells.
    class_patchiness
        0..1; 0 mixes the classes like salt and pepper, 1 sorts them into patches.
    cell_diameter_um, cell_diameter_cv
        Mean diameter of a tumour cell, µm, and its coefficient of variation.
    cell_aspect
        Aspect ratio of cells, >= 1.
    gland
        Share of cells arranged as columns around lumens, 0..1.
    nucleus_area_share
        Area of the nucleus as a share of the cell's area.
    nucleus_aspect
        Aspect ratio of nuclei, >= 1.
    nucleus_elongation
        Exponent with which a nucleus follows the elongation of its cell, 0..1; near 1 the nuclei of columnar cells
        stand like a palisade.
    haematoxylin_od
        Mean OD of a tumour nucleus; real IHC counterstain is pale, 0.06 to 0.15.
    overlap
        Share of cells that lie partly over or under a neighbour, 0..1.
    faint_od, moderate_od, intense_od
        Peak DAB OD of a cell's own membrane. No guideline states densities; these ranges are ours, around the
        published cut-offs 0.10 / 0.25 / 0.45 (her2_rules: settings, not facts).
    width_1_um, width_2_um, width_3_um
        (mean, SD) of the membrane's full width at half maximum in 1+, 2+ and 3+ cells, µm; Scheel et al. 2018
        (n = 120).
    incomplete_share, complete_share
        Completeness of membranes that are drawn as incomplete and as complete, 0..1.
    faint_complete
        Share of 2+ cells that are faint but complete.
    uncommon
        Share of 2+ cells that are moderate or intense and incomplete.
    lateral
        Share of incomplete cells with a lateral or basolateral pattern.
    contact
        How the deposits of touching cells add up. ``quadrature``: a border stained from both sides integrates to about
        1.4 times a single one, as measured (1.4 to 1.5); ``sum``: to twice.
    granularity
        SD of the log-normal unevenness of DAB, along a membrane and from grain to grain.
    granules
        Amount of coarse DAB grains beside the stained membranes, 0..1; the truth leaves them out.
    cytoplasm_fraction
        Highest DAB OD of the cytoplasm as a share of the cell's own membrane OD; a cell has 0.4 to 1.0 of it.
    tangential
        Share of stained cells whose membrane is cut tangentially somewhere: a pale brown sheet beside the border, not
        part of any ground truth.
    diffuse_dab_od
        Additional DAB OD of the cytoplasm of every tumour cell.
    nuclear_dab_od
        DAB OD of every tumour nucleus.
    stroma, lymphocytes, red_cells, collagen, out_of_focus, lumens, tissue_edge
        Amount of each, 0..1.
    tissue
        Whole tissue to draw (growth pattern, stroma, fat, ducts, immune cells) in place of nests with septa. Then
        `stroma`, `lymphocytes`, `collagen` and `lumens` have no effect. None draws nests.
    background_od
        OD of unstained tissue.
    stain_scale
        Factor on all DAB.
    haematoxylin_vector, dab_vector
        Stain vectors (R, G, B), scaled to unit length; the defaults are close to those of public HER2 cores.
    stain_jitter
        SD of the random change of each vector component, drawn once per field.
    palette
        ``H-DAB``, or ``H&E`` for an image that must be refused.
    psf_um
        Sigma of the optics' Gaussian point spread function, µm.
    defocus_um
        Sigma of the additional blur where the field is `out_of_focus`, µm.
    glare
        Stray light as a share of white.
    sharpening
        Gain of the scanner's unsharp masking.
    noise
        SD of the sensor noise at white, grey levels.
    white
        Sensor value (R, G, B) of empty glass.
    jpeg_quality
        1..100; None skips JPEG.
    captured_um_px
        Pixel size at which the picture was taken and compressed before it was enlarged to `pixel_size_um`, as in
        pictures whose pixels are finer than their detail; None takes it at `pixel_size_um`.
    declared_um_px
        Pixel size that a file of this picture states, for scales that are declared wrongly; None states the true one.

    Raises
    ------
    SettingsError
        If a value is out of its range; the message names it.
    """

    width_px: int = 1024
    height_px: int = 1024
    pixel_size_um: float = 0.5
    seed: int = 0
    shares: tuple[float, float, float, float] = (0.4, 0.3, 0.2, 0.1)
    n_target: int | None = None
    crowding: float = 0.9
    class_patchiness: float = 0.5
    cell_diameter_um: float = 13.0
    cell_diameter_cv: float = 0.16
    cell_aspect: Range = (1.0, 1.5)
    gland: float = 0.2
    nucleus_area_share: Range = (0.25, 0.52)
    nucleus_aspect: Range = (1.0, 1.7)
    nucleus_elongation: float = 0.25
    haematoxylin_od: Range = (0.06, 0.15)
    overlap: float = 0.1
    faint_od: Range = (0.10, 0.19)
    moderate_od: Range = (0.22, 0.40)
    intense_od: Range = (0.46, 0.9)
    # (mean, SD), not ranges; kept in the same type because both are pairs of numbers in a settings file.
    width_1_um: Range = (0.64, 0.10)
    width_2_um: Range = (1.0, 0.23)
    width_3_um: Range = (2.14, 0.40)
    incomplete_share: Range = (0.15, 0.65)
    complete_share: Range = (0.9, 1.0)
    faint_complete: float = 0.15
    uncommon: float = 0.0
    lateral: float = 0.15
    contact: Literal["quadrature", "sum"] = "quadrature"
    granularity: float = 0.3
    granules: float = 0.0
    cytoplasm_fraction: float = 0.40
    tangential: float = 0.12
    diffuse_dab_od: Range = (0.0, 0.02)
    nuclear_dab_od: Range = (0.0, 0.0)
    stroma: float = 0.22
    lymphocytes: float = 0.4
    red_cells: float = 0.4
    collagen: float = 0.5
    out_of_focus: float = 0.2
    lumens: float = 0.3
    tissue_edge: float = 0.0
    tissue: TissueSettings | None = None
    background_od: float = 0.05
    stain_scale: float = 1.0
    haematoxylin_vector: tuple[float, float, float] = (0.68, 0.65, 0.34)
    dab_vector: tuple[float, float, float] = (0.34, 0.57, 0.74)
    stain_jitter: float = 0.02
    palette: Literal["H-DAB", "H&E"] = "H-DAB"
    psf_um: float = 0.26
    defocus_um: float = 1.0
    glare: float = 0.02
    sharpening: float = 1.2
    noise: float = 2.0
    white: tuple[float, float, float] = (235.0, 234.0, 242.0)
    jpeg_quality: int | None = 85
    captured_um_px: float | None = None
    declared_um_px: float | None = None

    def __post_init__(self) -> None:
        """Check ranges; the error names the setting and its value."""
        if min(self.width_px, self.height_px) < 16 or not 0.05 <= self.pixel_size_um <= 4:
            raise SettingsError(
                f"A field of {self.width_px} x {self.height_px} px at {self.pixel_size_um} µm/px cannot be "
                "drawn. Use at least 16 px per side and 0.05 to 4 µm/px."
            )
        # 0.9999999 is 1 with the rounding of four decimal fractions.
        if abs(sum(self.shares) - 1) > 1e-6 or min(self.shares) < 0:
            raise SettingsError(f"shares must be four numbers >= 0 that sum to 1, not {self.shares}.")
        if self.n_target is not None and self.n_target < 0:
            raise SettingsError(f"n_target must be >= 0 or None, not {self.n_target}.")
        for one in fields(self):
            value = getattr(self, one.name)
            # Annotations are strings here. The widths are (mean, SD), not ranges, though of the same type.
            is_range = one.type == "Range" and not one.name.startswith("width_")
            if is_range and not 0 <= value[0] <= value[1]:
                raise SettingsError(f"{one.name} must be (low, high) with 0 <= low <= high, not {value}.")
        # Shares and amounts that enter as probabilities or weights; others may exceed 1 without harm.
        for name in (
            "crowding",
            "class_patchiness",
            "gland",
            "overlap",
            "tangential",
            "stroma",
            "tissue_edge",
            "out_of_focus",
            "granules",
            "nucleus_elongation",
        ):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} must lie in 0..1, not {getattr(self, name)}.")
        if not 0 < self.defocus_um <= 5:
            raise SettingsError(f"defocus_um must lie in 0..5 µm and above 0, not {self.defocus_um}.")
        if self.captured_um_px is not None and not self.pixel_size_um <= self.captured_um_px <= 4:
            raise SettingsError(
                f"captured_um_px must lie between pixel_size_um ({self.pixel_size_um}) and 4 µm/px, not "
                f"{self.captured_um_px}; a picture cannot be enlarged to coarser pixels."
            )
        if self.declared_um_px is not None and not 0.05 <= self.declared_um_px <= 4:
            raise SettingsError(f"declared_um_px must lie in 0.05..4 µm/px, not {self.declared_um_px}.")

    @property
    def extent_um(self) -> tuple[float, float]:
        """Width and height of the field in µm."""
        return self.width_px * self.pixel_size_um, self.height_px * self.pixel_size_um
