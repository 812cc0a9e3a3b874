"""Choices that the page offers: guidelines, and what finds the cells."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter

from qupath_her2.cells.detectors.plugins import detector_names
from qupath_her2.models.shipped import SHIPPED
from qupath_her2.scoring.guidelines import GUIDELINES

__all__ = ["CellFinder", "Choices", "GuidelineChoice", "choices_router"]


@dataclass(frozen=True, slots=True)
class GuidelineChoice:
    """A guideline by its key, as options name it, and its full name."""

    key: str
    name: str


@dataclass(frozen=True, slots=True)
class CellFinder:
    """What finds the cells: the name that options use, and its title."""

    name: str
    title: str


@dataclass(frozen=True, slots=True)
class Choices:
    """What can be chosen for a job of the verb ``score``; the first entry of each list is the usual one."""

    guidelines: tuple[GuidelineChoice, ...]
    cell_finders: tuple[CellFinder, ...]


def _cell_finders() -> tuple[CellFinder, ...]:
    return (
        CellFinder("detect", "The classical detector"),
        CellFinder("from-regions", "Cells in the regions file"),
        *(CellFinder(name, f"The network {name} of this program") for name in SHIPPED),
        *(CellFinder(name, f"The plug-in {name}") for name in detector_names()),
    )


def choices_router() -> APIRouter:
    """Return the route of the choices."""
    router = APIRouter(prefix="/api/v1", tags=["choices"])

    @router.get("/choices")
    def choices() -> Choices:
        """Return the guidelines and cell finders that options may name."""
        known = tuple(GuidelineChoice(one.key, one.name) for one in GUIDELINES.values())
        return Choices(known, _cell_finders())

    return router
