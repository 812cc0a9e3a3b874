"""Attention as ranks."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")

from qupath_her2.learning.bags.attention import slide_attention  # noqa: E402
from qupath_her2.models.bag_networks import build_bag_network  # noqa: E402


@pytest.mark.parametrize("name", ["clam-sb", "clam-mb", "dtfd-afs", "abmil", "max-pool"])
def test_ranks_follow_the_attention_of_the_class_that_is_said(name: str) -> None:
    net = build_bag_network(name, 6, 3, seed=1).eval()
    features = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    found = slide_attention(net, features)
    with torch.no_grad():
        logits, attention = net.scored(torch.from_numpy(features))
    branch = int(logits.argmax()) if name == "clam-mb" else 0
    np.testing.assert_array_equal(np.argsort(found.rank), np.argsort(attention[branch].numpy()))
    assert (found.rank.min(), found.rank.max()) == (0, 1)
    np.testing.assert_allclose(found.probabilities, torch.softmax(logits, 0).numpy(), atol=1e-6)


def test_equal_attention_and_a_single_patch_have_no_rank() -> None:
    features = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    assert np.isnan(slide_attention(build_bag_network("mean-pool", 6, 2).eval(), features).rank).all()
    assert np.isnan(slide_attention(build_bag_network("clam-sb", 6, 2).eval(), features[:1]).rank).all()


def test_ties_share_their_rank() -> None:
    features = np.repeat(np.random.default_rng(1).normal(size=(2, 6)), (1, 3), axis=0).astype(np.float32)
    rank = slide_attention(build_bag_network("clam-sb", 6, 2, seed=2).eval(), features).rank
    assert len(set(rank[1:].tolist())) == 1
    assert sorted(rank.tolist()) in ([0, *[2 / 3] * 3], [*[1 / 3] * 3, 1]) or rank[0] in (0, 1)
