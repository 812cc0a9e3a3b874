"""Sources of cells: the classical detector, existing cells, a segmentation network, or a plug-in detector."""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qupath_her2.cells.detectors.plugins import detector_names, load_detector
from qupath_her2.cells.measure import measure_cells
from qupath_her2.errors import ModelError, SettingsError
from qupath_her2.models.card import ModelCard, identity, read_card
from qupath_her2.models.optional import need
from qupath_her2.models.shipped import SHIPPED, shipped_checkpoints
from qupath_her2.models.specs import MODELS
from qupath_her2.records import Refusal
from qupath_her2.runs.cut_areas import without_marks
from qupath_her2.runs.finder_choice import finder_trees

if TYPE_CHECKING:
    from qupath_her2.cells.measure import MeasuredCells
    from qupath_her2.config import Settings
    from qupath_her2.learning.segmentation.pixel_network import PixelNetwork
    from qupath_her2.learning.segmentation.slide_segmenter import SlideSegmenter
    from qupath_her2.models.settings import Precision, SegmentSettings
    from qupath_her2.runs.types import ImageSetup, Progress

__all__ = [
    "SEGMENTERS",
    "CellSource",
    "cell_network_settings",
    "cell_source",
    "check_cell_network",
    "coarse_refusal",
    "measured_cells",
    "slide_segmenter",
    "split_source",
]

#: Names of the networks that find cells, as in ``--cells NAME:CHECKPOINT``.
SEGMENTERS = tuple(name for name, spec in MODELS.items() if spec.kind == "segmentation")


@dataclass(frozen=True, slots=True)
class CellSource:
    """Source of the measured cells.

    Attributes
    ----------
    kind
        ``detect``: the classical detector; ``from-regions``: cells of the region file; ``network``: a segmenter;
        ``plugin``: a detector of another package.
    checkpoint
        Of a segmenter, path without ending; None where it is one of `shipped`.
    shipped
        Name of a model of the package, whose weights are chosen for each image by its pixel size.
    plugin
        Name of the detector, see `cells.detectors.plugins`.
    """

    kind: Literal["detect", "from-regions", "network", "plugin"] = "detect"
    checkpoint: Path | None = None
    shipped: str = ""
    plugin: str = ""

    @property
    def label(self) -> str:
        """Name of the source in ``run.json``: its kind, or the plug-in's name."""
        return self.plugin or self.kind

    def checkpoint_for(self, pixel_size_um: float | None) -> Path | None:
        """Return the checkpoint of the network that finds the cells of an image.

        Of a model of the package, these are the finest weights that can read the image: those for 0.25 µm/px up to
        0.266 µm/px (40x), those for 0.5 µm/px above (20x, and scans between). Pixels that are too coarse for all of
        them are refused in the name of the coarsest, see `coarse_refusal`.

        Parameters
        ----------
        pixel_size_um
            µm per level-0 pixel; None where unknown.

        Returns
        -------
        Path | None
            Path without ending; None where no network was named.
        """
        if not self.shipped:
            return self.checkpoint
        from qupath_her2.learning.segmentation.slide_segmenter import network_downsample

        found = shipped_checkpoints(self.shipped)
        if pixel_size_um is None:
            return found[0]
        fits = [path for path in found if network_downsample(pixel_size_um, read_card(path)) is not None]
        return fits[0] if fits else found[-1]


def split_source(text: str) -> tuple[str, str]:
    """Return the name of a source of cells and its checkpoint ("" without one).

    Parameters
    ----------
    text
        ``detect``, ``from-regions``, a network that comes with the package (`SHIPPED`), a detector of another package
        (`detector_names`), or a segmenter and its checkpoint, ``her2net:models/her2net/best``.

    Returns
    -------
    tuple[str, str]
        Name and checkpoint.

    Raises
    ------
    SettingsError
        It is none of these.
    """
    # At the first colon only: a Windows path has one of its own.
    name, colon, checkpoint = text.partition(":")
    if not colon and name in ("detect", "from-regions", *SHIPPED, *detector_names()):
        return name, ""
    if name in SEGMENTERS and checkpoint:
        return name, checkpoint
    raise SettingsError(
        f"Unknown source of cells {text!r}. Choose detect, from-regions, {', '.join(SHIPPED)} (ships with the package, "
        f"trained on drawn fields), {', '.join(detector_names())} (other packages), or MODEL:CHECKPOINT with MODEL one "
        f"of {', '.join(SEGMENTERS)}, e.g. her2net:study/her2/models/her2net/best."
    )


def cell_source(text: str) -> CellSource:
    """Return the source of cells that `text` names, after checking that it can be used.

    Parameters
    ----------
    text
        See `split_source`.

    Returns
    -------
    CellSource
        Checkpoints are absolute paths, so that workers in another directory find them.

    Raises
    ------
    SettingsError, ModelError, MissingExtraError
        There is no such source, its checkpoint is not a segmenter's, or its package is not installed.
    """
    name, checkpoint = split_source(text)
    if name == "detect":
        return CellSource()
    if name == "from-regions":
        return CellSource("from-regions")
    if not checkpoint and name not in SHIPPED:
        # Loaded now, so that a missing package is reported before the first slide.
        load_detector(name)
        return CellSource("plugin", plugin=name)
    if not checkpoint:
        for path in shipped_checkpoints(name):
            check_cell_network(path)
        return CellSource("network", shipped=name)
    path = Path(checkpoint).absolute()
    card = check_cell_network(path)
    # The name before the colon is redundant, but it makes a mixed-up path visible.
    if card.model != name:
        raise ModelError(
            f"Checkpoint '{path}' is of model '{card.model}', not of '{name}'. Pass --cells {card.model}:{checkpoint}"
        )
    return CellSource("network", path)


