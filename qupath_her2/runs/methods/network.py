"""Classification of images by a network, of patches or of bags: what is the same for both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qupath_her2.models.card import ModelCard
    from qupath_her2.records import Refusal
    from qupath_her2.runs.types import TumourSearchUse

__all__ = ["NetworkMethod"]


class NetworkMethod:
    """Answers to `Method` that are the same for every network that classifies images.

    Attributes
    ----------
    checkpoint
        Of the network, path without ending.
    """

    __slots__ = ()

    checkpoint: Path

    @property
    def name(self) -> str:
        """Name of the method in ``run.json``."""
        return "network"

    @property
    def is_ihc_only(self) -> bool:
        """A network may be trained on any stain, H&E included."""
        return False

    @property
    def pools_stains(self) -> bool:
        """Stains are normalised by the network's own reference where it was trained with one."""
        return False

    @property
    def uses_existing_cells(self) -> bool:
        """A classifier sees patches, not cells."""
        return False

    @property
    def counts_cells(self) -> bool:
        """Patches or slides are predicted, no cells counted."""
        return False

    @property
    def tumour_search(self) -> TumourSearchUse:
        """Patches are classified in the regions, or in all tissue."""
        return "never"

    def scale_refusal(self, name: str, pixel_size_um: float | None, card: ModelCard | None) -> Refusal | None:
        """Return None, since cutting patches refuses pixels that are too coarse; see `Method.scale_refusal`."""
        return None

    def record(self, pixel_size_um: float | None) -> dict[str, Any]:
        """Return the method's entries in ``run.json``."""
        return {"method": self.name, "network": self.checkpoint, "cells": "detect"}
