"""The networks of the package: small, what their cards say, better finders of cells than the classical detector."""

from __future__ import annotations

from pathlib import Path

import pytest

from qupath_her2.models.card import read_card, weights_path
from qupath_her2.models.shipped import SHIPPED, shipped_checkpoint, shipped_checkpoints
from qupath_her2.models.specs import MODELS
from qupath_her2.patches.targets.targets import TARGET_CLASSES, TUMOUR_TARGET_CLASSES
from qupath_her2.provenance import sha256_file

MAX_BYTES = 3 << 20
#: Neither the trainings nor the report draw with it.
SEED = 870_000


#: Pixel size, µm, and classes of each network of the package.
NETWORKS = {"unet": (0.25, TARGET_CLASSES), "unet-0.5": (0.5, TUMOUR_TARGET_CLASSES)}
PATHS = [path for name in SHIPPED for path in shipped_checkpoints(name)]


def test_each_scale_has_its_network_from_fine_to_coarse() -> None:
    assert [path.name for path in PATHS] == list(NETWORKS)
    sizes = [read_card(path).pixel_size_um for path in shipped_checkpoints("unet")]
    assert sizes == sorted(sizes)
    assert shipped_checkpoint("unet") == PATHS[0]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_it_is_small_and_matches_its_card(path: Path) -> None:
    um_px, class_names = NETWORKS[path.name]
    card = read_card(path)
    assert weights_path(path).stat().st_size < MAX_BYTES
    assert sha256_file(weights_path(path)) == card.weights_sha256
    assert (card.model, card.task, card.pixel_size_um) == ("unet", "segmentation", um_px)
    assert card.class_names == class_names
    # What it was trained on, and how well it did there.
    assert len(card.data_hash) == 64
    assert card.metrics["validation_macro_f1"] > 0.7
    # Nobody else's weights are in it, so that the package's licence is its own.
    own = f"checkpoint unet, sha256 {read_card(PATHS[0]).weights_sha256}"
    assert card.initial_weights == ("random" if path == PATHS[0] else own)
    assert MODELS[card.model].backbone is None
    assert set(card.versions) == {"torch", "numpy"}


def test_other_names_are_refused() -> None:
    with pytest.raises(ValueError, match="there are unet"):
        shipped_checkpoint("her2net")


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_it_finds_cells_better_than_the_classical_detector(path: Path) -> None:
    pytest.importorskip("torch")
    from tests.quality.network_cells import compare_cells

    classical, network = compare_cells([path], [SEED], extent_um=130.0, um_px=NETWORKS[path.name][0])
    assert classical.nuclei.f1 > 0.9
    assert network.nuclei.f1 > classical.nuclei.f1
    assert network.cells.pq > classical.cells.pq + 0.03
