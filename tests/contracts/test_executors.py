"""Every executor passes the same tests: local processes, a real Slurm of one node, Ray on this machine."""

from __future__ import annotations

import importlib.util
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qupath_her2.batch.executor import Executor, LocalExecutor
from qupath_her2.batch.finish import finish_batch
from qupath_her2.batch.job import JobEvent
from qupath_her2.batch.journal import read_events
from qupath_her2.batch.plan import BatchPlan
from qupath_her2.batch.progress import progress_of
from qupath_her2.batch.ray_crew import RayExecutor
from qupath_her2.batch.run_batch import jobs_left, plan_batch, run_batch
from qupath_her2.batch.score_folder import score_folder
from qupath_her2.batch.slurm import SlurmExecutor
from qupath_her2.batch.stopping import Stop
from qupath_her2.config import Settings
from qupath_her2.runs.options import RunOptions
from qupath_her2.synthetic.example_project import write_field
from tests.helpers.slurm_node import slurm_commands

Make = Callable[[Path], Executor]

FILES = ("cells.npz", "score.json", "regions.geojson", "overlay.jpg")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Slurm's commands reach a node of their own."""
    with slurm_commands(tmp_path_factory.mktemp("slurm")):
        yield


@pytest.fixture(
    params=[
        pytest.param("local", marks=pytest.mark.slow),
        pytest.param("slurm", marks=pytest.mark.slow),
        pytest.param("ray", marks=pytest.mark.slow),
    ]
)
def make(request: pytest.FixtureRequest) -> Make:
    """Makes an executor of two workers for a source."""
    if request.param == "slurm":
        request.getfixturevalue("slurm")
        return lambda source: SlurmExecutor(
            source, tasks=2, waits=True, flags=("--out", str(source / "her2"), "--what", "score")
        )
    if request.param == "ray":
        if importlib.util.find_spec("ray") is None:
            pytest.skip("NOT TESTED: no Ray: pip install qupath-her2[ray]")
        return lambda source: RayExecutor(workers=2)
    return lambda source: LocalExecutor(workers=2)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four images: scored, refused for its regions, with damaged regions, and one that nobody can read."""
    folder = tmp_path_factory.mktemp("executors") / "study"
    folder.mkdir()
    for number, score in enumerate(("0", "3+", "2+")):
        write_field(
            folder, f"s{number}", score=score, seed=300 + number, side_px=320, stroma=0.1, out_of_focus=0.0
        )
    (folder / "s2.geojson").write_text("{")
    write_field(folder, "empty", score="0", seed=50, side_px=128, out_of_focus=0.0)
    (folder / "empty.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    (folder / "broken.svs").write_bytes(b"II*\0no slide")
    return folder


@pytest.fixture(scope="module")
def reference(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exchange folder of ``run``, on images in a folder of the same name."""
    folder = tmp_path_factory.mktemp("reference") / "study"
    shutil.copytree(drawn, folder)
    score_folder(folder)
    return folder / "her2"


@pytest.fixture
def planned(drawn: Path, tmp_path: Path) -> BatchPlan:
    folder = tmp_path / "study"
    shutil.copytree(drawn, folder)
    return plan_batch(folder, RunOptions(), Settings())


def source_of(plan: BatchPlan) -> Path:
    return plan.out.parent


def started(plan: BatchPlan) -> Counter[str]:
    return Counter(event["image"] for event in read_events(plan.out) if event["event"] == "started")


def done(plan: BatchPlan) -> Counter[str]:
    """How often each image was worked on; a late look that finds it up to date is no work."""
    ends = (event for event in read_events(plan.out) if event["event"] == "ended")
    return Counter(event["image"] for event in ends if event["state"] != "up to date")


def test_every_image_has_an_outcome_and_the_tables_are_those_of_run(
    make: Make, planned: BatchPlan, reference: Path
) -> None:
    assert run_batch(planned, make(source_of(planned)))
    progress = progress_of(planned)
    assert +progress.counts == Counter({"done": 2, "not assessable": 1, "failed": 2})
    assert progress.failures == Counter({"unreadable": 1, "regions": 1})
    # What cannot pass by itself is tried once, the rest scored once.
    assert done(planned) == dict.fromkeys((job.image for job in planned.jobs), 1)
    finish_batch(planned, progress)
    # Failed rows name their files, whose folders differ.
    where, there = str(source_of(planned)).encode(), str(reference.parent).encode()
    assert (planned.out / "summary.csv").read_bytes().replace(where, there) == (
        reference / "summary.csv"
    ).read_bytes()
    for path in reference.glob("results/*/*/cells.npz"):
        for name in FILES:
            assert (planned.out / path.with_name(name).relative_to(reference)).read_bytes() == path.with_name(
                name
            ).read_bytes()
    left = [
        path.name for path in planned.out.rglob("*") if path.name.endswith((".tmp", ".lock", ".takeover"))
    ]
    assert left == []


def test_a_second_batch_does_nothing_and_failed_ones_come_back_on_request(
    make: Make, planned: BatchPlan, drawn: Path
) -> None:
    source = source_of(planned)
    run_batch(planned, make(source))
    before = started(planned)
    again = plan_batch(source, RunOptions(), Settings())
    assert jobs_left(again) == []
    run_batch(again, make(source))
    assert started(again) == before
    # The regions are repaired: the image has another key, and is done without being asked for.
    shutil.copyfile(drawn / "s1.geojson", source / "s2.geojson")
    repaired = plan_batch(source, RunOptions(), Settings())
    assert [job.name for job in jobs_left(repaired)] == ["s2.ome.tif"]
    run_batch(repaired, make(source))
    assert progress_of(repaired).counts["done"] == 3
    # What was set aside stays so until it is asked for.
    (source / "s0.geojson").write_text("{")
    damaged = plan_batch(source, RunOptions(), Settings())
    run_batch(damaged, make(source))
    n = done(damaged)
    run_batch(damaged, make(source))
    assert done(damaged) == n
    run_batch(damaged, make(source), retry_failed=True)
    # Two drivers may both find that it fails.
    assert set(done(damaged) - n) == {job.image for job in damaged.jobs if job.name == "s0.ome.tif"}


def test_a_batch_that_is_stopped_leaves_nothing_half_done_and_goes_on(make: Make, planned: BatchPlan) -> None:
    executor, stop = make(source_of(planned)), Stop()

    def listen(event: JobEvent) -> None:
        stop.finish(within_s=0)

    # Engines that tell nothing of single images are stopped at once.
    if executor.name != "local":
        stop.finish(within_s=0)
    run_batch(planned, executor, listen=listen, stop=stop)
    left = [path.name for path in planned.out.rglob("*") if path.name.endswith((".tmp", ".lock"))]
    assert left == []
    assert jobs_left(planned) != []
    run_batch(planned, executor)
    assert jobs_left(planned) == []
    assert progress_of(planned).counts["done"] == 2
    assert not list(planned.out.rglob("*.lock"))


def test_executors_have_a_name_and_a_number_of_workers(make: Make, tmp_path: Path) -> None:
    executor = make(tmp_path)
    assert executor.name in ("local", "slurm", "ray")
    assert executor.workers == 2
