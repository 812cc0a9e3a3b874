"""Classes of regions and images from their patches: by vote, by a head over counts, or none."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import shapely

from qupath_her2.errors import ModelError
from qupath_her2.models.card import ModelCard
from qupath_her2.models.count_heads import fit_count_head, save_count_head
from qupath_her2.records import NOT_MEASURED, PatchTable, Region, SlideScore
from qupath_her2.runs.methods.patch_score import score_of_patches
from qupath_her2.scoring.votes import VoteSettings

NAMES = ("0", "3+")
CARD = ModelCard("convoher2", NAMES, "her2-2", 0.5, 64, (0.5,) * 3, (0.5,) * 3, recipe="mine")
REGIONS = tuple(Region(UUID(int=i + 1), shapely.box(0, 0, 9, 9), "tumour") for i in range(2))


def table_of(probabilities: list[float], region: list[int]) -> PatchTable:
    """Patches with these probabilities of 3+; NaN for a patch that could not be read."""
    high = np.array(probabilities, np.float32)
    known = np.isfinite(high)
    n = len(high)
    return PatchTable(
        np.zeros((n, 16), np.uint8),
        np.zeros((n, 4), np.int32),
        np.array(region, np.int32),
        np.stack([1 - high, high], 1),
        np.where(known, high > 0.5, NOT_MEASURED).astype(np.uint8),
        tuple(f"HER2 patch {name}" for name in NAMES),
    )


def scored(table: PatchTable, *, head: Path | None = None, by_core: bool = False) -> SlideScore:
    return score_of_patches(VoteSettings("mean"), head, CARD, table, REGIONS, by_core, ("a warning",))


def test_image_and_regions_are_voted_and_never_called_a_score() -> None:
    found = scored(table_of([0.9, 0.8, 0.1], [0, 0, 1]))
    assert (found.status, found.score, found.guideline) == ("predicted", None, "none")
    assert found.prediction is not None
    assert (found.prediction.class_name, found.prediction.model) == ("3+", "mine")
    assert found.prediction.probabilities["3+"] == pytest.approx(0.6)
    assert found.reason.startswith("3 patches by 'mine': '3+' (")
    assert found.reason.endswith("not a score by a guideline. Research use only.")
    assert found.warnings == ("a warning",)
    by_region = [found.regions[str(region.uuid)] for region in REGIONS]
    assert [one.prediction.class_name for one in by_region if one.prediction] == ["3+", "0"]
    assert [one.warnings for one in by_region] == [(), ()]


def test_unreadable_patches_do_not_vote() -> None:
    found = scored(table_of([0.9, np.nan, np.nan], [0, 0, 1]))
    assert found.prediction is not None
    assert found.prediction.n_patches == 1
    lost = found.regions[str(REGIONS[1].uuid)]
    assert (lost.status, lost.refusal_code) == ("not assessable", "no_patches")


def test_cores_have_classes_and_the_slide_has_none() -> None:
    found = scored(table_of([0.9, 0.1], [0, 1]), by_core=True)
    assert (found.status, found.refusal_code, found.prediction) == ("not assessable", "by_core", None)
    assert "Each of the 2 cores has its own class" in found.reason
    assert all(one.status == "predicted" for one in found.regions.values())


def test_a_head_classifies_the_image_and_regions_still_vote(tmp_path: Path) -> None:
    path = tmp_path / "majority.json"
    save_count_head(path, fit_count_head("majority", [], [], patch_classes=NAMES, slide_classes=NAMES))
    # Mean probability says 3+, two of three patches say 0.
    found = scored(table_of([1.0, 0.4, 0.4], [0, 0, 1]), head=path)
    assert found.prediction is not None
    assert (found.prediction.class_name, found.prediction.rule) == (
        "0",
        "majority over the counts of its patches",
    )
    first = found.regions[str(REGIONS[0].uuid)].prediction
    assert first is not None
    assert "majority over the counts" not in first.rule


def test_a_head_counts_all_tissue_where_that_is_given(tmp_path: Path) -> None:
    path = tmp_path / "head.json"
    save_count_head(path, fit_count_head("majority", [], [], patch_classes=NAMES, slide_classes=NAMES))
    table, counts = table_of([1.0, 0.4, 0.4], [0, 0, 1]), np.zeros(len(NAMES), np.int64)
    counts[[0, -1]] = 2, 9
    found = score_of_patches(VoteSettings("mean"), path, CARD, table, REGIONS, False, (), counts)
    assert found.prediction is not None
    assert (found.prediction.class_name, found.prediction.n_patches) == (NAMES[-1], 11)
    assert "over the counts of the patches of all tissue" in found.reason


def test_a_head_of_other_classes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "majority.json"
    other = ("low", "high")
    save_count_head(path, fit_count_head("majority", [], [], patch_classes=other, slide_classes=other))
    with pytest.raises(ModelError, match=r"counts the classes low, high, but the network predicts 0, 3\+"):
        scored(table_of([0.9], [0]), head=path)


def test_nothing_readable_is_not_assessable_also_with_a_head(tmp_path: Path) -> None:
    found = scored(table_of([np.nan], [0]), head=tmp_path / "none.json")
    assert (found.status, found.refusal_code) == ("not assessable", "no_patches")
