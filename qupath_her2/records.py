"""Records passed between rooms: slides, regions, cells, patches, scores.

Frames and units, everywhere: bare ``x, y, width, height`` are level-0 pixels of the image as QuPath shows it
(x right, y down, origin top-left); every other quantity carries its unit in its name (``_um``, ``_um2``,
``_um_px``, ``_px``). Geometry is (x, y); image arrays are (H, W, 3) uint8 RGB; optical density is log10.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from uuid import UUID

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from shapely import MultiPolygon, Polygon

__all__ = [
    "CELL_CLASSES",
    "CHOSEN_FOR_IMAGE",
    "GUIDELINE_KEY",
    "INTENSITIES",
    "NOT_MEASURED",
    "PATTERNS",
    "PROPOSED_CLASS",
    "Box",
    "CaseInfo",
    "CellTable",
    "CutArea",
    "ImageResult",
    "PatchTable",
    "Prediction",
    "QuarantinedFeature",
    "Refusal",
    "Region",
    "RegionRole",
    "Score",
    "SlideRef",
    "SlideScore",
    "TUMOUR_PROBABILITY",
]

#: Cell classes as QuPath names them; QuPath computes the H-score itself from the last component of each.
CELL_CLASSES: tuple[str, ...] = ("Tumor: Negative", "Tumor: 1+", "Tumor: 2+", "Tumor: 3+")

#: Membrane staining of a cell in the guidelines' terms; the codes in measurements are indices into these tuples.
INTENSITIES: tuple[str, ...] = ("none", "faint", "moderate", "intense")
PATTERNS: tuple[str, ...] = ("none", "incomplete", "lateral or basolateral", "complete")

#: Class index of a cell without a membrane measurement: not a class, and never counted as negative.
NOT_MEASURED = 255

#: Class of annotations that the program proposes as tumour: never scored before a person changes it to ``Tumor``.
PROPOSED_CLASS = "Tumor?"

#: Measurement of cells where tumour was searched for, 0..1, and of proposed regions: the mean of their cells.
TUMOUR_PROBABILITY = "HER2: Tumour probability"

RegionRole = Literal["tumour", "stroma", "ignore", "in_situ", "control", "other"]
#: Key under which an image's metadata in QuPath hold the guideline, ``NAME (ORIGIN)``, and the origin of one that a
#: person chose for the image, by a flag, an argument or a dialog, in this run or before.
GUIDELINE_KEY = "HER2 guideline"
CHOSEN_FOR_IMAGE = "chosen for this image"

Site = Literal["breast", "gastric"]
SpecimenType = Literal["biopsy", "resection"]


class Box(NamedTuple):
    """An axis-aligned rectangle in level-0 pixels; `x` and `y` are its top-left corner."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class CaseInfo:
    """Clinical data of the case an image belongs to.

    `her2_cep17_ratio` is the dual-probe ISH ratio and `her2_copies` the mean HER2 copy number per cell; None if not
    tested. `case` is None if unknown; it is never guessed from a file name. `guideline_origin` says who decided on the
    guideline: ``cases.csv`` or ``image metadata`` where they state the site, "" where nobody does; in a run also
    `CHOSEN_FOR_IMAGE`, ``her2.toml`` and ``default``.
    """

    case: str | None = None
    site: Site = "breast"
    specimen: SpecimenType = "resection"
    stain: str = "HER2"
    her2_cep17_ratio: float | None = None
    her2_copies: float | None = None
    is_control: bool = False
    guideline_origin: str = ""


@dataclass(frozen=True, slots=True)
class SlideRef:
    """An image of a project or folder, with its file and its name in the exchange folder.

    The last nine fields are set for images of a QuPath project only: `entry_id` in the project, `width` and `height`
    in px as QuPath shows the image, the `chain` of crops and rotations from the file to that view, QuPath's
    `image_type`, the `refusal` if QuPath or the exporter could not export the image, and the `chosen_guideline`: the
    name of the guideline that somebody chose for the image before, which its metadata keep; and `score_run` and
    `proposal_run`, the runs whose score and proposed regions QuPath shows.
    """

    id: str
    name: str
    path: Path
    regions_path: Path | None = None
    pixel_size_um: float | None = None
    stains: Any = None
    case: CaseInfo = field(default_factory=CaseInfo)
    entry_id: str | None = None
    width: int | None = None
    height: int | None = None
    chain: tuple[dict[str, Any], ...] = ()
    image_type: str | None = None
    refusal: Refusal | None = None
    chosen_guideline: str | None = None
    score_run: str | None = None
    proposal_run: str | None = None


