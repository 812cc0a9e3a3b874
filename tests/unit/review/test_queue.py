"""The queue: near cut-points, in dispute and rare first; spread over cases; every choice says why."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import numpy as np

from qupath_her2.cells.membrane.grading import GradingSettings
from qupath_her2.provenance import object_uuids
from qupath_her2.records import CELL_CLASSES, CellTable
from qupath_her2.review.queue import COMPLETENESS, OWN_OD, QueueImage, QueueSettings, choose_cells

CUTS = GradingSettings()


def table(own_od, completeness, classes=None, *, step: float = 100.0) -> CellTable:
    """Return square cells of 10 px, `step` px apart."""
    own_od, completeness = np.asarray(own_od, float), np.asarray(completeness, float)
    n = len(own_od)
    corners = np.array([[-5, -5], [5, -5], [5, 5], [-5, 5]])
    centres = np.column_stack([step * np.arange(n), np.zeros(n)])
    if classes is None:
        classes = np.digitize(own_od, [CUTS.faint_od, CUTS.moderate_od, CUTS.intense_od])
    return CellTable(
        uuid=object_uuids("ab" * 32, n),
        centroid_xy=centres.astype(np.float32),
        cell_xy=(centres[:, None] + corners).reshape(-1, 2).astype(np.float32),
        cell_offsets=4 * np.arange(n + 1),
        nucleus_xy=np.zeros((0, 2), np.float32),
        nucleus_offsets=np.zeros(n + 1, np.int64),
        region=np.zeros(n, np.int32),
        measurements=np.column_stack([own_od, completeness]).astype(np.float32),
        measurement_names=(OWN_OD, COMPLETENESS),
        cell_class=np.asarray(classes, np.uint8),
        class_names=CELL_CLASSES,
    )


def image(cells: CellTable, name: str = "i", case: str = "c", **more) -> QueueImage:
    return QueueImage(name, case, cells, CUTS, more.pop("others", {}), **more)


def test_cells_on_a_cut_point_come_first_and_say_which():
    own_od = np.linspace(0.05, 0.9, 400)
    cells = table(own_od, np.full(400, 0.95))
    chosen = choose_cells([image(cells)], QueueSettings(6))
    assert all(
        abs(np.sqrt(own_od[one.row]) - np.sqrt(cut)) < 0.06
        for one in chosen
        for cut in [nearest(own_od[one.row])]
    )
    assert "OD, moderate from 0.2" in " ".join(one.reasons[0] for one in chosen)
    assert "OD, intense from 0.455" in " ".join(one.reasons[0] for one in chosen)


def nearest(value: float) -> float:
    return min(
        (CUTS.faint_od, CUTS.moderate_od, CUTS.intense_od), key=lambda cut: abs(np.sqrt(value) - np.sqrt(cut))
    )


def test_completeness_near_its_cut_point_is_asked_of_stained_cells_alone():
    stained = image(table([0.32, 0.32], [0.7, 0.9]))
    assert "complete from 0.7" in choose_cells([stained])[0].reasons[0]
    unstained = image(table([0.005], [0.7]))
    assert choose_cells([unstained])[0].reasons == ("typical of its image",)


def test_cells_that_another_source_calls_differently_are_asked():
    # Far from all cut-points, so that nothing else makes them worth asking.
    cells = table(np.linspace(0.3, 0.34, 20), np.linspace(0.85, 0.99, 20))
    classes = cells.cell_class.copy()
    classes[7] = 0
    other = replace(cells, cell_class=classes, centroid_xy=cells.centroid_xy + 1)
    first, second, *_ = choose_cells([image(cells, others={"unet": other})])
    assert (first.row, first.reasons[0]) == (7, "unet says Tumor: Negative")
    assert "unet" not in second.reasons[0]


def test_a_cell_that_another_source_did_not_find_is_no_dispute():
    cells = table([0.32], [0.95])
    other = replace(cells, cell_class=np.array([0], np.uint8), centroid_xy=cells.centroid_xy + 30)
    assert choose_cells([image(cells, others={"unet": other})])[0].reasons == ("typical of its image",)


def test_rare_classes_are_asked():
    own_od = np.concatenate([np.linspace(0.3, 0.34, 99), [0.8]])
    chosen = choose_cells([image(table(own_od, np.linspace(0.85, 1.0, 100)))], QueueSettings(3))
    assert chosen[0].row == 99
    assert chosen[0].reasons[0] == "Tumor: 3+ is rare here (1.0 %)"


def test_cases_take_turns():
    many = image(table(np.linspace(0.15, 0.25, 300), np.linspace(0.75, 1, 300)), "a", "one")
    few = image(table(np.linspace(0.3, 0.34, 5), np.linspace(0.8, 1, 5)), "b", "two")
    again = replace(many, image="c")
    chosen = choose_cells([many, few, again], QueueSettings(10))
    assert [one.case for one in chosen] == ["one", "two"] * 5


def test_of_cells_that_look_alike_or_touch_one_is_asked():
    alike = table(np.full(50, 0.2), np.full(50, 0.95))
    assert len(choose_cells([image(alike)])) == 1
    touching = table(np.linspace(0.15, 0.25, 10), np.linspace(0.75, 1, 10), step=10.0)
    chosen = choose_cells([image(touching)])
    places = np.sort([one.x for one in chosen])
    assert (np.diff(places) >= 20).all()


def test_labelled_cells_are_not_asked_again_and_the_seed_repeats():
    cells = table(np.linspace(0.15, 0.25, 40), np.linspace(0.75, 1, 40))
    first = choose_cells([image(cells)], QueueSettings(5))
    assert choose_cells([image(cells)], QueueSettings(5)) == first
    labelled = frozenset(one.uuid for one in first)
    second = choose_cells([image(cells, labelled=labelled)], QueueSettings(5))
    assert not labelled & {one.uuid for one in second}
    assert first[0].uuid == str(UUID(bytes=cells.uuid[first[0].row].tobytes()))


def test_cells_without_a_measurement_are_never_asked():
    cells = table([np.nan, 0.2], [0.9, 0.9], classes=[255, 2])
    assert [one.row for one in choose_cells([image(cells)])] == [1]


def test_plausible_cut_points_ask_for_cells_between_them():
    own_od = np.linspace(0.05, 0.9, 400)
    plausible = tuple(GradingSettings(intense_od=cut) for cut in (0.35, 0.45, 0.55, 0.65))
    cells = table(own_od, np.full(400, 0.95))
    chosen = choose_cells([image(cells, plausible=plausible)], QueueSettings(5))
    assert all("by where the cut-points are" in one.reasons[0] for one in chosen)
    assert all("Tumor: 2+ or Tumor: 3+" in one.reasons[0] for one in chosen)
    assert all(0.34 < own_od[one.row] < 0.66 for one in chosen)
