from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")
pytest.importorskip("timm", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")

from qupath_her2.models.registry import build_model  # noqa: E402
from qupath_her2.models.sizes import model_size  # noqa: E402


@pytest.fixture(scope="module")
def convoher2() -> Any:
    torch.manual_seed(0)
    return build_model("convoher2", 4, weights="random")


def test_convoher2_has_the_papers_parameters(convoher2: Any) -> None:
    """Mridha et al. 2023, table I, line by line."""
    assert model_size(convoher2).trainable == 9_724_932
    lines = [model_size(layer) for layer in convoher2.head if not isinstance(layer, torch.nn.ReLU)]
    in_keras = [size.parameters + size.running for size in lines]
    assert in_keras == [8192, 4_196_352, 8192, 3_147_264, 6144, 2_360_832, 6144, 6148]


def test_convoher2_total_is_the_papers_when_counted_as_keras_does(convoher2: Any) -> None:
    size = model_size(convoher2)
    norms = [m for m in convoher2.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    scales = sum(m.weight.numel() for m in norms)
    assert scales == 17_216
    backbone = model_size(convoher2.backbone)
    assert backbone.parameters + backbone.running - scales == 21_802_784
    assert size.parameters + size.running - scales == 31_542_052


def test_frozen_batch_statistics_stay_while_the_head_learns(convoher2: Any) -> None:
    convoher2.train()
    assert convoher2.head[0].training
    assert not any(module.training for module in convoher2.backbone.modules())
    frozen = {k: v.clone() for k, v in convoher2.backbone.state_dict().items()}
    head = convoher2.head[0].running_mean.clone()
    step = torch.optim.SGD([p for p in convoher2.parameters() if p.requires_grad], lr=0.1)
    convoher2(torch.randn(4, 3, 80, 80)).square().sum().backward()
    step.step()
    assert all(torch.equal(v, frozen[k]) for k, v in convoher2.backbone.state_dict().items())
    assert not torch.equal(convoher2.head[0].running_mean, head)
    convoher2.eval()
    assert not any(module.training for module in convoher2.modules())


def test_squeeze_excitation_of_se_resnet50_is_the_papers() -> None:
    """Hu et al. 2020, eq. 2 to 4: gates from two dense layers on the channels' averages scale the channels."""
    net = build_model("se-resnet50", 3, weights="random", channels=32, hidden=8, reduction=64)
    block = net.neck[0]
    maps = torch.randn(2, 2048, 5, 5)
    squeeze, excite = (layer.weight[:, :, 0, 0] for layer in (block.fc1, block.fc2))
    assert squeeze.shape == (2048 // 64, 2048)
    hidden = torch.relu(maps.mean(dim=(2, 3)) @ squeeze.T + block.fc1.bias)
    gates = torch.sigmoid(hidden @ excite.T + block.fc2.bias)
    with torch.no_grad():
        assert torch.allclose(block(maps), maps * gates[:, :, None, None], atol=1e-6)
        block.fc2.weight.zero_()
        block.fc2.bias.zero_()
        block.fc2.bias[3] = 100.0
        out = block(maps)
    assert torch.allclose(out[:, 3], maps[:, 3])
    assert torch.allclose(out[:, 0], maps[:, 0] / 2)


def test_se_resnet50_reads_the_weight_names_of_its_first_version() -> None:
    net = build_model("se-resnet50", 3, weights="random", channels=32, hidden=8)
    state = net.state_dict()
    before = {
        name.replace("neck.0.fc1.", "neck.0.squeeze.").replace("neck.0.fc2.", "neck.0.excite."): (
            value[:, :, 0, 0] if name in ("neck.0.fc1.weight", "neck.0.fc2.weight") else value
        )
        for name, value in state.items()
    }
    assert before.keys() != state.keys()
    again = net.current_names(before)
    assert again.keys() == state.keys()
    assert all(torch.equal(again[name], value) for name, value in state.items())
    assert net.current_names(state).keys() == state.keys()


def test_grad_cam_of_se_resnet50_reads_its_separable_convolution() -> None:
    net = build_model("se-resnet50", 3, weights="random", channels=32, hidden=8)
    depthwise, pointwise = net.neck[1], net.neck[2]
    assert depthwise.groups == depthwise.in_channels == 2048
    assert pointwise.weight.shape == (32, 2048, 1, 1)
    assert net.cam_layer == "neck"
    assert net.head[3].p == 0.5


def test_a_transformer_is_built_for_the_given_side() -> None:
    net = build_model("timm:vit_tiny_patch16_224", 2, weights="random", input_px=64)
    assert net(torch.randn(1, 3, 64, 64)).shape == (1, 2)
    assert net.cam_layer == "backbone.blocks.11.norm1"
    assert net.cam_prefix_tokens == 1


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "mixer_s32_224", "xcit_nano_12_p16_224"])
def test_a_network_without_a_usable_feature_map_has_no_cam_layer(name: str) -> None:
    """Channels last; tokens without a map; a prefix that joins only in the last blocks."""
    with torch.device("meta"):
        net = build_model(f"timm:{name}", 2, weights="random")
    assert net.cam_layer is None
    assert net.cam_prefix_tokens is None


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("test_vit", "backbone.blocks.5.norm1"),
        ("test_resnet", "backbone.layer4"),
        ("resnet18", "backbone.layer4"),
    ],
)
def test_a_network_with_a_feature_map_keeps_its_cam_layer(name: str, layer: str) -> None:
    with torch.device("meta"):
        net = build_model(f"timm:{name}", 2, weights="random")
    assert net.cam_layer == layer
