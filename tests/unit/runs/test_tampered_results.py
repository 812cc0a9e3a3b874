"""Results changed by hand or by a disk are noticed, and scored again or refused by name; never believed."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.runs import current_run, read_run
from qupath_her2.report.build import write_report
from qupath_her2.runs.options import RunOptions, ScoreJob
from qupath_her2.runs.plan import plan_jobs
from qupath_her2.runs.score_image import score_image


def with_columns(data: bytes, change: Callable[[dict[str, np.ndarray]], None]) -> bytes:
    """The bytes of ``cells.npz`` after a change of its columns."""
    with np.load(io.BytesIO(data)) as archive:
        columns = dict(archive)
    change(columns)
    file = io.BytesIO()
    np.savez(file, **columns)
    return file.getvalue()


def offsets_backwards(columns: dict[str, np.ndarray]) -> None:
    columns["cell_offsets"] = columns["cell_offsets"][::-1].copy()


def offsets_beyond_the_vertices(columns: dict[str, np.ndarray]) -> None:
    columns["cell_offsets"] = columns["cell_offsets"] + 10_000


def offsets_too_few(columns: dict[str, np.ndarray]) -> None:
    columns["nucleus_offsets"] = columns["nucleus_offsets"][:-2]


def class_unknown(columns: dict[str, np.ndarray]) -> None:
    columns["cell_class"] = np.full_like(columns["cell_class"], 99)


def region_unknown(columns: dict[str, np.ndarray]) -> None:
    columns["region"] = columns["region"] + 1000


def no_uuid(columns: dict[str, np.ndarray]) -> None:
    del columns["uuid"]


def seal(run_dir: Path) -> None:
    """Give ``run.json`` the hashes and sizes of the files as they are now, as someone would who forges a result."""
    record = json.loads((run_dir / "run.json").read_bytes())
    for name in record["files"]:
        data = (run_dir / name).read_bytes()
        record["files"][name], record["sizes"][name] = hashlib.sha256(data).hexdigest(), len(data)
    (run_dir / "run.json").write_text(json.dumps(record))


def job_of(folder: Path) -> ScoreJob:
    return next(job for job in plan_jobs(folder, RunOptions()).jobs if job.name.startswith("pale"))


@pytest.fixture(scope="module")
def scored_once(_drawn_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = shutil.copytree(_drawn_once, tmp_path_factory.mktemp("tampered") / "project")
    assert score_image(job_of(folder)).state == "scored"
    return folder


@pytest.fixture
def scored(scored_once: Path, tmp_path: Path) -> tuple[ScoreJob, Path]:
    """A job that has been done, and the folder of its run."""
    job = job_of(shutil.copytree(scored_once, tmp_path / "project"))
    run_dir = current_run(job.out, job.image)
    assert run_dir is not None
    return job, run_dir


def test_an_untouched_run_is_believed(scored: tuple[ScoreJob, Path]) -> None:
    job, run_dir = scored
    again = score_image(job)
    assert (again.state, again.run_dir) == ("up to date", run_dir)


@pytest.mark.parametrize(
    "change",
    [offsets_backwards, offsets_beyond_the_vertices, offsets_too_few, class_unknown, region_unknown, no_uuid],
    ids=lambda change: change.__name__,
)
def test_cells_that_do_not_fit_together_are_refused(scored: tuple[ScoreJob, Path], change: Callable) -> None:
    _, run_dir = scored
    path = run_dir / "cells.npz"
    path.write_bytes(with_columns(path.read_bytes(), change))
    with pytest.raises(ExchangeError, match=r"cells\.npz.*changed after the run"):
        read_run(run_dir)
    seal(run_dir)
    with pytest.raises(ExchangeError, match=r"cells\.npz"):
        read_run(run_dir)


@pytest.mark.parametrize(
    "content",
    [b"not JSON", b"[]", b"{}", b'{"format": 1}', b"\xff\xfe\0", b'{"format": 1, "status": "great"}'],
)
def test_a_score_that_is_none_is_refused(scored: tuple[ScoreJob, Path], content: bytes) -> None:
    _, run_dir = scored
    (run_dir / "score.json").write_bytes(content)
    seal(run_dir)
    with pytest.raises(ExchangeError, match="score"):
        read_run(run_dir)


def cut_cells(run_dir: Path) -> None:
    data = (run_dir / "cells.npz").read_bytes()
    (run_dir / "cells.npz").write_bytes(data[:-100])


def no_json(run_dir: Path) -> None:
    (run_dir / "score.json").write_bytes(b"2+")


def wrong_hashes(run_dir: Path) -> None:
    record = json.loads((run_dir / "run.json").read_bytes())
    record["input_hash"] = "ab" * 32
    (run_dir / "run.json").write_text(json.dumps(record))


def wrong_sizes(run_dir: Path) -> None:
    record = json.loads((run_dir / "run.json").read_bytes())
    record["sizes"] = dict.fromkeys(record["sizes"], -1)
    (run_dir / "run.json").write_text(json.dumps(record))


def no_record(run_dir: Path) -> None:
    (run_dir / "run.json").write_bytes(b"\0" * 300)


def record_of_other_types(run_dir: Path) -> None:
    record = json.loads((run_dir / "run.json").read_bytes())
    (run_dir / "run.json").write_text(json.dumps({**record, "files": 7, "regions": "none", "cells": []}))


def folder_in_place_of_a_file(run_dir: Path) -> None:
    (run_dir / "cells.npz").unlink()
    (run_dir / "cells.npz").mkdir()


@pytest.mark.parametrize(
    "damage",
    [
        cut_cells,
        no_json,
        wrong_hashes,
        wrong_sizes,
        no_record,
        record_of_other_types,
        folder_in_place_of_a_file,
    ],
    ids=lambda damage: damage.__name__,
)
def test_a_damaged_run_is_scored_again_to_the_same_cells(
    scored: tuple[ScoreJob, Path], damage: Callable
) -> None:
    job, run_dir = scored
    before = (run_dir / "cells.npz").read_bytes()
    damage(run_dir)
    again = score_image(job)
    assert (again.state, again.error) == ("scored", None)
    assert again.run_dir is not None
    assert (again.run_dir / "cells.npz").read_bytes() == before
    # The report names or leaves out what it cannot read; it never fails for one image.
    assert write_report(job.out).html.is_file()


@pytest.mark.parametrize("is_sealed", [False, True])
@pytest.mark.parametrize("name", ["score.json", "run.json", "cells.npz"])
def test_a_report_of_damaged_results_is_written_or_names_the_image(
    scored: tuple[ScoreJob, Path], name: str, is_sealed: bool
) -> None:
    job, run_dir = scored
    (run_dir / name).write_bytes(b"damaged")
    if is_sealed and name != "run.json":
        seal(run_dir)
    try:
        page = write_report(job.out).html.read_text()
    except ExchangeError as error:
        page = str(error)
    assert "pale" in page
