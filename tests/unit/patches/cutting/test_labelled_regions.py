from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
import shapely

from qupath_her2.errors import PatchError
from qupath_her2.patches.cutting.cut_patches import manifest_from_regions
from qupath_her2.recipes import find_recipe
from tests.unit.patches.drawn_folders import (
    SMALL,
    cases,
    labels_by_box,
    regions,
    slide,
    small_settings,
    tissue,
)


def test_a_tumour_region_has_the_label_of_its_image_and_stroma_is_subtracted(tmp_path: Path) -> None:
    for name in ("a", "b"):
        slide(tmp_path, name)
        regions(
            tmp_path,
            name,
            ("Tumor", shapely.box(0, 0, 60, 20)),
            ("Stroma", shapely.box(20, 0, 40, 20)),
            first=1 if name == "a" else 9,
        )
    cases(tmp_path, ("a.tif", "P1", "2+"), ("b", "P2", "0"))
    got = manifest_from_regions(tmp_path, SMALL)
    assert [image.case for image in got.images] == ["P1", "P2"]
    assert [got.class_names[i] for i in got.label] == ["2+", "2+", "0", "0"]
    assert got.box_xywh[:, 0].tolist() == [0, 40, 0, 40]


def test_all_unknown_labels_of_all_images_are_listed(tmp_path: Path) -> None:
    for name, unknown in (("a", "Vessel"), ("b", "Nerve")):
        slide(tmp_path, name)
        regions(tmp_path, name, (unknown, shapely.box(0, 0, 40, 40)), ("3+", shapely.box(60, 60, 99, 99)))
    cases(tmp_path, ("a", "P1", "9"), ("b", "P2", "3+"))
    with pytest.raises(
        PatchError, match=r"3 of the labels: '9' \(1\), 'Nerve' \(1\), 'Vessel' \(1\)"
    ) as caught:
        manifest_from_regions(tmp_path, SMALL)
    assert "--skip-class" in str(caught.value)
    cases(tmp_path, ("a", "P1", "0"), ("b", "P2", "3+"))
    got = manifest_from_regions(tmp_path, small_settings(skip_classes=("vessel", "Nerve")))
    assert set(got.label.tolist()) == {3}


def test_two_plus_without_ish_is_counted_and_ish_decides(tmp_path: Path) -> None:
    slide(tmp_path, "a")
    regions(tmp_path, "a", ("Tumor: 2+", shapely.box(0, 0, 40, 20)), ("3+", shapely.box(0, 40, 20, 60)))
    header = ("image", "ish_ratio", "her2_copies")
    got = manifest_from_regions(tmp_path, small_settings(task="her2-3"))
    assert labels_by_box(got) == {(0, 40): "high"}
    assert got.dropped == {"no label": 2, "region: 2+ without an ISH result": 1}
    cases(tmp_path, ("a", "1.2", "2.0"), header=header)
    got = manifest_from_regions(tmp_path, small_settings(task="her2-3"))
    assert labels_by_box(got) == {(0, 0): "low", (20, 0): "low", (0, 40): "high"}


def test_tma_cores_serve_as_tumour_regions_where_none_is_drawn(tmp_path: Path) -> None:
    slide(tmp_path, "a")
    core = {
        "type": "Feature",
        "id": str(UUID(int=5)),
        "geometry": shapely.geometry.mapping(shapely.box(40, 40, 80, 80)),
        "properties": {"objectType": "tma_core", "name": "A-1", "isMissing": False},
    }
    (tmp_path / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [core]}))
    cases(tmp_path, ("a", "P1", "1+"))
    got = manifest_from_regions(tmp_path, SMALL)
    assert set(labels_by_box(got).values()) == {"1+"}
    assert len(got) == 4
    assert {row.tobytes() for row in got.region_uuid} == {UUID(int=5).bytes}


def test_whole_tissue_is_labelled_where_nothing_is_drawn(tmp_path: Path) -> None:
    big = tissue(600, 500)
    slide(tmp_path, "a", big)
    slide(tmp_path, "b", big)
    regions(tmp_path, "b", ("Tumor", shapely.box(300, 300, 320, 320)))
    cases(tmp_path, ("a", "P1", "2+"), ("b", "P2", "3+"))
    with_regions = manifest_from_regions(tmp_path, SMALL)
    assert len(with_regions) == 1
    assert with_regions.dropped == {"image: no region": 1}
    got = manifest_from_regions(tmp_path, small_settings(whole_tissue=True))
    of_a = got.box_xywh[got.image == 0]
    assert (got.image == 1).sum() == 1
    x, y = of_a[:, 0], of_a[:, 1]
    # Tissue lies from a fifth to four fifths; its outline is known to about a mask pixel.
    assert (x.min(), x.max(), y.min(), y.max()) == (120, 460, 100, 380)
    assert len(of_a) == 18 * 15
    assert not got.region_uuid[got.image == 0].any()


def test_ignore_regions_are_subtracted_from_the_tissue(tmp_path: Path) -> None:
    slide(tmp_path, "a", tissue(600, 500))
    regions(tmp_path, "a", ("Ignore*", shapely.box(0, 0, 600, 240)))
    cases(tmp_path, ("a", "P1", "2+"))
    got = manifest_from_regions(tmp_path, small_settings(whole_tissue=True))
    assert got.box_xywh[:, 1].min() == 240


def test_tissue_outside_annotations_gets_the_rest_label(tmp_path: Path) -> None:
    slide(tmp_path, "a", tissue(600, 500))
    regions(
        tmp_path,
        "a",
        ("Tumor", shapely.box(200, 200, 300, 300)),
        ("Necrosis", shapely.box(300, 200, 400, 300)),
    )
    got = manifest_from_regions(tmp_path, small_settings(task="tumour", rest_label="non-tumour"))
    found = labels_by_box(got)
    assert found[(220, 220)] == "tumour"
    assert (320, 220) not in found
    assert found[(420, 220)] == "non-tumour"
    assert (0, 0) not in found
    assert sum(name == "tumour" for name in found.values()) == 25


def test_the_tumour_recipe_needs_outlines_of_tumour_alone(tmp_path: Path) -> None:
    recipe = find_recipe("tumour-resnet34")
    settings = replace(recipe.patches, grid=SMALL.grid, random_per_image=9, split="none")
    slide(tmp_path, "a", tissue(600, 500))
    slide(tmp_path, "b", tissue(600, 500))
    regions(tmp_path, "a", ("Tumor", shapely.box(200, 200, 300, 300)))
    got = manifest_from_regions(tmp_path, settings)
    # Nobody looked at b, so its tissue is neither.
    assert [image.name[0] for image in got.images] == ["a"]
    assert got.dropped["image: no region"] == 1
    assert got.label_counts() == {"non-tumour": 9, "tumour": 9}
    centre = got.box_xywh[:, :2] + got.box_xywh[:, 2:] / 2
    inside = ((centre > 200) & (centre < 300)).all(axis=1)
    assert (inside == (got.label == 1)).all()
