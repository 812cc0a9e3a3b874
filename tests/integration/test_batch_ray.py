"""A Ray cluster of three nodes on this machine loses one in the middle of a batch."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from qupath_her2.batch.job import JobEvent
from qupath_her2.batch.journal import read_events
from qupath_her2.batch.progress import progress_of
from qupath_her2.batch.ray_crew import RayExecutor
from qupath_her2.batch.run_batch import plan_batch, run_batch
from qupath_her2.config import Settings
from qupath_her2.runs.options import RunOptions
from qupath_her2.synthetic.example_project import write_field

ray = pytest.importorskip("ray", reason="NOT TESTED: no Ray: pip install qupath-her2[ray]")

pytestmark = pytest.mark.slow


def test_a_cluster_that_loses_a_node_finishes(tmp_path: Path) -> None:
    from ray.cluster_utils import Cluster

    study = tmp_path / "study"
    study.mkdir()
    for number in range(6):
        write_field(
            study, f"s{number}", score="3+", seed=320 + number, side_px=420, stroma=0.1, out_of_focus=0.0
        )
    plan = plan_batch(study, RunOptions(), Settings())
    # The head has no room for actors: whatever is scored is scored on the two others.
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1, include_dashboard=False) for _ in range(2)]
    lost: list[str] = []

    def listen(event: JobEvent) -> None:
        # With the first result in, both nodes are at work.
        if event.result is not None and not lost:
            lost.append(event.image)
            cluster.remove_node(nodes[0], allow_graceful=False)

    ray.init(address=cluster.address, log_to_driver=False)
    try:
        assert len([node for node in ray.nodes() if node["Alive"]]) == 3
        assert run_batch(plan, RayExecutor(workers=2), listen=listen)
        # The head declares a node dead some seconds after its last beat; the batch may end before that.
        deadline = time.monotonic() + 60
        while (
            len(alive := [node for node in ray.nodes() if node["Alive"]]) > 2 and time.monotonic() < deadline
        ):
            time.sleep(0.5)
        assert len(alive) == 2
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert lost
    progress = progress_of(plan)
    assert +progress.counts == Counter({"done": 6})
    ends = [event for event in read_events(plan.out) if event["event"] == "ended"]
    results = Counter(event["image"] for event in ends if event["state"] == "scored")
    # None twice: what was lost with the node has a failed try, and then its one result.
    assert results == Counter(job.image for job in plan.jobs)
    assert {event["class"] for event in ends if event["state"] == "failed"} <= {"killed"}
    assert not [path for path in plan.out.rglob("*") if path.name.endswith((".lock", ".tmp"))]
