"""Records of a run, and the protocol of a scoring method.

An image passes through a run in one carrier: `ImageSetup` before it is measured, `FinishedImage` afterwards. Both hold
the same `ImageContext`, the only place for warnings and a refusal; a step that adds to it returns a new one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qupath_her2.cells.membrane.class_model import ClassModel
    from qupath_her2.config import Settings
    from qupath_her2.models.card import ModelCard
    from qupath_her2.project.exchange.correction_files import CellCorrections
    from qupath_her2.project.geojson.regions import RegionFile
    from qupath_her2.records import CellTable, CutArea, PatchTable, Refusal, Region, SlideRef, SlideScore
    from qupath_her2.scoring.stain_stability import Restained
    from qupath_her2.slides.readers.slide import Slide
    from qupath_her2.slides.stains.vectors import StainVectors
    from qupath_her2.slides.tissue import Tissue

__all__ = [
    "ChosenProfile",
    "FinishedImage",
    "ImageContext",
    "ImageSetup",
    "Inputs",
    "Job",
    "Method",
    "Progress",
    "TumourOrigin",
    "TumourSearchUse",
]

#: Called with tiles done, tiles in total, and cells so far; may raise KeyboardInterrupt to cancel.
Progress: TypeAlias = Callable[[int, int, int], None]


class Job(Protocol):
    """One image and what is to be done with it; picklable, and done by `batch.job.perform`."""

    @property
    def image(self) -> str:
        """Folder name of the image in the exchange folder."""
        ...

    @property
    def name(self) -> str:
        """The file name that people know."""
        ...


#: Use of the tumour finder by a method: never, with ``--find-tumour`` where no region was drawn, or always.
TumourSearchUse: TypeAlias = Literal["never", "on request", "always"]

#: Where the tumour regions of a result come from, where tumour was to be searched for; "" where it was not.
TumourOrigin: TypeAlias = Literal["", "drawn", "proposed"]


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that the result of one image depends on, with its hashes.

    Attributes
    ----------
    pixel_size_um
        µm per level-0 pixel in use; None where neither user, QuPath nor file gives one.
    pixel_size_source
        ``flag``, ``QuPath``, ``file`` or ``unknown``.
    region_file
        Content of the region file; empty without one.
    regions
        Regions in use, all roles; TMA cores are already intersected with the tumour annotations.
    by_core
        Each region is a TMA core with a score of its own, and the slide has none.
    empty_cores
        TMA cores without tumour: no tumour annotation lies in them.
    whole_tissue
        No tumour region was drawn, and all tissue is to be measured.
    find_tumour
        The tissue is searched for tumour, and only what is found is kept.
    corrections
        What a person changed in the cells of earlier results; None where nobody did.
    deleted
        Proposals that a person deleted; where tumour is searched for, they are ignored.
    fingerprint
        Fingerprint of the image file's content.
    region_hash
        SHA-256 of the region file; None without one.
    hash
        The input hash, 64 hex digits.
    measurement_hash
        The input hash without guideline, limits and case, on which only the scoring of measured cells depends.
    outlines_hash
        Hash of all regions' outlines and roles, whatever their names and locks.
    card
        Card of the network that predicts patches, finds cells or finds the tumour; None without one.
    """

    # The source is recorded with the value: a wrong size in a file and a mistyped flag are corrected differently.
    pixel_size_um: float | None
    pixel_size_source: str
    region_file: RegionFile
    regions: tuple[Region, ...]
    by_core: bool
    whole_tissue: bool
    fingerprint: str
    region_hash: str | None
    hash: str
    measurement_hash: str
    outlines_hash: str = ""
    card: ModelCard | None = None
    empty_cores: tuple[Region, ...] = ()
    find_tumour: bool = False
    corrections: CellCorrections | None = None
    deleted: tuple[Region, ...] = ()


