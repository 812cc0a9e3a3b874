"""The network of the package: small, what its card says, and a better finder of cells than the classical detector."""

from __future__ import annotations

import pytest

from qupath_her2.models.card import read_card, weights_path
from qupath_her2.models.shipped import SHIPPED, shipped_checkpoint
from qupath_her2.models.specs import MODELS
from qupath_her2.patches.targets.targets import TARGET_CLASSES
from qupath_her2.provenance import sha256_file

MAX_BYTES = 20 << 20
#: Neither the trainings nor the report draw with it.
SEED = 870_000


@pytest.mark.parametrize("name", SHIPPED)
def test_it_is_small_and_matches_its_card(name: str) -> None:
    path = shipped_checkpoint(name)
    card = read_card(path)
    assert weights_path(path).stat().st_size < MAX_BYTES
    assert sha256_file(weights_path(path)) == card.weights_sha256
    assert (card.model, card.task, card.pixel_size_um) == (name, "segmentation", 0.25)
    assert card.class_names == tuple(TARGET_CLASSES)
    # Nobody's weights are in it, so that the package's licence is its own.
    assert card.initial_weights == "random"
    assert MODELS[name].backbone is None


def test_other_names_are_refused() -> None:
    with pytest.raises(ValueError, match="there are unet"):
        shipped_checkpoint("her2net")


@pytest.mark.parametrize("name", SHIPPED)
def test_it_finds_cells_better_than_the_classical_detector(name: str) -> None:
    pytest.importorskip("torch")
    from tests.quality.network_cells import compare_cells

    classical, network = compare_cells([shipped_checkpoint(name)], [SEED], extent_um=130.0)
    assert classical.nuclei.f1 > 0.9
    assert network.nuclei.f1 > classical.nuclei.f1
    assert network.cells.pq > classical.cells.pq + 0.03