def check_cell_network(checkpoint: Path | None) -> ModelCard:
    """Return the card of a network that finds cells, after checking that it is a segmenter and can run here.

    Raises
    ------
    ModelError
        No checkpoint was named, its card is missing, or it is not a segmenter's.
    MissingExtraError
        torch or timm is not installed.
    """
    if checkpoint is None:
        raise ModelError(
            "No network was named to find cells. Pass --cells unet, or --cells her2net:CHECKPOINT."
        )
    # First, so that a missing package is told by its pip line and not by an ImportError.
    need("torch", "timm", "safetensors")
    card = read_card(checkpoint)
    from qupath_her2.learning.segmentation.pixel_network import check_segmenter

    check_segmenter(card, f"Checkpoint '{checkpoint}'")
    return card


def cell_network_settings(settings: Settings, card: ModelCard) -> dict[str, Any]:
    """Return everything the cells of a network depend on besides the image and the measurement settings.

    Parameters
    ----------
    settings
        Settings of all rooms.
    card
        Card of the network.

    Returns
    -------
    dict[str, Any]
        Part of the input hash.
    """
    segment = asdict(settings.segment)
    # Batch size and device change the last digits at most; a result must not go out of date by moving to a GPU.
    del segment["batch_size"]
    return {
        **identity(card),
        "segment": segment,
        "network_cells": settings.network_cells,
    }


def coarse_refusal(name: str, pixel_size_um: float, card: ModelCard) -> Refusal | None:
    """Return a refusal if a network cannot segment an image of this pixel size, else None.

    Parameters
    ----------
    name
        File name of the image, for the message.
    pixel_size_um
        µm per level-0 pixel.
    card
        Card of the network.

    Returns
    -------
    Refusal | None
        Its reason says what to do.
    """
    from qupath_her2.learning.segmentation.slide_segmenter import network_downsample

    # A network never sees enlarged pixels: detail that the scan lacks cannot be interpolated.
    if network_downsample(pixel_size_um, card) is not None:
        return None
    return Refusal(
        "pixels_too_coarse",
        f"image '{name}' has pixels of {pixel_size_um:g} µm, and network '{card.model}' finds cells at "
        f"{card.pixel_size_um:g} µm/px. Use a finer scan, leave --cells out for the classical detector, or train the "
        "network at this pixel size",
    )


def slide_segmenter(
    checkpoint: Path, card: ModelCard, setup: ImageSetup, pixel_size_um: float
) -> SlideSegmenter:
    """Return the segmenter of an open image, which predicts its tiles.

    Parameters
    ----------
    checkpoint, card
        The network.
    setup
        The open image with its settings.
    pixel_size_um
        µm per level-0 pixel.

    Returns
    -------
    SlideSegmenter
        Reads and predicts boxes of the slide at the network's own pixel size.

    Raises
    ------
    ModelError
        The checkpoint is damaged, or the slide is too coarse for it.
    """
    from qupath_her2.learning.segmentation.slide_segmenter import SlideSegmenter

    # Device and precision come from the settings of prediction, as for classifiers: one place to set them.
    predict = setup.settings.predict
    network = _loaded_network(
        checkpoint, card.weights_sha256, setup.settings.segment, predict.device, predict.precision
    )
    return SlideSegmenter(network, setup.slide, pixel_size_um)


# Two, since a folder may hold slides scanned at 20x and at 40x.
@functools.lru_cache(maxsize=2)
def _loaded_network(
    checkpoint: Path, weights_sha256: str, settings: SegmentSettings, device: str, precision: Precision
) -> PixelNetwork:
    """Load a network once for all images of a process; the hash notices new weights under the same file name."""
    from qupath_her2.learning.segmentation.pixel_network import PixelNetwork
    from qupath_her2.models.checkpoint import load_checkpoint

    model, card = load_checkpoint(checkpoint)
    return PixelNetwork(model, card, settings, device=device, precision=precision)


def measured_cells(
    source: CellSource, setup: ImageSetup, *, progress: Progress | None, threads: int
) -> tuple[MeasuredCells, dict[str, Any]]:
    """Measure the cells of an image that was not refused at set-up; nothing is scored.

    Parameters
    ----------
    source
        Where the cells come from.
    setup
        The open image.
    progress, threads
        As in `Method.measure`.

    Returns
    -------
    tuple[MeasuredCells, dict[str, Any]]
        The cells, and their source as arguments of `measure_cells`.
    """
    inputs, settings = setup.inputs, setup.settings
    # Without a pixel size the image was refused at set-up.
    assert inputs.pixel_size_um is not None
    segmenter = None
    checkpoint = source.checkpoint_for(inputs.pixel_size_um)
    if inputs.card is not None and checkpoint is not None:
        segmenter = slide_segmenter(checkpoint, inputs.card, setup, inputs.pixel_size_um)
    sources: dict[str, Any] = {
        "existing": inputs.region_file.existing_cells if source.kind == "from-regions" else None,
        "detector": load_detector(source.plugin) if source.kind == "plugin" else None,
        "classes": segmenter,
        "network": settings.network_cells,
    }
    cells = measure_cells(
        setup.slide,
        without_marks(setup.context.regions, setup.context.cut),
        pixel_size_um=inputs.pixel_size_um,
        stains=setup.context.stains,
        settings=settings.cells,
        tumour=settings.find_tumour.proposals if inputs.find_tumour else None,
        finder=finder_trees(settings) if inputs.find_tumour else None,
        workers=threads,
        progress=progress,
        **sources,
    )
    return cells, sources
