"""Results of proposed regions: what their first sentence says."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest
import shapely

from qupath_her2.records import TUMOUR_PROBABILITY, CellTable, Region, Score, SlideScore
from qupath_her2.runs.proposed_tumour import (
    DRAWN,
    region_probabilities,
    with_tumour_origin,
)
from qupath_her2.runs.refused_image import empty_table

REGIONS = tuple(Region(UUID(int=n), shapely.box(0, 0, 1, 1), "tumour", "Tumor?") for n in (1, 2))


def table(region: list[int], probability: list[float]) -> CellTable:
    n = len(region)
    return replace(
        empty_table(),
        uuid=np.zeros((n, 16), np.uint8),
        region=np.array(region, np.int32),
        measurements=np.array(probability, np.float32)[:, None],
        measurement_names=(TUMOUR_PROBABILITY,),
    )


def test_the_probability_of_a_region_is_the_mean_of_its_cells() -> None:
    cells = table([0, 2, 0], [0.6, 0.9, 0.8])
    assert region_probabilities(cells, 3) == pytest.approx([0.7, np.nan, 0.9], nan_ok=True)
    assert np.isnan(region_probabilities(empty_table(), 2)).all()


def score(status: str, value: str | None, reason: str) -> SlideScore:
    one = Score(status, value, reason, "g")  # type: ignore[arg-type]
    return SlideScore(status, value, reason, "g", regions={str(region.uuid): one for region in REGIONS})  # type: ignore[arg-type]


def test_the_first_sentence_says_that_nobody_confirmed_the_regions() -> None:
    said = "3+: 45.0 % of 1,000 tumour cells show it. Research use only."
    found = with_tumour_origin(
        score("scored", "3+", said), "proposed", table([0, 1, 1], [0.5, 1, 0.75]), REGIONS
    )
    first = (
        "3+ in tumour regions that the program proposed and nobody confirmed: 45.0 % of 1,000 tumour cells"
    )
    assert found.reason.startswith(first)
    assert [one.reason.startswith(first) for one in found.regions.values()] == [True, True]
    assert [one.tumour_probability for one in found.regions.values()] == [0.5, 0.875]


def test_a_refusal_of_proposed_regions_says_so_too() -> None:
    few = score(
        "not assessable", None, "Not assessable: 40 measured tumour cells are too few. Research use only."
    )
    found = with_tumour_origin(few, "proposed", table([0], [0.9]), REGIONS)
    assert found.reason.startswith(
        "Not assessable in tumour regions that the program proposed and nobody confirmed: 40"
    )
    # No cell lies in the second region.
    assert [one.tumour_probability for one in found.regions.values()] == [0.9, None]


def test_an_image_without_proposals_and_one_with_drawn_regions() -> None:
    none = SlideScore("not assessable", None, "Not assessable: no tumour was found.", "g")
    assert with_tumour_origin(none, "proposed", empty_table(), ()) == none
    drawn = score("scored", "2+", "2+: so.")
    assert with_tumour_origin(drawn, "", empty_table(), REGIONS) == drawn
    found = with_tumour_origin(drawn, "drawn", empty_table(), REGIONS)
    assert found == replace(drawn, tags=(DRAWN,))
