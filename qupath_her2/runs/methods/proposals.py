"""The method ``proposals``: tumour regions are proposed for a person to accept, edit or delete; nothing is scored."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from qupath_her2.records import Score, SlideScore
from qupath_her2.runs.cell_sources import measured_cells
from qupath_her2.runs.cut_areas import marked_areas
from qupath_her2.runs.methods.cells import CellsMethod
from qupath_her2.runs.proposed_tumour import region_probabilities
from qupath_her2.runs.refused_image import empty_table, refused_image
from qupath_her2.runs.types import FinishedImage
from qupath_her2.runs.whole_tissue import with_run_uuids
from qupath_her2.scoring.reason import RESEARCH_USE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qupath_her2.cells.measure import MeasuredCells
    from qupath_her2.config import Settings
    from qupath_her2.models.card import ModelCard
    from qupath_her2.records import Refusal, Region
    from qupath_her2.runs.types import ImageSetup, Progress, TumourSearchUse

__all__ = ["ProposalsMethod"]

_NO_GUIDELINE = "none"
#: What a person does with proposals, in QuPath or in any editor of GeoJSON.
_NEXT = "Set the class of those that are invasive tumour to Tumor, edit or delete the others, then score."
_UM2_PER_MM2 = 1e6


@dataclass(frozen=True, slots=True)
class ProposalsMethod:
    """Proposal of tumour regions; their cells are measured to find them, and not kept.

    Attributes
    ----------
    cells
        Finds the cells.
    """

    cells: CellsMethod = field(default_factory=CellsMethod)

    @property
    def name(self) -> str:
        """Name of the method in ``run.json``."""
        return "proposals"

    @property
    def is_ihc_only(self) -> bool:
        """Nuclei are told from DAB by their stain."""
        return self.cells.is_ihc_only

    @property
    def pools_stains(self) -> bool:
        """Images share the stain vectors of their group."""
        return self.cells.pools_stains

    @property
    def uses_existing_cells(self) -> bool:
        """Whether the cells of the region file are searched."""
        return self.cells.uses_existing_cells

    @property
    def counts_cells(self) -> bool:
        """Nothing is scored."""
        return False

    @property
    def tumour_search(self) -> TumourSearchUse:
        """Tumour is searched for in all tissue that no region covers."""
        return "always"

    def check(self) -> None:
        """Raise ModelError, SettingsError or MissingExtraError where the source of cells cannot be used."""
        self.cells.check()

    def card(self, pixel_size_um: float | None = None) -> ModelCard | None:
        """Return the card of the network that finds cells at this pixel size; None without one."""
        return self.cells.card(pixel_size_um)

    def measurement_settings(self, settings: Settings, card: ModelCard | None) -> dict[str, Any]:
        """Return everything the measured cells depend on besides image, regions, stains and tissue."""
        return self.cells.measurement_settings(settings, card)

    def scale_refusal(self, name: str, pixel_size_um: float | None, card: ModelCard | None) -> Refusal | None:
        """Return why the network cannot segment an image of this pixel size, or None; see `Method.scale_refusal`."""
        return self.cells.scale_refusal(name, pixel_size_um, card)

    def record(self, pixel_size_um: float | None) -> dict[str, Any]:
        """Return the method's entries in ``run.json``."""
        return {**self.cells.record(pixel_size_um), "method": self.name}

    def measure(self, setup: ImageSetup, *, progress: Progress | None, threads: int) -> FinishedImage:
        """Search the tissue of an image for tumour; see `Method.measure`."""
        start = time.monotonic()
        marks = marked_areas(setup.tissue, setup.context.regions)
        setup = replace(setup, context=replace(setup.context, cut=marks))
        cells, _ = measured_cells(self.cells.source, setup, progress=progress, threads=threads)
        seconds = {"cells": round(time.monotonic() - start, 3)}
        context = setup.context.warned(*cells.warnings)
        if not cells.scored_regions:
            context = replace(context.refused(cells.refusal), regions=setup.inputs.regions)
            return replace(refused_image(context, setup.ref.case, setup.settings.scoring), timings_s=seconds)
        if cells.refusal is not None:
            # Regions are proposed all the same: where the tumour lies does not depend on what stains.
            context = context.warned(f"This image would not be scored: {cells.refusal.reason}.")
        regions = with_run_uuids(cells.scored_regions, setup.inputs.hash)
        context = replace(context, regions=(*regions, *setup.inputs.regions), by_core=False)
        score = _proposal_score(cells, regions, context.warnings, setup.inputs.pixel_size_um or 0.0)
        return FinishedImage(context, score, empty_table(), regions, timings_s=seconds)


def _proposal_score(
    cells: MeasuredCells, regions: tuple[Region, ...], warnings: tuple[str, ...], pixel_size_um: float
) -> SlideScore:
    """Return what was proposed in place of a score, for each region and for the image."""
    probabilities = region_probabilities(cells.table, len(regions))
    numbers: NDArray[Any] = cells.table.region
    found = {}
    for number, region in enumerate(regions):
        n_cells, mean = int((numbers == number).sum()), float(probabilities[number])
        found[str(region.uuid)] = Score(
            "proposed",
            None,
            f"Proposed: {n_cells:,} cells, mean probability of tumour {mean:.2f}. {RESEARCH_USE}",
            _NO_GUIDELINE,
            n_cells=n_cells,
            tumour_probability=round(mean, 4),
        )
    n, n_cells = len(regions), len(cells.table)
    area_mm2 = sum(region.geometry.area for region in regions) * pixel_size_um**2 / _UM2_PER_MM2
    what = "1 tumour region of" if n == 1 else f"{n:,} tumour regions of together"
    reason = f"{what} {area_mm2:.2g} mm² proposed, with {n_cells:,} cells; nobody has confirmed them. {_NEXT}"
    return SlideScore(
        "proposed",
        None,
        f"{reason} {RESEARCH_USE}",
        _NO_GUIDELINE,
        n_cells=n_cells,
        warnings=warnings,
        regions=found,
    )
