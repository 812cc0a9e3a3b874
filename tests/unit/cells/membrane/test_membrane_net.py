from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.cells.membrane.grading import NET_FILE
from qupath_her2.cells.membrane.membrane_net import (
    SPREAD_FLOOR,
    MembraneNet,
    load_membrane_net,
    predict_membranes,
)
from qupath_her2.cells.membrane.profile_features import FEATURE_NAMES
from qupath_her2.errors import ExchangeError


def net_of(seed: int, channels: int = 3, width: int = 4, hidden: int = 5) -> MembraneNet:
    rng = np.random.default_rng(seed)
    sizes = [(3 * channels, width), (3 * width, width), (3 * width, width), (3 * width, hidden), (hidden, 2)]
    return MembraneNet(
        rng.uniform(0.5, 2, channels).astype(np.float32),
        tuple(rng.normal(0, 0.4, size).astype(np.float32) for size in sizes),
        tuple(rng.normal(0, 0.2, out).astype(np.float32) for _, out in sizes),
    )


def features_of(seed: int, n: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (n, 36, channels)).astype(np.float16)


def by_hand(net: MembraneNet, features: np.ndarray) -> np.ndarray:
    """One cell, sector by sector, in double precision."""
    seen = features.astype(np.float64) * net.scale
    for k in range(3):
        answer = np.array(
            [
                np.maximum(
                    np.concatenate([seen[a], *(seen[a - d] + seen[(a + d) % 36] for d in (1, 2))])
                    @ net.weights[k]
                    + net.biases[k],
                    0,
                )
                for a in range(36)
            ]
        )
        seen = answer if k == 0 else seen + answer
    spread = np.sqrt(seen.var(0) + SPREAD_FLOOR)
    hidden = np.maximum(
        np.concatenate([seen.mean(0), seen.max(0), spread]) @ net.weights[3] + net.biases[3], 0
    )
    return hidden @ net.weights[4] + net.biases[4]


def test_prediction_equals_a_plain_loop_over_sectors() -> None:
    net, features = net_of(1), features_of(1, 7)
    expected = np.stack([by_hand(net, part) for part in features])
    assert np.ptp(expected) > 0.5
    assert predict_membranes(net, features) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("turn", [1, 9, 18, 27])
def test_rotating_a_cell_does_not_change_its_prediction(turn: int) -> None:
    net, features = net_of(2), features_of(2, 20)
    turned = predict_membranes(net, np.roll(features, turn, axis=1))
    assert turned == pytest.approx(predict_membranes(net, features), abs=1e-5)


def test_mirroring_a_cell_does_not_change_its_prediction() -> None:
    net, features = net_of(5), features_of(5, 20)
    assert predict_membranes(net, features[:, ::-1]) == pytest.approx(
        predict_membranes(net, features), abs=1e-5
    )


@pytest.mark.parametrize("is_shipped", [False, True])
def test_prediction_does_not_depend_on_the_other_cells(is_shipped: bool) -> None:
    """Nor where the products of the network that is shipped are as large as BLAS kernels take in groups of rows."""
    net = load_membrane_net(NET_FILE, FEATURE_NAMES) if is_shipped else net_of(3)
    features = features_of(3, 700, len(net.scale))
    together = predict_membranes(net, features)
    apart = np.concatenate(
        [predict_membranes(net, part) for part in (features[:1], features[1:300], features[300:])]
    )
    assert (together == apart).all()
    assert predict_membranes(net, features[:0]).shape == (0, 2)


def test_torch_gives_the_same_prediction() -> None:
    torch = pytest.importorskip("torch", reason="NOT TESTED: needs torch (extra learn)")
    from qupath_her2.learning.train.membrane_net_fit import MembraneFitSettings, _net, _weights

    torch.manual_seed(0)
    fitted = _net(3, MembraneFitSettings())
    stored = _weights(fitted)
    net = MembraneNet(
        np.ones(3, np.float32),
        tuple(stored[f"weight/{k}"] for k in range(5)),
        tuple(stored[f"bias/{k}"] for k in range(5)),
    )
    features = features_of(4, 50)
    with torch.no_grad():
        expected = fitted(torch.from_numpy(features.astype(np.float32))).numpy()[:, :2]
    assert predict_membranes(net, features) == pytest.approx(expected, abs=1e-4)


def test_shipped_network_matches_the_features() -> None:
    net = load_membrane_net(NET_FILE, FEATURE_NAMES)
    assert net.scale.shape == (len(FEATURE_NAMES),)
    assert net.weights[0].shape[0] == 3 * len(FEATURE_NAMES)
    assert net.weights[4].shape[1] == 2
    assert all(np.isfinite(part).all() for part in (*net.weights, *net.biases, net.scale))


@pytest.mark.parametrize(
    ("offered", "odd"),
    [
        (FEATURE_NAMES[:-1], FEATURE_NAMES[-1]),
        ((*FEATURE_NAMES, "mood"), "mood"),
        ((*FEATURE_NAMES[1:], FEATURE_NAMES[0]), "their order"),
    ],
)
def test_network_trained_on_other_features_is_refused(offered: tuple[str, ...], odd: str) -> None:
    with pytest.raises(ExchangeError, match=odd) as caught:
        load_membrane_net(NET_FILE, offered)
    assert NET_FILE in str(caught.value)
    assert "qupath_her2.cells.membrane.train_membrane_net" in str(caught.value)
