"""The method ``cells``: the cells of an image are measured, then scored by a guideline.

Measuring and scoring are separate because scoring needs no pixels: a run stores the estimates from which intensity and
pattern of each cell are graded, so that another guideline, other case data or other limits take moments.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from qupath_her2.cells.corrections import apply_corrections
from qupath_her2.cells.detectors.plugins import load_detector
from qupath_her2.cells.measure import MeasuredCells
from qupath_her2.cells.membrane.grading import GradingSettings, grade
from qupath_her2.cells.membrane.measurements import stored_estimates
from qupath_her2.cells.quality.empty_outlines import uncounted_sentence
from qupath_her2.cells.region_members import region_members
from qupath_her2.cells.restaining import RestainedCells, restain_cells
from qupath_her2.cells.reviewer_classes import with_reviewer_classes
from qupath_her2.cells.staining_columns import with_staining
from qupath_her2.cells.tumour.search import without_tumour
from qupath_her2.errors import ExchangeError
from qupath_her2.provenance import are_ours, object_uuids
from qupath_her2.records import NOT_MEASURED
from qupath_her2.regions import map_regions
from qupath_her2.report.stored import stored_regions
from qupath_her2.runs.cell_sources import (
    CellSource,
    cell_network_settings,
    check_cell_network,
    coarse_refusal,
    measured_cells,
)
from qupath_her2.runs.class_model_grading import class_model_regrade, stored_profile
from qupath_her2.runs.cut_areas import marked_areas, marked_warnings, stored_cut, without_marks
from qupath_her2.runs.proposed_tumour import with_tumour_origin
from qupath_her2.runs.scale_doubt import with_scale_doubt
from qupath_her2.runs.types import FinishedImage, ImageContext
from qupath_her2.runs.whole_tissue import with_run_uuids
from qupath_her2.scoring.deciding import deciding_cells
from qupath_her2.scoring.guidelines import guideline_for
from qupath_her2.scoring.reason import with_sentence
from qupath_her2.scoring.rules import fact_counts
from qupath_her2.scoring.score_cells import score_cells
from qupath_her2.scoring.stain_stability import Restained, with_stain_stability
from qupath_her2.slides.stains.groups import deviation_deg
from qupath_her2.slides.stains.vectors import StainVectors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from qupath_her2.config import Settings
    from qupath_her2.models.card import ModelCard
    from qupath_her2.project.exchange.correction_files import CellCorrections
    from qupath_her2.project.exchange.run_record import RunRecord
    from qupath_her2.records import CaseInfo, CellTable, Refusal, SlideScore
    from qupath_her2.runs.types import ImageSetup, Progress, TumourSearchUse
    from qupath_her2.scoring.score_cells import ScoringSettings

__all__ = ["CellsMethod", "load_measured_cells", "score_measured_cells"]

#: Refusal codes of images whose cells were measured (None: not refused). Another guideline or other limits may lift
#: them; every other refusal came before the measurement, and there are no cells to score again.
_SCORED_AGAIN = (None, "too_few_cells", "tma_cores")


@dataclass(frozen=True, slots=True)
class CellsMethod:
    """Scoring by cells and a guideline.

    Attributes
    ----------
    source
        Where the measured cells come from.
    """

    source: CellSource = field(default_factory=CellSource)

    @property
    def name(self) -> str:
        """Name of the method in ``run.json``."""
        return "cells"

    @property
    def is_ihc_only(self) -> bool:
        """Membranes are measured in the DAB of HER2 IHC."""
        return True

    @property
    def pools_stains(self) -> bool:
        """Images share the stain vectors of their group."""
        return True

    @property
    def uses_existing_cells(self) -> bool:
        """Whether the cells of the region file are measured."""
        return self.source.kind == "from-regions"

    @property
    def counts_cells(self) -> bool:
        """A person's corrections of its cells count."""
        return True

    @property
    def tumour_search(self) -> TumourSearchUse:
        """Tumour is searched for with ``--find-tumour``, where no tumour region was drawn."""
        return "on request"

    def check(self) -> None:
        """Raise ModelError, SettingsError or MissingExtraError where the source of cells cannot be used."""
        if self.source.kind == "network":
            check_cell_network(self.source.checkpoint_for(None))
        elif self.source.kind == "plugin":
            load_detector(self.source.plugin)

    def card(self, pixel_size_um: float | None = None) -> ModelCard | None:
        """Return the card of the network that finds cells at this pixel size; None without one."""
        if self.source.kind != "network":
            return None
        return check_cell_network(self.source.checkpoint_for(pixel_size_um))

    def measurement_settings(self, settings: Settings, card: ModelCard | None) -> dict[str, Any]:
        """Return everything the measured cells depend on besides image, regions, stains and tissue."""
        used: dict[str, Any] = {"cells": settings.cells}
        if card is not None:
            used |= cell_network_settings(settings, card)
        if self.source.kind == "plugin":
            used["detector"] = load_detector(self.source.plugin).name
        return used

    def scale_refusal(self, name: str, pixel_size_um: float | None, card: ModelCard | None) -> Refusal | None:
        """Return why the network cannot segment an image of this pixel size, or None; see `Method.scale_refusal`."""
        if card is None or pixel_size_um is None:
            return None
        return coarse_refusal(name, pixel_size_um, card)

    def record(self, pixel_size_um: float | None) -> dict[str, Any]:
        """Return the method's entries in ``run.json``."""
        checkpoint = self.source.checkpoint_for(pixel_size_um)
        return {"method": self.name, "network": checkpoint, "cells": self.source.label}

    def measure(self, setup: ImageSetup, *, progress: Progress | None, threads: int) -> FinishedImage:
        """Measure the cells of an image and score them; see `Method.measure`."""
        start = time.monotonic()
        inputs, settings, context = setup.inputs, setup.settings, setup.context
        # Without a pixel size the image was refused at set-up.
        assert inputs.pixel_size_um is not None
        if inputs.card is not None:
            context = replace(
                context, cell_origin=f"cells by {inputs.card.model}, {inputs.card.pixel_size_um:g} µm/px"
            )
        marks = marked_areas(setup.tissue, context.regions)
        context = replace(context, cut=marks).warned(*marked_warnings(marks, inputs.pixel_size_um))
        setup = replace(setup, context=context)
        cells, sources = measured_cells(self.source, setup, progress=progress, threads=threads)
        context = context.warned(*cells.warnings).refused(cells.refusal)
        context = replace(
            context,
            cut=(*context.cut, *cells.cut),
            n_empty=0 if cells.empty is None else cells.empty.n_empty,
        )
        regions = context.regions
        if inputs.find_tumour:
            # TMA cores are drawn too, but only the tumour found in them is measured.
            context = replace(context, regions=(*cells.proposed, *inputs.regions))
            regions = (*cells.proposed, *without_tumour(inputs.regions))
        if cells.refusal is None:
            found = restain_cells(
                setup.slide,
                cells,
                without_marks(regions, setup.context.cut),
                setup.alternative_stains,
                searched=without_marks(setup.context.regions, marks) if inputs.find_tumour else None,
                pixel_size_um=inputs.pixel_size_um,
                settings=settings.cells,
                workers=threads,
                **sources,
            )
            context = replace(context, restained=_counted(cells, found, setup))
        finished = score_measured_cells(
            cells,
            context,
            case=setup.ref.case,
            scoring=settings.scoring,
            input_hash=inputs.hash,
            corrections=inputs.corrections,
        )
        measured_s = round(time.monotonic() - start - finished.timings_s["score"], 3)
        return replace(finished, timings_s={"cells": measured_s, **finished.timings_s})


