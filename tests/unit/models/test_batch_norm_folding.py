"""Folded networks say what the unfolded ones say."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")
timm = pytest.importorskip("timm", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")

from qupath_her2.models.batch_norm_folding import fold_batch_norm  # noqa: E402


@pytest.mark.parametrize(("name", "n"), [("tf_efficientnet_lite0", 49), ("test_resnet", 15), ("test_vit", 0)])
def test_the_output_stays_and_no_normalisation_is_left(name: str, n: int) -> None:
    torch.manual_seed(0)
    net = timm.create_model(name, pretrained=False, num_classes=0).eval()
    for one in net.modules():
        if isinstance(one, torch.nn.BatchNorm2d):
            # Untrained statistics of 0 and 1 would hide a wrong fold.
            one.running_mean.uniform_(-0.2, 0.2)
            one.running_var.uniform_(0.5, 1.5)
            one.bias.data.uniform_(-0.2, 0.2)
    side = net.pretrained_cfg["input_size"][-1]
    seen = torch.randn(2, 3, side, side)
    folded = copy.deepcopy(net)
    assert fold_batch_norm(folded, seen[:1]) == n
    assert not [one for one in folded.modules() if isinstance(one, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        assert torch.allclose(folded(seen), net(seen), atol=1e-4, rtol=1e-3)
