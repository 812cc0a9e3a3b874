from __future__ import annotations

import subprocess
import sys

import pytest

from qupath_her2.errors import MissingExtraError, SettingsError
from qupath_her2.models.optional import need
from qupath_her2.models.registry import MODELS, check_input, find_model, model_names


def test_the_papers_networks_are_registered() -> None:
    assert set(model_names()) >= {
        "convoher2",
        "se-resnet50",
        "inception_v3",
        "efficientnet_b0",
        "resnet50",
        "tumour-resnet34",
        "lowres-resnet50",
        "lowres-densenet201",
        "lowres-vit_base",
        "lowres-convnext_small",
    }
    assert all(name == spec.name for name, spec in MODELS.items())


def test_the_registry_is_read_without_torch() -> None:
    code = "import sys, qupath_her2.models.registry as m; m.find_model('convoher2'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(SettingsError, match="Did you mean 'se-resnet50'"):
        find_model("se-resnet5O")
    with pytest.raises(SettingsError, match="timm:NAME"):
        find_model("")


@pytest.mark.parametrize(
    ("name", "side", "words"), [("lowres-vit_base", 250, "multiple of 16"), ("convoher2", 64, "75")]
)
def test_an_unsupported_side_is_refused(name: str, side: int, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        check_input(MODELS[name], side)
    check_input(MODELS[name], MODELS[name].input.default)


def test_a_missing_extra_names_the_install_command() -> None:
    with pytest.raises(MissingExtraError, match=r'pip install "qupath-her2\[learn\]"'):
        need("sys", "no_such_package_at_all")


class TestBuilding:
    @pytest.fixture(autouse=True)
    def _torch(self) -> None:
        pytest.importorskip("torch", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")
        pytest.importorskip("timm", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"hiden": 3}, "no option 'hiden'; it has: reduction"),
            ({"hidden": "8"}, "'hidden' .* must be 1 to"),
            ({"hidden": True}, "'hidden' .* must be 1 to"),
            ({"hidden": 10**9}, "'hidden' .* must be 1 to"),
            ({"dropout": 1.0}, "'dropout' .* 0 <= value < 1"),
            ({"dropout": float("nan")}, "'dropout' .* 0 <= value < 1"),
        ],
    )
    def test_wrong_options_are_named(self, options: dict[str, object], words: str) -> None:
        from qupath_her2.models.registry import build_model

        with pytest.raises(SettingsError, match=words):
            build_model("se-resnet50", 3, weights="random", **options)

    def test_a_single_class_is_refused(self) -> None:
        from qupath_her2.models.registry import build_model

        with pytest.raises(SettingsError, match="at least 2 classes, not 1"):
            build_model("resnet50", 1, weights="random")

    def test_timm_by_name(self) -> None:
        spec = find_model("timm:resnet18.a1_in1k")
        assert spec.backbone_licence == "apache-2.0"
        with pytest.raises(SettingsError, match="resnet18"):
            find_model("timm:resnet18x")