def _counted(
    cells: MeasuredCells, found: Mapping[str, RestainedCells], setup: ImageSetup
) -> tuple[Restained, ...]:
    """Count the cells that were measured again, by intensity and pattern, with those of the same tiles before."""
    used = setup.context.stains
    restained = []
    for name, again in found.items():
        other = setup.alternative_stains[name]
        away = deviation_deg(other, used)
        before = fact_counts(cells.intensity[again.before], cells.pattern[again.before])
        after = fact_counts(again.intensity, again.pattern)
        restained.append(Restained(name, round(away, 1), _rows(before), _rows(after)))
    return tuple(restained)


def _rows(counts: NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(row) for row in counts.tolist())


def score_measured_cells(
    cells: MeasuredCells,
    context: ImageContext,
    *,
    case: CaseInfo,
    scoring: ScoringSettings,
    input_hash: str,
    corrections: CellCorrections | None = None,
) -> FinishedImage:
    """Score measured cells by a guideline, and give our own cells their UUIDs.

    Parameters
    ----------
    cells
        From `measure_cells` or `load_measured_cells`.
    context
        Of the image; its warnings and refusal enter the score.
    case
        Chooses the guideline and adds the ISH result.
    scoring
        Guideline and limits.
    input_hash
        Of the run, 64 hex digits.
    corrections
        What a person changed in the cells of earlier results, where `cells` do not follow it yet.

    Returns
    -------
    FinishedImage
        With the classified cells; existing cells from QuPath keep their UUIDs.
    """
    start = time.monotonic()
    if corrections is not None and context.refusal is None:
        cells, corrected = apply_corrections(cells, corrections, map_regions(context.regions))
        context = replace(context, corrections=corrected.sentence)
    regions = with_run_uuids(cells.scored_regions, input_hash)
    guideline = guideline_for(case, scoring.guideline)
    model = None if context.profile is None else context.profile.classifier
    regrade = cells.regrade if model is None else class_model_regrade(cells, model, guideline)
    intensity, pattern = regrade(0.0)
    table = cells.table
    # NaN coordinates without a pixel size: distances are then "not measured" rather than wrong.
    centroid_xy_um = table.centroid_xy * (context.pixel_size_um or np.nan)
    members = region_members(table, regions)
    classes, score = score_cells(
        intensity,
        pattern,
        table.region,
        [str(region.uuid) for region in regions],
        case=case,
        settings=replace(scoring, pool_regions=False) if context.by_core else scoring,
        centroid_xy_um=centroid_xy_um,
        refusal=context.refusal,
        regrade=regrade,
        warnings=context.warnings,
        members=members,
        n_told=context.n_empty,
    )
    deciding = deciding_cells(
        score,
        intensity,
        pattern,
        members or (table.region == number for number in range(len(regions))),
        guideline,
        scoring,
        centroid_xy_um=centroid_xy_um,
    )
    score = _with_origins(score, fact_counts(intensity, pattern), context, case, scoring)
    score = with_scale_doubt(with_tumour_origin(score, context.tumour_origin, table, regions))
    uuid = table.uuid.copy()
    # Existing cells keep their identity. Cells of ours have no UUID yet (all zero), or one of an earlier score.
    mine = are_ours(uuid) | ~uuid.any(axis=1)
    uuid[mine] = object_uuids(input_hash, int(mine.sum()))
    return FinishedImage(
        context,
        score,
        with_staining(replace(table, cell_class=classes, uuid=uuid), intensity, pattern, deciding),
        regions,
        timings_s={"score": round(time.monotonic() - start, 3)},
    )


