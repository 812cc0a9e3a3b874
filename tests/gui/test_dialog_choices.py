"""What the dialogs offer besides the usual: each choice is made in a window, on drawn fields."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.groovy.fields import make_fields, python_program
from tests.gui.hand import OTHER_WINDOWS_CLOSED, select
from tests.gui.screen import WINDOW_MARKS, Screen
from tests.gui.test_menu_items import choose, opened
from tests.helpers.qupath import QuPath

pytestmark = WINDOW_MARKS
DETECTED, U_NET = "Nuclei and membranes detected by HER2", "The U-Net of HER2 (slower; needs torch)"
DIALOG = "HER2: score"
DRAWN = "Tumor annotations"
FOUND = "Tumor annotations; where there are none, tumour that HER2 finds"
EVERYTHING = "Tumor annotations; where there are none, all tissue"
NO_REGIONS = (
    "def h = qupath.getImageData().getHierarchy(); "
    "h.removeObjects(h.getAnnotationObjects() as List, false); true"
)


def score_with(shown: Screen, picture: Path, *choices: tuple[str, str]) -> tuple[str, list[str]]:
    """Score with changed choices of the dialog; return the sentence and all texts of the box."""
    choose(shown, "Score…")
    shown.box("Score open image repeats these choices")
    for now, wanted in choices:
        select(shown, now, wanted)
    shown.click("OK")
    # The dialog says "Research use only." too.
    shown.wait(lambda s: DIALOG not in s["titles"], "the dialog to close")
    return result(shown, picture)


def result(shown: Screen, picture: Path) -> tuple[str, list[str]]:
    sentence = shown.box("Research use only.")
    shown.wait(lambda s: any(title.startswith("HER2: ") for title in s["titles"]), "the box")
    texts = shown.texts()
    shown.picture(picture)
    shown.ask(OTHER_WINDOWS_CLOSED)
    return sentence, texts


def test_cell_finder_and_regions(qupath: QuPath, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="NOT TESTED: the U-Net needs torch")
    fields = make_fields(qupath, tmp_path / "her2 study", tmp_path / "private", ("3+", "1+"))
    with opened(fields, tmp_path, python_program(tmp_path)) as shown:
        sentence, texts = score_with(shown, tmp_path / "u_net.png", (DETECTED, U_NET))
        assert sentence.startswith("3+: ")
        assert "Cells by unet, 0.5 µm/px." in texts

        # Drawn regions count whatever is to be done where there are none.
        sentence, _ = score_with(shown, tmp_path / "drawn.png", (U_NET, DETECTED), (DRAWN, EVERYTHING))
        assert sentence.startswith("3+: ")
        inside = shown.state()["objects"]["cells"]
        shown.ask(NO_REGIONS)
        choose(shown, "Score open image")
        shown.click("Yes")
        sentence, texts = result(shown, tmp_path / "all_tissue.png")
        assert any("No one chose the tumour" in text for text in [sentence, *texts]), [sentence, *texts]
        assert shown.state()["objects"]["cells"] > inside

        sentence, _ = score_with(shown, tmp_path / "found.png", (EVERYTHING, FOUND))
        assert "that the program proposed and nobody confirmed" in sentence

        choose(shown, "Score…")
        shown.box("Score open image repeats these choices")
        select(shown, FOUND, DRAWN)
        select(shown, "The open image", "Images without a score")
        shown.click("OK")
        table = shown.box("1 image: 1 scored")
        assert "case02" in table
        assert "case01" not in table
        shown.picture(tmp_path / "unscored.png")


def test_predict_with_a_network(qupath: QuPath, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="NOT TESTED: networks need torch")
    from qupath_her2.models.card import ModelCard
    from qupath_her2.models.checkpoint import save_checkpoint
    from qupath_her2.models.registry import build_model

    fields = make_fields(qupath, tmp_path / "her2 study", tmp_path / "private", ("3+",))
    torch.manual_seed(0)
    net = build_model("timm:test_resnet", 4, weights="random")
    mean, std = net.normalisation
    classes = ("0", "1+", "2+", "3+")
    card = ModelCard(
        net.model_name, classes, "her2-4", pixel_size_um=0.5, patch_size_px=64, mean=mean, std=std
    )
    save_checkpoint(fields.her2 / "models" / "se1" / "best", net, card)
    with opened(fields, tmp_path, python_program(tmp_path)) as shown:
        choose(shown, "Network", "Predict with a network…")
        shown.wait_for("se1/best")
        shown.picture(tmp_path / "network.png")
        shown.click("OK")
        shown.box("Extensions > HER2 > Network > Show heat map")
        shown.picture(tmp_path / "predicted.png")
        shown.click("OK")
        state = shown.state()
        assert not state["metadata"].get("HER2 score")
        assert state["objects"]["cells"] == 0
        choose(shown, "Network", "Show heat map")
        laid = "qupath.getViewer().getCustomOverlayLayers().collect { it.toString() }"
        shown.until(lambda: bool(shown.ask(laid)), "a heat map")
        shown.picture(tmp_path / "heat_map.png")
