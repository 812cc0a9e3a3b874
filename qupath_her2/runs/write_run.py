"""What a job writes: one finished run, with everything needed to look at it, check it and repeat it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qupath_her2.config import settings_as_dict
from qupath_her2.project.exchange.cell_files import write_cells
from qupath_her2.project.exchange.images import exchange_root
from qupath_her2.project.exchange.patch_files import write_patches
from qupath_her2.project.exchange.runs import new_run, read_run
from qupath_her2.project.exchange.score_files import regions_geojson, score_json
from qupath_her2.project.geojson.write_cells import write_cells_geojson
from qupath_her2.provenance import RunRecord
from qupath_her2.report.pictures import draw_overlay, encode_jpeg

if TYPE_CHECKING:
    from pathlib import Path

    from qupath_her2.project.exchange.locks import ImageLock
    from qupath_her2.project.exchange.runs import RunWriter
    from qupath_her2.records import CellTable, PatchTable, Region, SlideScore
    from qupath_her2.runs.inputs import Inputs
    from qupath_her2.runs.score_image import ScoreJob
    from qupath_her2.slides.readers.slide import Slide
    from qupath_her2.slides.stains.vectors import StainVectors

__all__ = ["CELLS_GEOJSON", "Outcome", "add_geojson", "cell_counts", "write_files", "write_run"]

CELLS_GEOJSON = "cells.geojson.gz"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What measuring and scoring an image gave.

    Attributes
    ----------
    score
        The image's, with its regions'.
    table
        The cells, classified; empty where none were measured.
    regions
        The scored regions that the table's `region` column indexes.
    drawn_regions
        All regions, for the picture.
    stains
        Vectors and glass colour that were used.
    warnings
        Of the measurement; the score's own stand in it.
    timings_s
        {step: seconds}.
    extra_files
        {name: bytes} of the method's own files.
    by_core
        Each region is a TMA core with a score of its own.
    patches
        What a network said of each patch; None where none was asked.
    """

    score: SlideScore
    table: CellTable
    regions: tuple[Region, ...]
    drawn_regions: tuple[Region, ...]
    stains: StainVectors
    warnings: tuple[str, ...] = ()
    timings_s: dict[str, float] = field(default_factory=dict)
    extra_files: dict[str, bytes] = field(default_factory=dict)
    by_core: bool = False
    patches: PatchTable | None = None


def write_run(
    job: ScoreJob, lock: ImageLock, slide: Slide | None, inputs: Inputs, outcome: Outcome, *, seconds: float
) -> Path:
    """Write the run of an image and make it the one that counts; returns its folder.

    `slide` is None for an image that was refused before it was opened.

    Raises
    ------
    OutputError
        Read-only folder, full disk; the image keeps its former run.
    """
    with new_run(lock, inputs.hash) as writer:
        write_files(writer, outcome, slide, geojson=job.geojson)
        writer.finish(_record(job, slide, inputs, outcome, seconds))
    return writer.final


def write_files(writer: RunWriter, outcome: Outcome, slide: Slide | None, *, geojson: bool) -> None:
    """Write the files of a run, all but its record; without a slide there is no overlay."""
    with writer.open("cells.npz") as file:
        write_cells(file, outcome.table)
    if outcome.patches is not None:
        with writer.open("patches.npz") as file:
            write_patches(file, outcome.patches)
    writer.write("regions.geojson", regions_geojson(outcome.regions, outcome.score.regions))
    writer.write("score.json", score_json(outcome.score))
    if slide is not None:
        overlay = draw_overlay(slide, outcome.table, outcome.drawn_regions, patches=outcome.patches)
        writer.write("overlay.jpg", encode_jpeg(overlay))
    for name, data in outcome.extra_files.items():
        writer.write(name, data)
    if geojson:
        _write_geojson(writer, outcome.table)


def add_geojson(lock: ImageLock, run_dir: Path) -> Path:
    """Return a run that has `CELLS_GEOJSON`: `run_dir`, or a copy of it with the file, which then counts."""
    record, table, _ = read_run(run_dir)
    if CELLS_GEOJSON in record.files or table is None:
        return run_dir
    with new_run(lock, record.input_hash) as writer:
        for name in record.files:
            shutil.copyfile(run_dir / name, writer.folder / name)
        _write_geojson(writer, table)
        writer.finish(record)
    return writer.final


def _write_geojson(writer: RunWriter, table: CellTable) -> None:
    with writer.open(CELLS_GEOJSON) as file:
        write_cells_geojson(file, table)


def _record(
    job: ScoreJob, slide: Slide | None, inputs: Inputs, outcome: Outcome, seconds: float
) -> RunRecord:
    hashes = {"image": inputs.fingerprint, "measurement": inputs.measurement_hash}
    if inputs.region_hash is not None:
        hashes["regions"] = inputs.region_hash
    if inputs.card is not None:
        hashes["weights"] = inputs.card.weights_sha256
    return RunRecord(
        run="",
        input_hash=inputs.hash,
        image={
            "id": job.image,
            "name": job.name,
            "path": _relative(job.ref.path, job.out),
            "entry_id": job.ref.entry_id,
            "chain": job.ref.chain,
            "width": job.ref.width if slide is None else slide.width,
            "height": job.ref.height if slide is None else slide.height,
            "reader": None if slide is None else slide.reader,
            "qupath_pixel_size_um": job.ref.pixel_size_um,
            "pixel_size_um": inputs.pixel_size_um,
            "pixel_size_source": inputs.pixel_size_source,
            "case": job.ref.case,
        },
        command=job.command,
        settings={
            **settings_as_dict(job.settings),
            "used": {
                "method": job.method,
                "network": job.checkpoint,
                "cells": job.cells,
                "whole_tissue": inputs.whole_tissue,
                "by_core": outcome.by_core,
                "stains": outcome.stains,
            },
        },
        inputs=hashes,
        counts=cell_counts(outcome),
        timings_s={**outcome.timings_s, "total": round(seconds, 3)},
        warnings=outcome.warnings,
        regions=tuple(_region_entry(region, inputs.pixel_size_um) for region in outcome.regions),
        cells={
            "measurements": list(outcome.table.measurement_names),
            "classes": list(outcome.table.class_names),
        },
        patches={} if outcome.patches is None else {"classes": list(outcome.patches.class_names)},
        quarantined=inputs.region_file.quarantined,
    )


def cell_counts(outcome: Outcome) -> dict[str, int]:
    """Return the counts for ``run.json``: cells, measured cells, cells of each class."""
    table = outcome.table
    counts = {"cells": len(table), "cells_measured": outcome.score.n_cells}
    if outcome.patches is not None:
        counts["patches"] = len(outcome.patches)
    return counts | {
        name: int((table.cell_class == code).sum()) for code, name in enumerate(table.class_names)
    }


def _relative(path: Path, out: Path) -> str:
    """Path of the image from the exchange folder's parent where it lies there: projects are moved."""
    project = exchange_root(out.resolve()).parent
    resolved = path.resolve()
    return (resolved.relative_to(project) if resolved.is_relative_to(project) else resolved).as_posix()


def _region_entry(region: Region, pixel_size_um: float | None) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "uuid": str(region.uuid),
        "name": region.name,
        "class": region.class_name,
        "role": region.role,
    }
    if pixel_size_um is not None:
        entry["area_um2"] = round(region.geometry.area * pixel_size_um**2, 1)
    return entry