def _with_origins(
    score: SlideScore,
    counts: NDArray[np.int64],
    context: ImageContext,
    case: CaseInfo,
    scoring: ScoringSettings,
) -> SlideScore:
    """Return a score that states who found its cells, its stain vectors, and whether others would have changed it."""
    if context.n_empty and score.n_cells:
        score = replace(score, reason=with_sentence(score.reason, uncounted_sentence(context.n_empty)))
    if context.corrections:
        score = replace(score, reason=with_sentence(score.reason, context.corrections))
    if context.profile is not None and score.n_cells:
        score = replace(
            score,
            reason=with_sentence(score.reason, context.profile.sentence),
            tags=(*score.tags, context.profile.tag),
        )
    # Where nothing was measured, no network ran.
    if context.cell_origin and score.n_cells:
        score = replace(score, tags=(*score.tags, context.cell_origin))
    if score.score is None and not context.by_core:
        return score
    if context.stain_origin:
        score = replace(score, tags=(*score.tags, context.stain_origin))
    guideline = guideline_for(case, scoring.guideline)
    return with_stain_stability(score, counts, guideline, context.restained, noise_floor=scoring.noise_floor)


def load_measured_cells(
    run_dir: Path, record: RunRecord, table: CellTable | None, score: SlideScore
) -> tuple[MeasuredCells, ImageContext] | None:
    """Return the measured cells stored in a run; None where it was refused or scored by another method.

    Parameters
    ----------
    run_dir, record, table, score
        From `read_run`.

    Returns
    -------
    tuple[MeasuredCells, ImageContext] | None
        The cells without classes, and the context in which they were measured.

    Raises
    ------
    ExchangeError
        The run's files are damaged or do not match.
    """
    if table is None or not len(table) or score.refusal_code not in _SCORED_AGAIN:
        return None
    try:
        used = record.settings["used"]
        regions = stored_regions(run_dir, record)
        # Graded by the settings of the stored run, not today's: those are part of the measurement hash.
        grading = GradingSettings(**record.settings["cells"]["grading"])
        estimates = stored_estimates(table)
        intensity, pattern = with_reviewer_classes(table, *grade(estimates, grading))
        cells = MeasuredCells(
            table=replace(table, cell_class=np.full(len(table), NOT_MEASURED, np.uint8)),
            intensity=intensity,
            pattern=pattern,
            scored_regions=regions,
            refusal=None,
            warnings=(),
            estimates=estimates,
            grading=grading,
        )
        context = ImageContext(
            regions,
            _stain_vectors(used["stains"]),
            float(record.image["pixel_size_um"]),
            bool(used["by_core"]),
            record.warnings,
            stain_origin=str(used["stain_origin"]),
            # Runs of earlier versions never searched, and did not state the network here.
            tumour_origin=used.get("tumour_origin", ""),
            corrections=used.get("corrections", ""),
            n_empty=int(used.get("n_empty", 0)),
            cell_origin=str(used.get("cell_origin", "")),
            profile=stored_profile(used.get("profile")),
            # Runs of earlier versions cut nothing out.
            cut=stored_cut(used.get("cut", ())),
            restained=tuple(
                Restained(str(other["name"]), float(other["deviation_deg"]), other["before"], other["after"])
                for other in used["restained"]
            ),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExchangeError(
            f"'{run_dir}' is damaged ({error}). Score the image again with --force (run or predict)."
        ) from error
    return cells, context


def _stain_vectors(stored: dict[str, Any]) -> StainVectors:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
    }
    return StainVectors(**values)
