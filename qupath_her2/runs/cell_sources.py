"""Whose cells are measured: the classical detector's, those that are there already, or a network's."""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qupath_her2.errors import ModelError, SettingsError
from qupath_her2.learning.segmentation.pixel_network import PixelNetwork, check_segmenter
from qupath_her2.learning.segmentation.slide_segmenter import SlideSegmenter, network_downsample
from qupath_her2.models.card import ModelCard, identity, read_card
from qupath_her2.models.optional import need
from qupath_her2.models.shipped import SHIPPED, shipped_checkpoint
from qupath_her2.models.specs import MODELS
from qupath_her2.records import Refusal

if TYPE_CHECKING:
    from qupath_her2.models.settings import Precision, SegmentSettings
    from qupath_her2.runs.score_image import ScoreJob
    from qupath_her2.slides.readers.slide import Slide

__all__ = [
    "SEGMENTERS",
    "CellSource",
    "cell_network_settings",
    "cell_source",
    "check_cell_network",
    "coarse_refusal",
    "network_on",
    "split_source",
]

#: Networks that find cells, by the name that stands before the checkpoint.
SEGMENTERS = tuple(name for name, spec in MODELS.items() if spec.kind == "segmentation")


@dataclass(frozen=True, slots=True)
class CellSource:
    """Whose cells are measured; `checkpoint` of a network's, path without ending."""

    kind: Literal["detect", "from-regions", "network"] = "detect"
    checkpoint: Path | None = None


def split_source(text: str) -> tuple[str, str]:
    """Return the words of a source of cells: what, and its checkpoint ("" without one).

    Parameters
    ----------
    text
        ``detect``, ``from-regions``, a network that comes with the package (`SHIPPED`), or a segmenter and its
        checkpoint, ``her2net:models/her2net/best``.

    Raises
    ------
    SettingsError
        It is none of these.
    """
    name, colon, checkpoint = text.partition(":")
    if not colon and name in ("detect", "from-regions", *SHIPPED):
        return name, ""
    if name in SEGMENTERS and checkpoint:
        return name, checkpoint
    raise SettingsError(
        f"Unknown source of cells {text!r}. There are detect, from-regions, {', '.join(SHIPPED)} (trained on drawn "
        f"fields, comes with the package), and MODEL:CHECKPOINT with MODEL one of {', '.join(SEGMENTERS)}, e.g. "
        "her2net:study/her2/models/her2net/best."
    )


def cell_source(text: str) -> CellSource:
    """Return whose cells `text` asks for, and make sure that they can be had.

    Parameters
    ----------
    text
        See `split_source`.

    Raises
    ------
    SettingsError, ModelError, MissingExtraError
        It asks for nothing that there is, or for a checkpoint that is not what it must be.
    """
    name, checkpoint = split_source(text)
    if name == "detect":
        return CellSource()
    if name == "from-regions":
        return CellSource("from-regions")
    path = Path(checkpoint).absolute() if checkpoint else shipped_checkpoint(name)
    card = check_cell_network(path)
    if card.model != name:
        raise ModelError(
            f"Checkpoint '{path}' is of model '{card.model}', not of '{name}'. Write --cells {card.model}:{checkpoint}"
        )
    return CellSource("network", path)


def check_cell_network(checkpoint: Path | None) -> ModelCard:
    """Return the card of a network that is to find cells, once it is sure that it can.

    Raises
    ------
    ModelError
        There is no card, or it is not that of a segmenter.
    MissingExtraError
        What runs a network is not installed.
    """
    if checkpoint is None:
        raise ModelError(
            "No network was named to find cells. Write --cells unet, or --cells her2net:CHECKPOINT."
        )
    need("torch", "timm", "safetensors")
    card = read_card(checkpoint)
    check_segmenter(card, f"Checkpoint '{checkpoint}'")
    return card


def cell_network_settings(job: ScoreJob, card: ModelCard) -> dict[str, Any]:
    """Return all that the cells of a network depend on, besides the image and the settings of measuring."""
    segment = asdict(job.settings.segment)
    # How many windows go together changes the last digits at most, as does the device.
    del segment["batch_size"]
    return {
        **identity(card),
        "segment": segment,
        "network_cells": job.settings.network_cells,
    }


def coarse_refusal(name: str, pixel_size_um: float, card: ModelCard) -> Refusal | None:
    """Return why a network cannot look at an image of this scale, or None.

    Parameters
    ----------
    name
        Of the image, for the message.
    pixel_size_um
        Of its level 0, µm.
    card
        Of the network.
    """
    if network_downsample(pixel_size_um, card) is not None:
        return None
    return Refusal(
        "pixels_too_coarse",
        f"image '{name}' has pixels of {pixel_size_um:g} µm, and network '{card.model}' finds cells at "
        f"{card.pixel_size_um:g} µm/px, which cannot be had from them. Take a finer scan, leave --cells out for the "
        "classical detector, or train the network at this scale",
    )


def network_on(job: ScoreJob, card: ModelCard, slide: Slide, pixel_size_um: float) -> SlideSegmenter:
    """Return the job's network, looking at a slide.

    Raises
    ------
    ModelError
        The checkpoint is damaged, or the slide too coarse for it.
    """
    assert job.checkpoint is not None
    predict = job.settings.predict
    network = _loaded(
        job.checkpoint, card.weights_sha256, job.settings.segment, predict.device, predict.precision
    )
    return SlideSegmenter(network, slide, pixel_size_um)


@functools.lru_cache(maxsize=1)
def _loaded(
    checkpoint: Path, weights_sha256: str, settings: SegmentSettings, device: str, precision: Precision
) -> PixelNetwork:
    """Load a network once for all images of a process; the hash is there as another one may have its name."""
    from qupath_her2.models.checkpoint import load_checkpoint

    model, card = load_checkpoint(checkpoint)
    return PixelNetwork(model, card, settings, device=device, precision=precision)
