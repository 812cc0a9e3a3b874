"""A group of one process; groups of two are tested in `test_processes`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qupath_her2.learning.train.parallel import ProcessGroup, join_process_group


def test_shards_are_a_partition() -> None:
    rows = np.random.default_rng(0).permutation(11)
    shards = [ProcessGroup(rank, 3, torch.device("cpu")).shard(rows) for rank in range(3)]
    assert sorted(np.concatenate(shards)) == sorted(rows)
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_alone_nothing_is_communicated_or_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    net = torch.nn.Linear(2, 1)
    with join_process_group("cpu") as group:
        assert (group.rank, group.size, group.device.type) == (0, 1, "cpu")
        assert group.sum([1.0, 2.5]).tolist() == [1.0, 2.5]
        assert group.gather({3: "broken"}) == {3: "broken"}
        assert group.wrap(net) is net
        group.broadcast(net.parameters())
        group.barrier()
    assert not torch.distributed.is_initialized()
