"""Writing of a finished run: cells, score, overlay, and the record by which it can be checked and repeated."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from qupath_her2.config import settings_as_dict
from qupath_her2.project.exchange.cell_files import write_cells
from qupath_her2.project.exchange.images import exchange_root
from qupath_her2.project.exchange.patch_files import write_patches
from qupath_her2.project.exchange.run_record import RunRecord
from qupath_her2.project.exchange.runs import new_run, read_run
from qupath_her2.project.exchange.score_files import regions_geojson, score_json
from qupath_her2.project.geojson.write_cells import write_cells_geojson
from qupath_her2.report.pictures import draw_overlay, encode_jpeg
from qupath_her2.runs.cut_areas import cut_entries
from qupath_her2.runs.deleted_proposals import DELETED, deleted_entries
from qupath_her2.runs.finder_choice import finder_digest
from qupath_her2.runs.unscored_regions import region_entry, unscored_entries
from qupath_her2.slides.readers.scanner import scanner_name

if TYPE_CHECKING:
    from pathlib import Path

    from qupath_her2.project.exchange.locks import ImageLock
    from qupath_her2.project.exchange.runs import RunWriter
    from qupath_her2.records import CellTable
    from qupath_her2.runs.options import ScoreJob
    from qupath_her2.runs.types import FinishedImage, Inputs
    from qupath_her2.slides.readers.slide import Slide

__all__ = ["CELLS_GEOJSON", "add_geojson", "cell_counts", "write_files", "write_run"]

#: Name of the cells as GeoJSON, written on request: it is many times the size of ``cells.npz``.
CELLS_GEOJSON = "cells.geojson.gz"


def write_run(
    job: ScoreJob,
    lock: ImageLock,
    slide: Slide | None,
    inputs: Inputs,
    finished: FinishedImage,
    *,
    seconds: float,
    make_current: bool = True,
) -> Path:
    """Write the run of an image.

    Parameters
    ----------
    job
        Image, case and options.
    lock
        Lock of the image, held by this process.
    slide
        Read for the overlay; None for an image that was refused before it was opened.
    inputs
        Pixel size, hashes and card for the record.
    finished
        The result to write.
    seconds
        Time spent on the image.
    make_current
        Make it the run that counts for the image.

    Returns
    -------
    Path
        Folder of the run.

    Raises
    ------
    OutputError
        Read-only folder, full disk; the image keeps its former run.
    """
    # Written under a temporary name and renamed at the end: a killed process leaves no half-written run.
    with new_run(lock, inputs.hash, make_current=make_current) as writer:
        write_files(writer, finished, slide, geojson=job.options.geojson)
        writer.finish(_record(job, slide, inputs, finished, seconds))
    return writer.final


def write_files(writer: RunWriter, finished: FinishedImage, slide: Slide | None, *, geojson: bool) -> None:
    """Write the files of a run except its record.

    Parameters
    ----------
    writer
        Writes into the folder of the run and hashes each file for its record.
    finished
        The result to write.
    slide
        Read for the overlay; None writes no overlay.
    geojson
        Also write the cells as GeoJSON.
    """
    with writer.open("cells.npz") as file:
        write_cells(file, finished.table)
    if finished.patches is not None:
        with writer.open("patches.npz") as file:
            write_patches(file, finished.patches)
    writer.write("regions.geojson", regions_geojson(finished.regions, finished.score.regions))
    writer.write("score.json", score_json(finished.score))
    if slide is not None:
        context = finished.context
        overlay = draw_overlay(
            slide, finished.table, context.regions, patches=finished.patches, cut=context.cut
        )
        writer.write("overlay.jpg", encode_jpeg(overlay))
    # Files of one method only, such as heat maps; the record lists them like all others.
    for name, data in finished.extra_files.items():
        writer.write(name, data)
    if geojson:
        _write_geojson(writer, finished.table)


def add_geojson(lock: ImageLock, run_dir: Path) -> Path:
    """Return a run with `CELLS_GEOJSON`: `run_dir` itself, or a copy with the file, which becomes the current run.

    Parameters
    ----------
    lock
        Lock of the image, held by this process.
    run_dir
        A finished run.

    Returns
    -------
    Path
        Folder of the run with the file.
    """
    record, table, _ = read_run(run_dir)
    if CELLS_GEOJSON in record.files or table is None:
        return run_dir
    # A finished run is never changed: QuPath, or another process, may be reading it.
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
    job: ScoreJob, slide: Slide | None, inputs: Inputs, finished: FinishedImage, seconds: float
) -> RunRecord:
    return RunRecord(
        # The writer names the run when it is finished.
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
            # Cut-points are fitted for each scanner, also after the file was moved away.
            "scanner": None if slide is None else scanner_name(job.ref.path),
            # As QuPath had it at the export: a push refuses an image whose calibration was changed since.
            "qupath_pixel_size_um": job.ref.pixel_size_um,
            "pixel_size_um": inputs.pixel_size_um,
            "pixel_size_source": inputs.pixel_size_source,
            "case": job.ref.case,
        },
        command=job.options.command,
        settings={
            **settings_as_dict(job.settings),
            "used": {
                **job.method.record(inputs.pixel_size_um),
                "whole_tissue": inputs.whole_tissue,
                "by_core": finished.context.by_core,
                "stains": finished.context.stains,
                "stain_origin": finished.context.stain_origin,
                "cell_origin": finished.context.cell_origin,
                "restained": finished.context.restained,
                "cut": cut_entries(finished.context.cut),
                **_stated(finished),
                **_profile(finished),
                **_staining(finished),
                **({DELETED: deleted_entries(inputs.deleted)} if inputs.deleted else {}),
            },
        },
        inputs=_hashes(job, inputs),
        counts=cell_counts(finished),
        timings_s={**finished.timings_s, "total": round(seconds, 3)},
        warnings=finished.context.warnings,
        regions=tuple(region_entry(region, inputs) for region in finished.regions),
        unscored=unscored_entries(inputs, finished),
        cells={
            "measurements": list(finished.table.measurement_names),
            "classes": list(finished.table.class_names),
        },
        patches={} if finished.patches is None else {"classes": list(finished.patches.class_names)},
        quarantined=inputs.region_file.quarantined,
    )


def _hashes(job: ScoreJob, inputs: Inputs) -> dict[str, str]:
    """Return the hash of each input, for ``run.json``; only of what there is."""
    # "measurement" finds stored cells that another guideline can score again without pixels.
    hashes = {
        "image": inputs.fingerprint,
        "measurement": inputs.measurement_hash,
        "outlines": inputs.outlines_hash,
    }
    if inputs.region_hash is not None:
        hashes["regions"] = inputs.region_hash
    if inputs.corrections is not None:
        hashes["corrections"] = inputs.corrections.digest
    if inputs.card is not None:
        hashes["weights"] = inputs.card.weights_sha256
    if inputs.find_tumour:
        hashes |= finder_digest(job.settings)
    return hashes


def _stated(finished: FinishedImage) -> dict[str, str | int]:
    """Return what the score states of its regions and cells, for ``run.json``; only what there is."""
    context = finished.context
    stated: dict[str, str | int] = {
        "tumour_origin": context.tumour_origin,
        "corrections": context.corrections,
        "n_empty": context.n_empty,
    }
    return {name: value for name, value in stated.items() if value}


def _profile(finished: FinishedImage) -> dict[str, Any]:
    """Return the chosen cut-points for ``run.json``; empty where no profile was asked for."""
    chosen = finished.context.profile
    return {} if chosen is None else {"profile": chosen.stored}


#: {name in ``run.json``: measurement} of the staining, by whose medians slides of a cohort are compared.
_STAINING = {
    "cytoplasm_dab_od": "HER2: Cytoplasm DAB OD mean",
    "membrane_dab_od": "HER2: Membrane DAB OD mean",
}


def _staining(finished: FinishedImage) -> dict[str, Any]:
    """Return the medians of the cells' staining for ``run.json``; empty where no cell was measured."""
    table = finished.table
    at = {
        name: table.measurement_names.index(m)
        for name, m in _STAINING.items()
        if m in table.measurement_names
    }
    if not at or not len(table):
        return {}
    columns = {name: table.measurements[:, column] for name, column in at.items()}
    known = {name: column[np.isfinite(column)] for name, column in columns.items()}
    return {"staining": {name: round(float(np.median(one)), 4) for name, one in known.items() if len(one)}}


def cell_counts(finished: FinishedImage) -> dict[str, int]:
    """Return the counts of ``run.json``: cells, measured cells, patches if any, and cells of each class."""
    table = finished.table
    counts = {"cells": len(table), "cells_measured": finished.score.n_cells}
    if finished.patches is not None:
        counts["patches"] = len(finished.patches)
    return counts | {
        name: int((table.cell_class == code).sum()) for code, name in enumerate(table.class_names)
    }


def _relative(path: Path, out: Path) -> str:
    """Return the image's path relative to the project where it lies inside, so that a moved project still works."""
    project = exchange_root(out.resolve()).parent
    resolved = path.resolve()
    return (resolved.relative_to(project) if resolved.is_relative_to(project) else resolved).as_posix()