@dataclass(frozen=True, slots=True)
class Region:
    """An annotation: a valid polygon in level-0 pixels with its QuPath class and the tissue role of that class."""

    uuid: UUID
    geometry: Polygon | MultiPolygon
    role: RegionRole
    class_name: str | None = None
    name: str | None = None
    is_locked: bool = False


@dataclass(frozen=True, slots=True)
class QuarantinedFeature:
    """A feature of a region file that cannot be used, with the reason; the rest of the file is used.

    `index` is its 0-based position in the file; `id` is the feature's own id as text, or None.
    """

    index: int
    id: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an image or region is not assessable.

    `code` is one stable word (``pixel_size_missing``, ``pixels_too_coarse``, ``not_ihc``, ``blurred``,
    ``not_membrane``, ``background_stain``, ``too_few_cells``, ``no_tumour_region``, ``no_tumour_found``,
    ``no_tissue``, ``no_patches``);
    `reason` is the sentence shown to the user.
    """

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class CutArea:
    """An area of the scored regions that was cut out: its cells are not scored.

    `kind` says why: ``out of focus``, ``pen``, or ``fold``; `geometry` is in level-0 pixels, and `n_cells` counts the
    cells found in it, 0 where none were sought.
    """

    kind: Literal["out of focus", "pen", "fold"]
    geometry: Polygon | MultiPolygon
    n_cells: int = 0


@dataclass(frozen=True, slots=True)
class CellTable:
    """A table of N cells, one array per column: the in-memory form of ``cells.npz``, format 1.

    Attributes
    ----------
    uuid
        uint8 (N, 16), version 8 UUIDs (RFC 9562), big-endian bytes.
    centroid_xy
        float32 (N, 2), centroid of the nucleus (of the cell if it has none), level-0 pixels.
    cell_xy, cell_offsets
        float32 (P, 2) and int64 (N + 1); the vertices of cell i are ``cell_xy[o[i]:o[i + 1]]``, an open ring
        (first vertex not repeated) in level-0 pixels.
    nucleus_xy, nucleus_offsets
        The same for nuclei; an empty range means no nucleus.
    region
        int32 (N), index into the list of scored regions.
    measurements
        float32 (N, M); NaN means not measured.
    measurement_names
        The M names, each starting with ``HER2: `` and ending in its unit where it has one.
    cell_class
        uint8 (N), index into `class_names`; 255 (`NOT_MEASURED`) means not measured.
    class_names
        QuPath's names of the classes.
    """

    uuid: NDArray[np.uint8]
    centroid_xy: NDArray[np.float32]
    cell_xy: NDArray[np.float32]
    cell_offsets: NDArray[np.int64]
    nucleus_xy: NDArray[np.float32]
    nucleus_offsets: NDArray[np.int64]
    region: NDArray[np.int32]
    measurements: NDArray[np.float32]
    measurement_names: tuple[str, ...]
    cell_class: NDArray[np.uint8]
    class_names: tuple[str, ...] = CELL_CLASSES

    def __len__(self) -> int:
        return len(self.uuid)

    def outline(self, row: int) -> NDArray[np.float32]:
        """Return the outline of a cell, float32 (K, 2), an open ring in level-0 pixels; K is 0 where it has none."""
        return self.cell_xy[self.cell_offsets[row] : self.cell_offsets[row + 1]]

    def column(self, name: str) -> NDArray[np.float32]:
        """Return the measurement called `name`, float32 (N,); the KeyError of an unknown name lists the known ones."""
        if name not in self.measurement_names:
            raise KeyError(f"no measurement {name!r}; there are: {', '.join(self.measurement_names)}")
        column: NDArray[np.float32] = self.measurements[:, self.measurement_names.index(name)]
        return column


@dataclass(frozen=True, slots=True)
class PatchTable:
    """A table of N classified patches, one array per column: the in-memory form of ``patches.npz``, format 1.

    Attributes
    ----------
    uuid
        uint8 (N, 16), version 8 UUIDs (RFC 9562) of the run, big-endian bytes; numbered after the run's cells.
    box_xywh
        int32 (N, 4), left, top, width and height of the patch, level-0 pixels.
    region
        int32 (N), index into the list of scored regions: the one the patch was cut from.
    probabilities
        float32 (N, C), class probabilities 0..1; NaN means not predicted.
    patch_class
        uint8 (N), index into `class_names`; 255 for patches that were assigned no class.
    class_names
        The C names, used as classes of the tiles in QuPath. None may end in an intensity grade of cells
        (``Negative``, ``1+`` …): QuPath would count the patch as a cell in its H-score.
    """

    uuid: NDArray[np.uint8]
    box_xywh: NDArray[np.int32]
    region: NDArray[np.int32]
    probabilities: NDArray[np.float32]
    patch_class: NDArray[np.uint8]
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.uuid)


@dataclass(frozen=True, slots=True)
class Prediction:
    """A network's prediction for a region or an image: a class of its task, not a score by a guideline.

    Attributes
    ----------
    model
        Name of the checkpoint.
    task
        Task the model was trained on, i.e. its set of labels, e.g. ``her2-response``.
    class_name
        Predicted class; None if the model abstains.
    probabilities
        {class: probability, 0..1}.
    n_patches
        Number of patches predicted.
    rule
        The rule by which patch probabilities were combined, in words.
    """

    model: str
    task: str
    class_name: str | None
    probabilities: dict[str, float]
    n_patches: int
    rule: str


@dataclass(frozen=True, slots=True)
class Score:
    """The HER2 score of a region or an image, with the figures that explain it (``score.json``, format 1).

    Attributes
    ----------
    status
        ``scored``, ``not assessable``, ``predicted`` by a network, or ``proposed``: tumour regions, without a score.
    score
        ``0``, ``1+``, ``2+``, ``3+``; None unless scored.
    reason
        One sentence that explains the score or the refusal.
    guideline
        Name of the rule table, e.g. ``ASCO/CAP breast 2018/2023``; ``none`` for a prediction.
    guideline_origin
        Who decided on the guideline, see `CaseInfo`; "" where that was not recorded.
    shares
        {cell class: share of measured tumour cells, 0..1}.
    intervals
        {cell class: (low, high)}, 95 % Wilson intervals of the shares, 0..1.
    complete_share
        Share of cells with complete membrane staining of any intensity, 0..1.
    h_score
        H-score, 0..300.
    n_cells
        Measured tumour cells, the denominator.
    cells_to_next_score
        Fewest cells that would have to change class for the score to change; None if no number would do.
    tags
        For example ``HER2-low``, ``pattern_not_covered: ...``.
    warnings
        Warnings, one sentence each.
    refusal_code
        `Refusal.code` if not assessable.
    prediction
        The network's prediction, if predicted.
    tumour_probability
        Mean probability of tumour, 0..1, of the cells in a region that the program proposed; None for all others.
    """

    status: Literal["scored", "not assessable", "predicted", "proposed"]
    score: str | None
    reason: str
    guideline: str
    shares: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    complete_share: float | None = None
    h_score: float | None = None
    n_cells: int = 0
    cells_to_next_score: int | None = None
    tags: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    refusal_code: str | None = None
    prediction: Prediction | None = None
    tumour_probability: float | None = None
    guideline_origin: str = ""

    @property
    def guideline_words(self) -> str:
        """The guideline with its origin, e.g. ``ASCO/CAP breast 2018/2023 (default)``."""
        return f"{self.guideline} ({self.guideline_origin})" if self.guideline_origin else self.guideline

    @property
    def answer(self) -> str:
        """The result in a word or two: the score, predicted class, ``no class``, ``proposed`` or ``not assessable``."""
        if self.prediction is not None:
            return self.prediction.class_name or "no class"
        if self.status == "proposed":
            return self.status
        return self.score or "not assessable"


@dataclass(frozen=True, slots=True)
class SlideScore(Score):
    """The score of an image, and that of each of its regions by UUID (text form)."""

    regions: dict[str, Score] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImageResult:
    """The outcome of one job: the folder of the finished run, and its score.

    `state` is ``scored``, ``predicted``, ``proposed``, ``embedded``, ``not assessable``, ``up to date`` or ``failed``
    (then `error` holds the message, and `failure` its class, see `runs.failures`). `earlier` is a sentence on the
    image's score before this job where that one still counts, or where it was changed; "" otherwise. `is_current` is
    False where the earlier score still counts. `timings_s` holds {step: seconds} of what was done now.
    """

    image: str
    name: str
    state: Literal["scored", "predicted", "proposed", "embedded", "not assessable", "up to date", "failed"]
    run_dir: Path | None = None
    score: SlideScore | None = None
    error: str | None = None
    n_cells: int = 0
    seconds: float = 0.0
    earlier: str = ""
    is_current: bool = True
    failure: str = ""
    timings_s: dict[str, float] = field(default_factory=dict)