@dataclass(frozen=True, slots=True)
class ChosenProfile:
    """The cut-points that were chosen for an image because a profile was asked for.

    Attributes
    ----------
    name
        Name of the profile; where none fits, ``built-in`` or ``set by hand``.
    sentence
        The choice in words, for the score.
    digest
        SHA-256 of the profile's name and content; "" without one.
    classifier
        Class model of the profile; None grades by the cut-points alone.
    """

    name: str
    sentence: str
    digest: str = ""
    classifier: ClassModel | None = None

    @property
    def tag(self) -> str:
        """The cut-points for the score's tags."""
        return f"cut-points: {'profile ' * bool(self.digest)}{self.name}"

    @property
    def stored(self) -> Mapping[str, Any]:
        """What ``run.json`` keeps."""
        model = self.classifier
        weights = None if model is None else {"weights": model.weights, "levels": model.levels}
        return {"name": self.name, "sentence": self.sentence, "digest": self.digest, "classifier": weights}


@dataclass(frozen=True, slots=True)
class ImageContext:
    """Regions, stains, warnings and refusal of an image, from set-up to the finished run.

    Attributes
    ----------
    regions
        All regions, all roles; the whole-tissue region first where it stands in for the tumour.
    stains
        Stain vectors and glass colour in use.
    pixel_size_um
        µm per level-0 pixel; None where unknown.
    by_core
        Each region is a TMA core with a score of its own.
    warnings
        Sentences for the score and the report, in order of appearance.
    refusal
        Reason why the image is not assessable; None where it is.
    stain_origin
        Where the stain vectors come from and how far the image's own lie, for the score's tags; "" where it does not
        matter.
    cell_origin
        The network that found the cells, for the score's tags; "" for cells of the classical detector.
    restained
        Cells measured again with other stain vectors, for the score's stability.
    cut
        Areas of the scored regions that were cut out.
    tumour_origin
        Where the tumour regions come from, if tumour was to be searched for.
    corrections
        A sentence for the score on the cells that a person corrected; "" where nobody did.
    profile
        The cut-points that were chosen, where a profile was asked for.
    n_empty
        Number of existing cells that hold no nucleus and are not counted.
    """

    regions: tuple[Region, ...]
    stains: StainVectors
    pixel_size_um: float | None = None
    by_core: bool = False
    warnings: tuple[str, ...] = ()
    refusal: Refusal | None = None
    stain_origin: str = ""
    cell_origin: str = ""
    restained: tuple[Restained, ...] = ()
    cut: tuple[CutArea, ...] = ()
    tumour_origin: TumourOrigin = ""
    corrections: str = ""
    profile: ChosenProfile | None = None
    n_empty: int = 0

    def refused(self, refusal: Refusal | None) -> ImageContext:
        """Return this context with a refusal; the first one is kept."""
        # The first is the cause: an image without a pixel size also has no cells, but that is not what to tell.
        return self if refusal is None or self.refusal is not None else replace(self, refusal=refusal)

    def warned(self, *warnings: str) -> ImageContext:
        """Return this context with more warnings; order is kept, as run and rescore must write the same bytes."""
        return replace(self, warnings=(*self.warnings, *warnings)) if warnings else self


