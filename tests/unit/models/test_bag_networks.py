"""Networks on bags: equal to the authors' code on weights by formula, and to torchmil where it has the network.

The expected numbers were computed by CLAM (commit 53e2409) and DTFD-MIL (commit 10964f4) on the same weights and bag;
the smooth SVM loss by the functions `delta` and `log_sum_exp` of torchmil 1.0.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")

from qupath_her2.errors import SettingsError  # noqa: E402
from qupath_her2.models.bag_base import in_parts  # noqa: E402
from qupath_her2.models.bag_networks import build_bag_network  # noqa: E402
from qupath_her2.models.bag_settings import BagNetworkSettings  # noqa: E402
from qupath_her2.models.bag_specs import BAG_MODELS  # noqa: E402
from qupath_her2.models.clam import smooth_svm_loss  # noqa: E402

N, D = 40, 12


def by_formula(net: Any) -> Any:
    """Fill all weights with a formula of their place and of the alphabetical place of their name."""
    state = net.state_dict()
    for place, name in enumerate(sorted(state)):
        values = np.sin(0.7 * np.arange(state[name].numel()) + place) * 0.2
        state[name].copy_(torch.from_numpy(values).float().reshape(state[name].shape))
    return net.eval()


def bag(n: int = N, d: int = D) -> Any:
    place = np.arange(n * d).reshape(n, d)
    return torch.from_numpy(np.cos(0.37 * place) + 0.5 * np.sin(0.011 * place * place)).float()


@pytest.mark.parametrize(
    ("name", "n_classes", "logits", "svm", "cross_entropy"),
    [
        ("clam-sb", 3, [-4.46001, -4.91318, -5.09358], 1.48711, 0.85823),
        ("clam-mb", 3, [-4.46002, -0.09987, 4.54393], 1.13846, 0.60836),
        ("clam-sb", 2, [-4.46001, -4.91318], 1.32687, 0.72038),
        ("clam-mb", 2, [-4.46002, -0.09987], 1.36733, 0.76177),
    ],
)
def test_clam_is_the_authors(
    name: str, n_classes: int, logits: list[float], svm: float, cross_entropy: float
) -> None:
    for kind, expected in (("svm", svm), ("cross_entropy", cross_entropy)):
        net = by_formula(build_bag_network(name, D, n_classes, BagNetworkSettings(instance_loss=kind)))
        with torch.no_grad():
            found, attention = net.scored(bag())
            encoded, raw = net._encoded(bag())
            clustering = float(net.clustering_loss(encoded, raw, 1))
            loss, _ = net.loss(bag(), torch.tensor(1))
        assert found.tolist() == pytest.approx(logits, abs=1e-4)
        assert attention[0, :4].tolist() == pytest.approx([0.25965, 0.24455, 0.26676, 0.27691], abs=1e-4)
        assert clustering == pytest.approx(expected, abs=1e-4)
        bag_loss = float(torch.nn.functional.cross_entropy(found[None], torch.tensor([1])))
        assert float(loss) == pytest.approx(0.7 * bag_loss + 0.3 * expected, abs=1e-4)


@pytest.mark.parametrize(("n_classes", "logits"), [(2, [2.85147, 4.02808]), (3, [2.85147, 4.02808, 4.88511])])
def test_max_pooling_is_that_of_clam(n_classes: int, logits: list[float]) -> None:
    with torch.no_grad():
        found = by_formula(build_bag_network("max-pool", D, n_classes))(bag())
    assert found.tolist() == pytest.approx(logits, abs=1e-4)


def test_dtfd_is_the_authors() -> None:
    net = by_formula(build_bag_network("dtfd-afs", D, 3))
    with torch.no_grad():
        encoded, attention = net._encoded(bag())
        pooled = net.pseudo_bags(encoded, attention, torch.arange(N))
        first, second = net.classifier(pooled), net._second_tier(pooled)
    assert attention[:4].tolist() == pytest.approx([-1.36469, -1.37427, -1.36634, -1.36379], abs=1e-4)
    assert first[:2].flatten().tolist() == pytest.approx(
        [0.2065, 0.17555, 0.06462, 0.2072, 0.17579, 0.06439], abs=1e-4
    )
    assert second.tolist() == pytest.approx([-0.05105, 0.0878, 0.18812], abs=1e-4)
    target = torch.tensor([1])
    losses = (
        torch.nn.functional.cross_entropy(one, target.expand(len(one))) for one in (first, second[None])
    )
    assert [float(one) for one in losses] == pytest.approx([1.07379, 1.09054], abs=1e-4)


def test_the_second_tier_of_dtfd_teaches_the_first_nothing() -> None:
    net = build_bag_network("dtfd-afs", D, 2)
    torch.manual_seed(0)
    net.loss(bag(), torch.tensor(1))[0].backward()
    whole = net.dim_reduction.fc1.weight.grad.clone()
    net.zero_grad()
    torch.manual_seed(0)
    encoded, attention = net._encoded(bag())
    first = net.classifier(net.pseudo_bags(encoded, attention, torch.randperm(N)))
    torch.nn.functional.cross_entropy(first, torch.ones(len(first), dtype=torch.long)).backward()
    assert torch.allclose(whole, net.dim_reduction.fc1.weight.grad)
    assert net.att_classifier["classifier"].fc.weight.grad is None


@pytest.mark.parametrize("name", ["abmil", "clam-sb"])
def test_attention_is_that_of_torchmil(name: str) -> None:
    models = pytest.importorskip("torchmil.models", reason="the reference: pip install torchmil")
    ours = by_formula(build_bag_network(name, D, 2, BagNetworkSettings(hidden=16, attention=8)))
    encoder = torch.nn.Sequential(torch.nn.Linear(D, 16), torch.nn.ReLU())
    kind = models.ABMIL if name == "abmil" else models.CLAM_SB
    theirs = kind(in_shape=(D,), att_dim=8, gated=True, feat_ext=encoder)
    if name == "abmil":
        parts = ours.attention
        first, gates = ours.encoder[0], (parts.attention_V[0], parts.attention_U[0], parts.attention_weights)
    else:
        parts = ours.attention_net[3]
        first, gates = ours.attention_net[0], (parts.attention_a[0], parts.attention_b[0], parts.attention_c)
    encoder[0].load_state_dict(first.state_dict())
    for layer, own in zip((theirs.pool.fc1, theirs.pool.fc_gated), gates[:2], strict=True):
        layer.module.load_state_dict(own.state_dict())
    # torchmil's last layer has no offset, which no softmax over patches sees.
    theirs.pool.fc2.weight.data.copy_(gates[2].weight)
    last = ours.classifier if name == "abmil" else ours.classifiers
    # It has one logit where we have two: the difference.
    theirs.classifier.module.weight.data.copy_((last.weight[1] - last.weight[0])[None])
    theirs.classifier.module.bias.data.copy_((last.bias[1] - last.bias[0])[None])
    with torch.no_grad():
        logits, attention = ours.scored(bag())
        logit, raw = theirs(bag()[None], return_att=True)
    assert float(logits[1] - logits[0]) == pytest.approx(float(logit), abs=1e-5)
    shift = attention[0] - raw[0]
    assert torch.allclose(shift, shift[0].expand(N), atol=1e-5)


def test_the_smooth_svm_loss_by_its_definition() -> None:
    logits, target = bag(5, 2), torch.tensor([0, 1, 1, 0, 1])
    expected = []
    for row, label in zip(logits.double().tolist(), target.tolist(), strict=True):
        raised = [value + (place != label) for place, value in enumerate(row)]
        expected.append(np.log(np.sum(np.exp(raised))) - row[label])
    assert float(smooth_svm_loss(logits, target)) == pytest.approx(np.mean(expected), abs=1e-6)


@pytest.mark.parametrize("name", BAG_MODELS)
@pytest.mark.parametrize("n", [1, 3, 50])
def test_bags_of_any_size_are_classified_and_learned_from(name: str, n: int) -> None:
    net = build_bag_network(name, D, 3, seed=1)
    loss, logits = net.loss(bag(n), torch.tensor(2), torch.tensor([1.0, 1.0, 2.0]))
    loss.backward()
    assert logits.shape == (3,)
    assert torch.isfinite(loss)
    with torch.no_grad():
        first, attention = net.eval().scored(bag(n))
        again = net(bag(n))
    assert torch.equal(first, again)
    assert attention.shape == (3 if name == "clam-mb" else 1, n)
    grouped = [one for group in net.clipped_groups() for one in group]
    assert len(grouped) == len(list(net.parameters()))


@pytest.mark.parametrize("name", BAG_MODELS)
def test_parts_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for at_once in (8192, 7):
        monkeypatch.setattr("qupath_her2.models.bag_base._ROWS_AT_ONCE", at_once)
        net = build_bag_network(name, D, 3, BagNetworkSettings(dropout=0.0), seed=1)
        torch.manual_seed(5)
        loss, _ = net.loss(bag(), torch.tensor(0))
        loss.backward()
        with torch.no_grad():
            logits = net(bag())
        results.append((loss.detach(), logits, next(net.parameters()).grad))
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(*results, strict=True))


def test_in_parts_keeps_the_order() -> None:
    values = torch.arange(20_000.0)[:, None]
    one, other = in_parts(lambda part: (part + 1, part[:, 0]), values)
    assert torch.equal(one, values + 1)
    assert torch.equal(other, values[:, 0])


@pytest.mark.parametrize("name", ["clam-sb", "clam-mb", "dtfd-afs", "abmil", "max-pool"])
def test_in_16_bits_a_step_is_nearly_the_same_and_scores_do_not_tie(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    bag = torch.randn(9000, 64, generator=generator)
    # Without CLAM's clustering, whose few patches rounding may exchange.
    settings = BagNetworkSettings(hidden=32, attention=16, dropout=0.0, bag_weight=1.0)
    found = []
    for half in (None, torch.bfloat16):
        net = build_bag_network(name, 64, 3, settings)
        net.half = half
        torch.manual_seed(1)
        loss, _ = net.loss(bag, torch.tensor(1))
        loss.backward()
        with torch.inference_mode():
            scores = net.scored(bag)[1]
        first = next(iter(net.parameters()))
        assert first.grad is not None
        assert first.grad.dtype == loss.dtype == scores.dtype == torch.float32
        found.append((float(loss.detach()), first.grad, scores))
    (loss, gradient, scores), (other_loss, other, other_scores) = found
    assert other_loss == pytest.approx(loss, rel=0.01)
    if name != "max-pool":
        # Of max pooling one patch alone has a gradient, and rounding may choose its neighbour.
        assert float((other - gradient).norm()) < 0.1 * float(gradient.norm())
    assert float((other_scores - scores).abs().max()) < 0.1 * float(scores.std())
    # In bf16 itself, 9,000 scores would have a few hundred values.
    assert len(other_scores[0].unique()) > 8000


def test_weights_are_drawn_from_the_seed_alone() -> None:
    torch.manual_seed(3)
    first = torch.rand(1)
    torch.manual_seed(3)
    nets = [build_bag_network("clam-sb", D, 2, seed=seed) for seed in (1, 1, 2)]
    assert torch.equal(torch.rand(1), first)
    one, same, other = (net.classifiers.weight for net in nets)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_wrong_names_and_sizes_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"Unknown network on bags 'clam'. There are clam-sb, clam-mb"):
        build_bag_network("clam", D, 2)
    with pytest.raises(SettingsError, match="needs at least 2 classes and 1 feature, not 1 and 12"):
        build_bag_network("clam-sb", D, 1)
