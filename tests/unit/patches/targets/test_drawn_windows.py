from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.errors import PatchError
from qupath_her2.patches.cutting.cut_windows import scores_of
from qupath_her2.patches.targets.drawn_windows import DrawnWindow, drawn_windows
from qupath_her2.patches.targets.targets import OTHER_NUCLEUS, TARGET_CLASSES, TUMOUR_TARGET_CLASSES
from qupath_her2.patches.targets.truth_targets import truth_target
from qupath_her2.synthetic.field import Field, draw_field
from qupath_her2.synthetic.presets import preset


def field(seed: int, um_px: float = 1.0, side: int = 70) -> Field:
    return draw_field(preset("score", seed, score="3+", width_px=side, height_px=side, pixel_size_um=um_px))


def test_windows_show_their_part_of_the_field_and_of_its_truth() -> None:
    one, other = field(811_010), field(811_011)
    data = drawn_windows([DrawnWindow(one, "3+", 0), DrawnWindow(other, "3+", 2)], window=32)
    assert data.manifest.box_xywh[:4, :2].tolist() == [[0, 0], [32, 0], [0, 32], [32, 32]]
    assert data.manifest.split.tolist() == [0] * 4 + [2] * 4
    assert scores_of(data.manifest) == ["3+", "3+"]
    truth = truth_target(other)
    assert np.array_equal(data.read(np.array([5]))[0], other.rgb[:32, 32:64])
    assert np.array_equal(data.targets.read(np.array([6]))[0], truth[32:64, :32])
    pictures, failed = data.read_readable(np.array([0, 7]))
    assert pictures.shape == (2, 32, 32, 3)
    assert failed == []


def test_nuclei_of_other_cells_can_be_a_class_of_their_own() -> None:
    one = DrawnWindow(field(811_014), "3+", 0)
    plain, apart = (drawn_windows([one], window=32, tells_tumour=tells) for tells in (False, True))
    assert plain.manifest.class_names == TARGET_CLASSES
    assert apart.manifest.class_names == TUMOUR_TARGET_CLASSES
    assert apart.targets.counts.shape == (4, 4)
    assert apart.targets.counts[:, OTHER_NUCLEUS].sum() > 0
    assert np.array_equal(apart.targets.counts[:, 2:].sum(1), plain.targets.counts[:, 2])


def test_incompatible_fields_are_refused() -> None:
    one = DrawnWindow(field(811_012), "3+", 0)
    with pytest.raises(PatchError, match=r"these 2 have pixel sizes \[.*\] and 1 different names"):
        drawn_windows([one, one], window=32)
    with pytest.raises(PatchError, match="one pixel size"):
        drawn_windows([one, DrawnWindow(field(811_013, um_px=0.8), "3+", 0)], window=32)
    with pytest.raises(PatchError, match="as large as a window"):
        drawn_windows([one])
