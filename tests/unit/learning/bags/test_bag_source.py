"""Bags of a cohort: read, kept within the memory, and refused where they do not belong together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")
pytest.importorskip("h5py", reason="feature files are NOT TESTED: pip install 'qupath-her2[learn]'")

from qupath_her2.errors import ModelError  # noqa: E402
from qupath_her2.learning.bags.bag_source import Bags, common_info  # noqa: E402
from qupath_her2.learning.bags.feature_files import read_features, write_features  # noqa: E402
from tests.helpers.drawn_bags import draw_cohort  # noqa: E402


def test_bags_are_the_files_and_kept_while_the_memory_allows(tmp_path: Path) -> None:
    _, paths = draw_cohort(tmp_path, cases=3)
    for memory, n_kept in ((4.0, 3), (0.0, 0)):
        bags = Bags(paths, memory)
        for row, path in enumerate(paths):
            np.testing.assert_array_equal(bags[row].numpy(), read_features(path).features)
        assert len(bags._kept) == n_kept
        assert (len(bags), bags.info.encoder) == (3, "drawn")


def test_a_bag_read_while_predicting_can_be_learned_from(tmp_path: Path) -> None:
    _, paths = draw_cohort(tmp_path, cases=1)
    bags = Bags(paths)
    with torch.inference_mode():
        bags[0]
    torch.nn.Linear(16, 1)(bags[0]).sum().backward()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"encoder": "uni"}, "differ in their encoder: uni and drawn. Embed all slides with one encoder"),
        ({"weights_sha256": "cd" * 32}, "differ in the weights of encoder 'drawn'"),
        ({"pixel_size_um": 1.0}, "differ in scale: 1 and 0.5 µm/px"),
    ],
)
def test_features_that_do_not_belong_together(tmp_path: Path, changed: dict[str, object], says: str) -> None:
    _, paths = draw_cohort(tmp_path, cases=2)
    found = read_features(paths[1])
    write_features(paths[1], replace(found, info=replace(found.info, **changed)))
    with pytest.raises(ModelError, match=says):
        common_info(paths)


def test_other_numbers_per_patch_and_no_files(tmp_path: Path) -> None:
    _, paths = draw_cohort(tmp_path / "a", cases=1)
    _, others = draw_cohort(tmp_path / "b", cases=1, n_features=8)
    with pytest.raises(ModelError, match="differ in numbers per patch: 8 and 16"):
        Bags((*paths, *others))
    with pytest.raises(ModelError, match=r"There are no feature files\. Embed the slides first"):
        Bags(())
