"""Options of a run and the job of one image, from the command line to the worker process."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from uuid import UUID

from qupath_her2.config import Settings
from qupath_her2.errors import SettingsError
from qupath_her2.records import SlideRef
from qupath_her2.runs.methods.cells import CellsMethod
from qupath_her2.runs.types import ChosenProfile, Method
from qupath_her2.slides.stains.estimate import StainDirections
from qupath_her2.slides.stains.vectors import StainVectors

__all__ = ["RunOptions", "ScoreJob"]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Choices that hold for all images of a run.

    Attributes
    ----------
    images
        Names or patterns; empty takes all images.
    out
        The exchange folder; None takes ``her2`` in the project's folder.
    method
        Scoring method: `CellsMethod`, `IndicatorsMethod` or `PatchesMethod`.
    pixel_size_um
        µm per level-0 pixel given by the user; wins over QuPath's and the file's.
    series, plane
        Picture and plane of the images in `images`, where files hold several; None leaves them to the settings.
    whole_tissue
        Score all tissue where there is no tumour region.
    find_tumour
        Search the tissue for tumour where there is no tumour region, and score what is found.
    region
        The annotation that is scored, alone and whatever its class; None scores the tumour regions.
    profile
        Name or file of a profile of cut-points, ``auto``, or ``none``; None takes what the settings say.
    guideline
        Name of the guideline; wins over everything else that says which, see `runs.guideline_choice`.
    site, specimen
        Override ``cases.csv``.
    geojson
        Also write ``cells.geojson.gz``.
    force
        Redo what is up to date.
    command
        The command line as typed, for ``run.json``.
    debug
        Raise errors with their traceback instead of reporting the image as failed.
    """

    # Tuples and frozen records only: options are pickled to workers, and must not change on the way.
    images: tuple[str, ...] = ()
    out: Path | None = None
    method: Method = field(default_factory=CellsMethod)
    pixel_size_um: float | None = None
    series: int | None = None
    plane: int | None = None
    whole_tissue: bool = False
    find_tumour: bool = False
    region: UUID | None = None
    profile: str | None = None
    guideline: str | None = None
    site: Literal["breast", "gastric"] | None = None
    specimen: Literal["biopsy", "resection"] | None = None
    geojson: bool = False
    force: bool = False
    command: tuple[str, ...] = ()
    debug: bool = False

    def searches_tumour(self, settings: Settings) -> bool:
        """Return whether images without a tumour region are searched for tumour."""
        use = self.method.tumour_search
        # A flag wins over her2.toml, where the two choices exclude each other.
        is_wanted = self.find_tumour or (settings.find_tumour.is_on and not self.whole_tissue)
        return use == "always" or (use == "on request" and is_wanted)

    def check_search(self) -> None:
        """Raise SettingsError where ``--find-tumour`` contradicts the other flags."""
        if not self.find_tumour:
            return
        if self.method.tumour_search == "never":
            raise SettingsError(
                f"--find-tumour goes with scoring by cells, not with the method '{self.method.name}', which has its "
                "own way to find tumour or takes the regions. Leave --find-tumour out."
            )
        if self.whole_tissue:
            raise SettingsError(
                "--find-tumour scores the tumour that it finds, --whole-tissue everything on the glass. Leave one out."
            )


# One image and the options of its run: a worker needs nothing else, and reads no settings file of its own.
@dataclass(frozen=True, slots=True)
class ScoreJob:
    """Everything that scoring one image needs; picklable, so that any batch engine can send it to a worker.

    Attributes
    ----------
    ref
        The image, its region file, its case, and QuPath's pixel size where known.
    out
        The exchange folder.
    settings
        Settings of all rooms.
    stains
        Stain vectors for this image. Its glass colour is still measured unless the vectors come from QuPath. None for
        QuPath's defaults, and where the method needs none.
    options
        Options of the run.
    own_stains
        Stain directions found in this image alone; None where it was not sampled for its group.
    profile
        Where a profile was asked for: what was chosen. Its cut-points are those in `settings` already.
    """

    ref: SlideRef
    out: Path
    settings: Settings = field(default_factory=Settings)
    stains: StainVectors | None = None
    options: RunOptions = field(default_factory=RunOptions)
    own_stains: StainDirections | None = None
    profile: ChosenProfile | None = None

    @property
    def image(self) -> str:
        """The image's folder name in the exchange folder."""
        return self.ref.id

    @property
    def name(self) -> str:
        """The file name that people know."""
        return self.ref.name

    @property
    def method(self) -> Method:
        """Scoring method of the run."""
        return self.options.method

    @property
    def searches_tumour(self) -> bool:
        """Whether the image is searched for tumour if it has no tumour region."""
        return self.options.searches_tumour(self.settings)