# Compared by identity: arrays and open slides have no equality that would mean anything.
@dataclass(frozen=True, slots=True, eq=False)
class ImageSetup:
    """An open image with everything that a method needs to measure it.

    Attributes
    ----------
    ref
        The image and its case.
    settings
        Settings of all rooms.
    slide
        The open image.
    inputs
        Pixel size, region file and hashes, from `runs.inputs.gather_inputs`.
    tissue
        Tissue mask of the image.
    context
        Regions, stains, warnings, refusal.
    alternative_stains
        {name: vectors}, other plausible stain vectors of this image.
    """

    ref: SlideRef
    settings: Settings
    slide: Slide
    inputs: Inputs
    tissue: Tissue
    context: ImageContext
    alternative_stains: dict[str, StainVectors] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class FinishedImage:
    """A measured and scored, or refused, image, ready to be written.

    Attributes
    ----------
    context
        Regions, stains, warnings, refusal.
    score
        Score of the image, with those of its regions.
    table
        The cells, classified; empty where none were measured.
    regions
        The scored regions, which the `region` column of `table` indexes.
    timings_s
        {step: seconds}.
    extra_files
        {name: bytes} of the method's own files.
    patches
        Patches with their class probabilities; None where no network predicted any.
    """

    context: ImageContext
    score: SlideScore
    # Never None: a result without cells has an empty table, so that writing needs no special case.
    table: CellTable
    regions: tuple[Region, ...] = ()
    timings_s: dict[str, float] = field(default_factory=dict)
    extra_files: dict[str, bytes] = field(default_factory=dict)
    patches: PatchTable | None = None


class Method(Protocol):
    """A scoring method: by cells, by IHC indicators, or by the patches of a network. Picklable.

    Everything that distinguishes the methods stands in their objects: the rest of a run never asks for a name.
    """

    @property
    def name(self) -> str:
        """``cells``, ``indicators`` or ``network``, as in ``run.json``."""
        ...

    # Read-only properties, which frozen dataclasses satisfy; plain attributes of a protocol would ask for setters.
    @property
    def is_ihc_only(self) -> bool:
        """Whether it needs haematoxylin and DAB; a classifier may be trained on any stain."""
        ...

    @property
    def pools_stains(self) -> bool:
        """Whether images without stain vectors of their own use those of their stain group."""
        ...

    @property
    def uses_existing_cells(self) -> bool:
        """Whether it measures the existing cells of the region file instead of finding cells."""
        ...

    @property
    def counts_cells(self) -> bool:
        """Whether its score counts the cells that QuPath shows, where a person may correct them."""
        ...

    @property
    def tumour_search(self) -> TumourSearchUse:
        """Whether it searches the tissue for tumour itself."""
        ...

    def check(self) -> None:
        """Raise ModelError or MissingExtraError where it cannot run at all, before any image is opened."""
        ...

    def card(self, pixel_size_um: float | None = None) -> ModelCard | None:
        """Return the card of its network for an image of this pixel size, µm; None where it uses none."""
        ...

    def measurement_settings(self, settings: Settings, card: ModelCard | None) -> dict[str, Any]:
        """Return everything its measurement depends on besides image, regions, stains and tissue.

        Parameters
        ----------
        settings
            Settings of all rooms.
        card
            Card of its network, from `card`.

        Returns
        -------
        dict[str, Any]
            Plain values and dataclasses; part of the input hash.
        """
        ...

    def scale_refusal(self, name: str, pixel_size_um: float | None, card: ModelCard | None) -> Refusal | None:
        """Return a refusal if an image of this pixel size cannot be measured, else None.

        Parameters
        ----------
        name
            File name of the image, for the message.
        pixel_size_um
            µm per level-0 pixel; None where unknown.
        card
            Card of its network, from `card`.

        Returns
        -------
        Refusal | None
            Its reason says what to do.
        """
        ...

    def record(self, pixel_size_um: float | None) -> dict[str, Any]:
        """Return the entries ``method``, ``network`` and ``cells`` of ``settings.used`` in ``run.json``.

        Parameters
        ----------
        pixel_size_um
            µm per level-0 pixel; None where unknown.

        Returns
        -------
        dict[str, Any]
            Plain values and paths.
        """
        ...

    def measure(self, setup: ImageSetup, *, progress: Progress | None, threads: int) -> FinishedImage:
        """Measure and score an image that was not refused at set-up.

        Parameters
        ----------
        setup
            The open image.
        progress
            Called with tiles done, tiles in total, cells so far.
        threads
            Threads for this image; the result does not depend on their number.

        Returns
        -------
        FinishedImage
            Also where the measurement itself ends in a refusal.
        """
        ...
