from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qupath_her2.slides.stains.estimate import StainDirections, StainEstimateSettings, angle_deg
from qupath_her2.slides.stains.groups import deviation_deg, group_images
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB, Vector, unit_vector

H, D = unit_vector((0.68, 0.65, 0.34), "h"), unit_vector((0.34, 0.57, 0.74), "d")
#: Another laboratory: haematoxylin without blue absorption, 17° from H.
FAR = unit_vector((0.83, 0.55, 0.10), "far")
LIMIT = StainEstimateSettings().max_member_deviation_deg


def directions(h: Vector | None = H, d: Vector | None = D, share: float = 0.3) -> StainDirections:
    return StainDirections(h, d, share if d else 0.01, 20_000)


def jittered(rng: np.random.Generator, vector: Vector, sd: float) -> Vector:
    return unit_vector(tuple(np.asarray(vector) + rng.normal(0, sd, 3)), "jittered")


def test_images_that_agree_share_the_median_of_their_directions() -> None:
    rng = np.random.default_rng(1)
    own = {f"i{k}": directions(jittered(rng, H, 0.02), jittered(rng, D, 0.02)) for k in range(9)}
    (group,) = group_images(own)
    assert group.members == tuple(sorted(own))
    assert angle_deg(group.vectors.hematoxylin, H) < 1.5
    assert angle_deg(group.vectors.dab, D) < 1.5
    assert group.vectors.source == "estimated from 9 images"


@pytest.mark.parametrize("odd", [directions(FAR), directions(FAR, None), directions(H, (0.6, 0.6, 0.53))])
def test_a_picture_of_another_laboratory_leaves_and_moves_nothing(odd: StainDirections) -> None:
    rng = np.random.default_rng(2)
    own = {f"i{k}": directions(jittered(rng, H, 0.01), jittered(rng, D, 0.01)) for k in range(4)}
    (before,) = group_images(own)
    with_odd = group_images(own | {"a_odd": odd})
    assert with_odd[0] == before
    assert with_odd[1].members == ("a_odd",)


def test_an_odd_picture_within_reach_has_one_vote() -> None:
    near = unit_vector(tuple(np.add(H, (0.10, -0.06, -0.06))), "near")
    assert 5 < angle_deg(near, H) < LIMIT
    own = {f"i{k}": directions() for k in range(4)}
    (group,) = group_images(own | {"odd": directions(near)})
    assert angle_deg(group.vectors.hematoxylin, H) < 1e-3


def test_images_without_dab_take_that_of_their_group() -> None:
    own = {"negative": directions(d=None), "positive": directions()}
    (group,) = group_images(own)
    assert group.vectors.source == "estimated from 2 images, DAB from 1"
    assert angle_deg(group.vectors.dab, D) < 1e-3


def test_without_any_dab_the_defaults_stand() -> None:
    (group,) = group_images({"one": directions(d=None), "two": directions(d=None)})
    assert (group.vectors.hematoxylin, group.vectors.dab) == (QUPATH_H_DAB.hematoxylin, QUPATH_H_DAB.dab)
    assert group.vectors.source.startswith(QUPATH_H_DAB.source)


def test_two_laboratories_become_two_groups_and_blank_images_join_the_larger() -> None:
    own = {f"a{k}": directions() for k in range(3)} | {f"b{k}": directions(FAR) for k in range(2)}
    blank = StainDirections(None, None, 0.0, 12)
    first, second = group_images(own | {"blank": blank})
    assert first.members == ("a0", "a1", "a2", "blank")
    assert second.members == ("b0", "b1")
    # Two that disagree have no majority: each keeps its own.
    assert [group.members for group in group_images({"x": directions(), "y": directions(FAR)})] == [
        ("x",),
        ("y",),
    ]
    assert group_images({}) == []
    assert [group.members for group in group_images({"blank": blank})] == [("blank",)]


def test_weakly_stained_images_count_less_for_dab() -> None:
    yellow = unit_vector((0.30, 0.50, 0.81), "thin DAB")
    own = {f"weak{k}": directions(d=yellow, share=0.05) for k in range(3)} | {"strong": directions(share=0.6)}
    (group,) = group_images(own)
    assert angle_deg(group.vectors.dab, D) < 1e-3


@given(
    st.dictionaries(
        st.text("abcdef", min_size=1, max_size=4),
        st.tuples(st.integers(0, 2**32 - 1), st.floats(0, 0.3), st.booleans()),
        max_size=12,
    )
)
def test_every_image_is_in_one_group_whatever_the_order(spread: dict[str, tuple[int, float, bool]]) -> None:
    own = {}
    for name, (seed, sd, has_dab) in spread.items():
        rng = np.random.default_rng(seed)
        own[name] = directions(jittered(rng, H, sd), jittered(rng, D, sd) if has_dab else None)
    groups = group_images(own)
    assert sorted(name for group in groups for name in group.members) == sorted(own)
    assert [len(g.members) for g in groups] == sorted((len(g.members) for g in groups), reverse=True)
    assert group_images(dict(reversed(own.items()))) == groups


def test_deviation_is_the_larger_angle_of_what_both_have() -> None:
    assert deviation_deg(directions(FAR), directions()) == pytest.approx(angle_deg(FAR, H))
    assert deviation_deg(directions(), QUPATH_H_DAB) == pytest.approx(
        max(angle_deg(H, QUPATH_H_DAB.hematoxylin), angle_deg(D, QUPATH_H_DAB.dab))
    )
    assert deviation_deg(directions(d=None), directions(d=FAR)) == pytest.approx(0, abs=1e-5)
    assert deviation_deg(StainDirections(None, None, 0, 0), directions()) == 0
