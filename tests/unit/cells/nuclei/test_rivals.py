from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qupath_her2.cells.nuclei.rivals import RIVAL_FEATURES, rival_features

UM_PX = 0.5


def features(rows: list[tuple[float, float, float, float]]) -> dict[str, np.ndarray]:
    """Features of outlines given as x µm, y µm, radius µm, edge."""
    x, y, radius, edge = np.array(rows, float).T
    centres = np.stack([x, y], 1) / UM_PX
    found = rival_features(centres, (np.pi * radius**2).astype(np.float32), edge.astype(np.float32), UM_PX)
    assert found.dtype == np.float32
    return dict(zip(RIVAL_FEATURES, found.T, strict=True))


def test_an_outline_alone_and_none_at_all() -> None:
    assert not any(values.any() for values in features([(50, 50, 4, 0.1)]).values())
    none = rival_features(np.zeros((0, 2)), np.zeros(0, np.float32), np.zeros(0, np.float32), UM_PX)
    assert none.shape == (0, len(RIVAL_FEATURES))


def test_the_same_nucleus_found_twice() -> None:
    found = features([(50, 50, 4, 0.1), (50.5, 50, 4.2, 0.05)])
    assert found["same"] == pytest.approx([1, 1])
    assert found["inside"] == pytest.approx([1, 1])
    assert not found["others_inside"].any()
    assert not found["inner_edge"].any()
    assert found["outer_edge"] == pytest.approx([0.5, 2])
    assert not found["parts_inside"].any()


def test_an_outline_of_two_nuclei_holds_both() -> None:
    found = features([(50, 50, 7, 0.05), (46.5, 50, 3, 0.1), (53.5, 50, 3, 0.08)])
    assert found["inside"] == pytest.approx([2, 0, 0])
    assert found["others_inside"] == pytest.approx([2, 0, 0])
    assert found["inner_edge"] == pytest.approx([2, 0, 0])
    assert found["parts_inside"] == pytest.approx([2, 0, 0])
    # The two lie in the large one, whose edge is weaker.
    assert found["outer_edge"] == pytest.approx([0, 0.5, 0.625])


def test_clear_neighbours_are_counted_up_to_8_um() -> None:
    found = features([(50, 50, 3, 0.1), (56, 50, 3, 0.1), (50, 57.9, 3, 0.05), (50, 41.9, 3, 0.1)])
    assert found["clear_near"][0] == 1
    # For the weak one both of the others in reach are clear.
    assert found["clear_near"][2] == 1


@given(
    st.lists(
        st.tuples(*[st.integers(20 * 32, 60 * 32)] * 2, st.integers(2, 14), st.integers(1, 9)),
        min_size=1,
        max_size=25,
    )
)
def test_order_and_place_of_the_outlines_do_not_matter(drawn: list[tuple[int, int, int, int]]) -> None:
    rows = [(x / 32, y / 32, r / 2, e / 100) for x, y, r, e in drawn]
    plain = np.stack(list(features(rows).values()))
    turned = np.stack(list(features(rows[::-1]).values()))
    moved = np.stack(list(features([(x + 11.5, y + 3.0, r, e) for x, y, r, e in rows]).values()))
    assert (turned[:, ::-1] == plain).all()
    assert (moved == plain).all()
