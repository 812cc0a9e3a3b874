from __future__ import annotations

import csv
import dataclasses
import json
import math
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import shapely
import tifffile

from qupath_her2.errors import PatchError, SettingsError
from qupath_her2.patches.cutting.cut_patches import CutContext, cut_patches, manifest_from_regions
from qupath_her2.patches.cutting.drop import DROP_RULES
from qupath_her2.patches.cutting.grid import GridSettings
from qupath_her2.patches.cutting.labels import LabelRule
from qupath_her2.patches.datasets.layouts import load_layout
from qupath_her2.patches.datasets.sources import project_source
from qupath_her2.patches.manifest import PatchManifest, manifest_hash, read_manifest, write_manifest
from qupath_her2.patches.pixels.patch_pixels import PatchPixels
from qupath_her2.patches.settings import PatchSettings
from qupath_her2.patches.tasks import find_task
from tests.unit.patches.conftest import noise

SIDE = 200
SMALL = PatchSettings(grid=GridSettings(20, 0.5), drop=DROP_RULES["none"], split="none")


def tissue(width: int = SIDE, height: int = SIDE, seed: int = 0) -> np.ndarray:
    """Dark speckle on glass: tissue inside a margin of a fifth, glass of 244 outside."""
    rgb = np.full((height, width, 3), 244, np.uint8)
    inner = rgb[height // 5 : -height // 5, width // 5 : -width // 5]
    inner[:] = noise(inner.shape[1], inner.shape[0], seed) // 3 + (110, 90, 120)
    return rgb


def slide(folder: Path, name: str, rgb: np.ndarray | None = None, um_px: float | None = 0.5) -> Path:
    path = folder / f"{name}.tif"
    rgb = tissue() if rgb is None else rgb
    size = {} if um_px is None else {"resolution": (1e4 / um_px, 1e4 / um_px), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(path, rgb, tile=(64, 64), photometric="rgb", metadata=None, **size)
    return path


def regions(folder: Path, name: str, *drawn: tuple[str | None, shapely.Geometry], first: int = 1) -> None:
    features = [
        {
            "type": "Feature",
            "id": str(UUID(int=first + number)),
            "geometry": shapely.geometry.mapping(shape),
            "properties": {
                "objectType": "annotation",
                **({} if class_name is None else {"classification": {"name": class_name}}),
            },
        }
        for number, (class_name, shape) in enumerate(drawn)
    ]
    text = json.dumps({"type": "FeatureCollection", "features": features})
    (folder / f"{name}.geojson").write_text(text, encoding="utf-8")


def cases(folder: Path, *rows: tuple[str, ...], header: tuple[str, ...] = ("image", "case", "label")) -> None:
    with (folder / "cases.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def settings(**change: object) -> PatchSettings:
    return dataclasses.replace(SMALL, **change)


def labels_by_box(manifest: PatchManifest) -> dict[tuple[int, ...], str]:
    boxes = map(tuple, manifest.box_xywh[:, :2].tolist())
    names = [manifest.class_names[i] if i >= 0 else "?" for i in manifest.label.tolist()]
    return dict(zip(boxes, names, strict=True))


def test_regions_become_labelled_patches_with_their_uuid(tmp_path: Path) -> None:
    slide(tmp_path, "a")
    regions(
        tmp_path,
        "a",
        ("Tumor: 3+", shapely.box(0, 0, 60, 40)),
        ("1+", shapely.box(100, 100, 140, 140)),
        ("Ignore*", shapely.box(40, 0, 60, 20)),
    )
    got = manifest_from_regions(tmp_path, SMALL)
    three = {(x, y): "3+" for x in (0, 20, 40) for y in (0, 20)} | {}
    del three[(40, 0)]
    one = {(x, y): "1+" for x in (100, 120) for y in (100, 120)}
    assert labels_by_box(got) == {**three, **one}
    assert (got.overlap == 1).all()
    uuids = {row.tobytes() for row in got.region_uuid[got.label == 3]}
    assert uuids == {UUID(int=1).bytes}
    assert got.class_names == ("0", "1+", "2+", "3+")
    assert (got.patch_size_px, got.pixel_size_um, got.task) == (20, 0.5, "her2-4")
    assert got.images[0].pixel_size_um == pytest.approx(0.5)
    assert len(got.images[0].fingerprint) == 64


def test_a_tumour_region_has_the_label_of_its_image_and_stroma_takes_away(tmp_path: Path) -> None:
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


def test_the_label_column_can_be_named_and_metadata_is_read(tmp_path: Path) -> None:
    for name in ("a", "b"):
        slide(tmp_path, name)
        regions(tmp_path, name, ("Tumor", shapely.box(0, 0, 20, 20)))
    cases(tmp_path, ("a", "P1", "3+"), ("b", "P2", "0"), header=("image", "case", "Reader 2"))
    with pytest.raises(PatchError, match="no label"):
        manifest_from_regions(tmp_path, SMALL)
    got = manifest_from_regions(tmp_path, settings(label_column="reader_2"))
    assert got.label.tolist() == [3, 0]
    with pytest.raises(PatchError, match="'reader 3'"):
        manifest_from_regions(tmp_path, settings(label_column="reader 3"))


def pulled(tmp_path: Path, **image: object) -> Path:
    """A pulled QuPath project with one image whose metadata say 2+."""
    her2 = tmp_path / "her2"
    (her2 / "regions").mkdir(parents=True)
    path = slide(tmp_path, "a")
    entry = {
        "id": "1_a",
        "name": "a.tif",
        "path": path.name,
        "entry_id": "1",
        "width": SIDE,
        "height": SIDE,
        "pixel_size_um": 0.5,
        "metadata": {"HER2 IHC": "2+", "Case": "P9"},
        **image,
    }
    (her2 / "images.json").write_text(json.dumps({"format": 1, "images": [entry]}), encoding="utf-8")
    regions(her2 / "regions", "1_a", ("Tumor", shapely.box(0, 0, 20, 20)))
    return tmp_path


def test_a_pulled_project_is_a_source(tmp_path: Path) -> None:
    got = manifest_from_regions(pulled(tmp_path), SMALL)
    assert [got.class_names[i] for i in got.label] == ["2+"]
    assert (got.images[0].id, got.images[0].case) == ("1_a", "P9")


def test_a_turned_image_is_cut_as_it_is_shown(tmp_path: Path) -> None:
    chain = [{"crop": [10, 20, 100, 160]}, {"rotate": 90}]
    got = manifest_from_regions(pulled(tmp_path, width=160, height=100, chain=chain), SMALL)
    with PatchPixels(got) as pixels:
        patch = pixels.read([0])[0]
    shown = np.rot90(tissue()[20:180, 10:110], k=-1)
    assert np.array_equal(patch, shown[:20, :20])


def test_an_image_that_qupath_could_not_hand_over_is_counted(tmp_path: Path) -> None:
    said: list[str] = []
    folder = pulled(tmp_path, refusal={"code": "x", "reason": "it is a movie"})
    with pytest.raises(PatchError, match="image: left out: 1"):
        manifest_from_regions(folder, SMALL, CutContext(listen=said.append))
    assert "it is a movie" in said[0]


def test_a_project_that_was_not_pulled_says_how(tmp_path: Path) -> None:
    slide(tmp_path, "a")
    (tmp_path / "project.qpproj").write_text("{}")
    for folder in (tmp_path, tmp_path / "project.qpproj"):
        with pytest.raises(PatchError, match="qupath-her2 pull"):
            manifest_from_regions(folder, SMALL)


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
    got = manifest_from_regions(tmp_path, settings(skip_classes=("vessel", "Nerve")))
    assert set(got.label.tolist()) == {3}


def test_two_plus_without_ish_is_counted_and_ish_decides(tmp_path: Path) -> None:
    slide(tmp_path, "a")
    regions(tmp_path, "a", ("Tumor: 2+", shapely.box(0, 0, 40, 20)), ("3+", shapely.box(0, 40, 20, 60)))
    header = ("image", "ish_ratio", "her2_copies")
    got = manifest_from_regions(tmp_path, settings(task="her2-3"))
    assert labels_by_box(got) == {(0, 40): "high"}
    assert got.dropped == {"no label": 2, "region: 2+ without an ISH result": 1}
    cases(tmp_path, ("a", "1.2", "2.0"), header=header)
    got = manifest_from_regions(tmp_path, settings(task="her2-3"))
    assert labels_by_box(got) == {(0, 0): "low", (20, 0): "low", (0, 40): "high"}


def test_unlabelled_patches_are_kept_for_prediction(tmp_path: Path) -> None:
    slide(tmp_path, "a")
    regions(tmp_path, "a", ("Tumor", shapely.box(0, 0, 40, 20)))
    with pytest.raises(PatchError, match=r"no label: 2.*--keep-unlabelled"):
        manifest_from_regions(tmp_path, SMALL)
    got = manifest_from_regions(tmp_path, settings(keep_unlabelled=True))
    assert got.label.tolist() == [-1, -1]
    assert (got.region_uuid == np.frombuffer(UUID(int=1).bytes, np.uint8)).all()


def test_tma_cores_stand_for_tumour_where_none_is_drawn(tmp_path: Path) -> None:
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


def test_whole_tissue_where_nothing_is_drawn(tmp_path: Path) -> None:
    big = tissue(600, 500)
    slide(tmp_path, "a", big)
    slide(tmp_path, "b", big)
    regions(tmp_path, "b", ("Tumor", shapely.box(300, 300, 320, 320)))
    cases(tmp_path, ("a", "P1", "2+"), ("b", "P2", "3+"))
    with_regions = manifest_from_regions(tmp_path, SMALL)
    assert len(with_regions) == 1
    assert with_regions.dropped == {"image: no region": 1}
    got = manifest_from_regions(tmp_path, settings(whole_tissue=True))
    of_a = got.box_xywh[got.image == 0]
    assert (got.image == 1).sum() == 1
    x, y = of_a[:, 0], of_a[:, 1]
    # Tissue lies from a fifth to four fifths; its outline is known to about a mask pixel.
    assert (x.min(), x.max(), y.min(), y.max()) == (120, 460, 100, 380)
    assert len(of_a) == 18 * 15
    assert not got.region_uuid[got.image == 0].any()


def test_ignore_takes_away_from_the_whole_tissue(tmp_path: Path) -> None:
    slide(tmp_path, "a", tissue(600, 500))
    regions(tmp_path, "a", ("Ignore*", shapely.box(0, 0, 600, 240)))
    cases(tmp_path, ("a", "P1", "2+"))
    got = manifest_from_regions(tmp_path, settings(whole_tissue=True))
    assert got.box_xywh[:, 1].min() == 240


def test_the_rest_of_the_tissue_is_the_other_class(tmp_path: Path) -> None:
    slide(tmp_path, "a", tissue(600, 500))
    regions(
        tmp_path,
        "a",
        ("Tumor", shapely.box(200, 200, 300, 300)),
        ("Necrosis", shapely.box(300, 200, 400, 300)),
    )
    got = manifest_from_regions(tmp_path, settings(task="tumour", rest_label="non-tumour"))
    found = labels_by_box(got)
    assert found[(220, 220)] == "tumour"
    assert (320, 220) not in found
    assert found[(420, 220)] == "non-tumour"
    assert (0, 0) not in found
    assert sum(name == "tumour" for name in found.values()) == 25


def test_random_places_are_drawn_for_each_image_and_class(tmp_path: Path) -> None:
    for name in ("a", "b"):
        slide(tmp_path, name, tissue(600, 500))
        regions(tmp_path, name, ("Tumor", shapely.Point(300, 250).buffer(90)))
    chosen = settings(task="tumour", rest_label="non-tumour", random_per_image=30, rule=LabelRule("majority"))
    got = manifest_from_regions(tmp_path, chosen)
    counts = np.zeros((2, 2), int)
    np.add.at(counts, (got.image, got.label), 1)
    assert counts.tolist() == [[30, 30], [30, 30]]
    assert len({tuple(box) for box in got.box_xywh[got.image == 0].tolist()}) == 60
    assert (got.overlap > 0.5).all()
    one, two = (got.box_xywh[got.image == i] for i in (0, 1))
    assert not np.array_equal(one, two)
    assert np.array_equal(got.box_xywh, manifest_from_regions(tmp_path, chosen).box_xywh)
    other = manifest_from_regions(tmp_path, dataclasses.replace(chosen, seed=1))
    assert not np.array_equal(got.box_xywh, other.box_xywh)


@pytest.mark.parametrize(("rule", "n"), [("contained", 4), ("majority", 6), ("overlap", 9)])
def test_the_rule_decides_at_the_edge(rule: str, n: int, tmp_path: Path) -> None:
    slide(tmp_path, "a")
    # 52 x 45 px: two whole patches across and down, the third 60 % across, the third 25 % down, the corner 15 %.
    regions(tmp_path, "a", ("3+", shapely.box(0, 0, 52, 45)))
    got = manifest_from_regions(tmp_path, settings(rule=LabelRule(rule)))
    assert len(got) == n
    assert got.dropped.get(f"outside the regions (rule {rule})", 0) == 9 - n


def test_drop_rules_are_counted_and_exact(tmp_path: Path) -> None:
    rgb = np.full((20, 80, 3), 120, np.uint8)
    rgb[:, 20:40] = 230
    rgb[:, 40:60] = 5
    slide(tmp_path, "a", rgb)
    regions(tmp_path, "a", ("3+", shapely.box(0, 0, 80, 20)))
    got = manifest_from_regions(tmp_path, settings(drop=DROP_RULES["white-black"]))
    assert sorted(labels_by_box(got)) == [(0, 0), (60, 0)]
    assert got.dropped == {"black": 1, "white": 1}
    got = manifest_from_regions(tmp_path, settings(drop=DROP_RULES["bright"]))
    assert sorted(labels_by_box(got)) == [(0, 0), (40, 0), (60, 0)]
    assert got.dropped == {"bright": 1}
    regions(tmp_path, "a", ("3+", shapely.box(20, 0, 40, 20)))
    with pytest.raises(PatchError, match=r"bright: 1.*--drop none"):
        manifest_from_regions(tmp_path, settings(drop=DROP_RULES["bright"]))


def test_scale_is_in_micrometres_and_images_without_one_are_named(tmp_path: Path) -> None:
    said: list[str] = []
    drawn = ("3+", shapely.box(0, 0, 200, 200))
    for name, um_px in (("fine", 0.25), ("same", 0.5), ("coarse", 1.0), ("unknown", None)):
        slide(tmp_path, name, um_px=um_px)
        regions(tmp_path, name, drawn)
    got = manifest_from_regions(tmp_path, SMALL, CutContext(listen=said.append))
    side = {image.name: got.box_xywh[got.image == i, 2] for i, image in enumerate(got.images)}
    assert {name: set(sides.tolist()) for name, sides in side.items()} == {"fine.tif": {40}, "same.tif": {20}}
    assert got.dropped == {"image: no pixel size": 1, "image: pixels too coarse": 1}
    assert any("'coarse.tif'" in text for text in said)
    assert any("'unknown.tif' has no pixel size" in text for text in said)
    forced = manifest_from_regions(tmp_path, SMALL, pixel_size_um=0.5)
    assert len(forced.images) == 4
    native = manifest_from_regions(tmp_path, settings(grid=GridSettings(20, 0.0)))
    assert len(native.images) == 4
    assert math.isnan(native.pixel_size_um)


def test_broken_images_and_regions_are_named_counted_and_passed_over(tmp_path: Path) -> None:
    said: list[str] = []
    for name in ("good", "bad", "worse"):
        slide(tmp_path, name)
        regions(tmp_path, name, ("3+", shapely.box(0, 0, 40, 40)))
    (tmp_path / "bad.tif").write_bytes(b"II*\0 no more")
    (tmp_path / "worse.geojson").write_text("{")
    got = manifest_from_regions(tmp_path, SMALL, CutContext(listen=said.append))
    assert [image.name for image in got.images] == ["good.tif"]
    assert got.dropped == {"image: cannot be read": 2}
    assert any("bad.tif" in text for text in said)
    assert any("worse.geojson" in text for text in said)


def test_a_damaged_tile_costs_its_patches_only(tmp_path: Path) -> None:
    said: list[str] = []
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, noise(128, 128), tile=(64, 64), photometric="rgb", compression="zlib", metadata=None
    )
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[0].dataoffsets[3]
    data = bytearray(path.read_bytes())
    data[offset : offset + 30] = bytes(30)
    path.write_bytes(bytes(data))
    regions(tmp_path, "a", ("3+", shapely.box(0, 0, 128, 128)))
    chosen = settings(grid=GridSettings(32, 0.0), drop=DROP_RULES["white-black"])
    got = manifest_from_regions(tmp_path, chosen, CutContext(listen=said.append))
    assert got.dropped == {"unreadable": 4}
    assert len(got) == 12
    assert "x 64, y 64" in said[0]


def test_nothing_comes_out_with_counts_and_a_cure(tmp_path: Path) -> None:
    slide(tmp_path, "a")
    with pytest.raises(PatchError, match=r"of 1 image: image: no region: 1\..*--whole-tissue"):
        manifest_from_regions(tmp_path, SMALL)
    regions(tmp_path, "a", ("3+", shapely.box(0, 0, 200, 200)))
    with pytest.raises(PatchError, match="image: smaller than a patch: 1"):
        manifest_from_regions(tmp_path, settings(grid=GridSettings(201, 0.5)))


def cohort(folder: Path, n: int = 6) -> None:
    for i in range(n):
        slide(folder, f"s{i}", noise(60, 60, i))
        regions(folder, f"s{i}", (("3+", "0")[i % 2], shapely.box(0, 0, 60, 60)), first=10 * i + 1)
    cases(folder, *[(f"s{i}", f"P{i}", "") for i in range(n)])


def test_cases_are_split_by_default(tmp_path: Path) -> None:
    cohort(tmp_path)
    got = manifest_from_regions(tmp_path, settings(split="auto", shares=(0.5, 0.25, 0.25)))
    by_image = [set(got.split[got.image == i].tolist()) for i in range(6)]
    assert all(len(parts) == 1 for parts in by_image)
    assert set.union(*by_image) == {0, 1, 2}
    assert got.settings["split"]["kind"] == "by case"


def test_too_few_cases_are_left_unsplit_unless_asked(tmp_path: Path) -> None:
    said: list[str] = []
    cohort(tmp_path, 2)
    got = manifest_from_regions(tmp_path, settings(split="auto"), CutContext(listen=said.append))
    assert set(got.split.tolist()) == {-1}
    assert any("Not split: 2 cases" in text for text in said)
    with pytest.raises(PatchError, match="2 cases cannot be split"):
        manifest_from_regions(tmp_path, settings(split="by-case"))
    by_patch = manifest_from_regions(tmp_path, settings(split="by-patch"))
    assert by_patch.settings["split"]["kind"] == "by patch"
    with pytest.raises(PatchError, match="publishes no split"):
        manifest_from_regions(tmp_path, settings(split="as-published"))


def test_a_class_that_is_not_trained_on_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    for i, label in enumerate(("0", "1+", "3+")):
        slide(tmp_path, f"s{i}", noise(60, 60, i))
        regions(tmp_path, f"s{i}", (label, shapely.box(0, 0, 60, 60)), first=10 * i + 1)
    got = manifest_from_regions(tmp_path, settings(split="by-case"), CutContext(listen=said.append))
    trained = {got.class_names[label] for label in got.label[got.split == 0].tolist()}
    missing = ", ".join(sorted({"0", "1+", "3+"} - trained))
    assert said == [
        f"The training part has no patch of class {missing}: all its cases are in other parts. "
        "Add cases, or try another --seed."
    ]


def test_the_same_source_and_settings_give_the_same_manifest(tmp_path: Path) -> None:
    cohort(tmp_path)
    chosen = settings(split="auto", drop=DROP_RULES["white-black"], random_per_image=3)
    one, two = (manifest_from_regions(tmp_path, chosen, CutContext(threads=n)) for n in (1, 4))
    assert manifest_hash(one) == manifest_hash(two)
    write_manifest(tmp_path / "her2" / "patches" / "p", one)
    assert manifest_hash(read_manifest(tmp_path / "her2" / "patches" / "p")) == manifest_hash(one)
    assert one.settings["grid"] == {
        "patch_size_px": 20,
        "target_um_px": 0.5,
        "stride_px": 0,
        "native_within": 0.05,
    }
    assert one.settings["clahe"] is None


def test_equalising_is_of_the_reading_not_of_the_dropping(tmp_path: Path) -> None:
    slide(tmp_path, "a")
    regions(tmp_path, "a", ("3+", shapely.box(40, 40, 160, 160)))
    plain = manifest_from_regions(tmp_path, settings(drop=DROP_RULES["white-black"]))
    equal = manifest_from_regions(tmp_path, settings(drop=DROP_RULES["white-black"], equalise=True))
    assert np.array_equal(plain.box_xywh, equal.box_xywh)
    assert equal.settings["clahe"] == {"clip_limit": 2.0, "tiles": 8}
    with PatchPixels(plain) as one, PatchPixels(equal) as two:
        assert not np.array_equal(one.read([0]), two.read([0]))


def test_whole_images_are_one_row_each(tmp_path: Path) -> None:
    slide(tmp_path, "a", noise(90, 60), um_px=None)
    slide(tmp_path, "b", noise(60, 90), um_px=0.5)
    cases(tmp_path, ("a", "P1", "1+"), ("b", "P2", "3+"))
    got = manifest_from_regions(tmp_path, settings(whole_image=True, grid=GridSettings(30, 0.25)))
    assert got.box_xywh.tolist() == [[0, 0, 90, 60], [0, 0, 60, 90]]
    assert got.label.tolist() == [1, 3]
    assert math.isnan(got.pixel_size_um)
    with PatchPixels(got) as pixels:
        assert pixels.read([0, 1]).shape == (2, 30, 30, 3)
    cases(tmp_path, ("a", "P1", "1+"))
    got = manifest_from_regions(tmp_path, settings(whole_image=True, grid=GridSettings(30, 0.25)))
    assert got.dropped == {"image: no label": 1}


def test_progress_names_every_image(tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    cohort(tmp_path, 3)
    manifest_from_regions(tmp_path, SMALL, CutContext(progress=lambda *args: seen.append(args)))
    assert seen == [(0, 3, "s0.tif"), (1, 3, "s1.tif"), (2, 3, "s2.tif"), (3, 3, "")]


def test_a_control_image_is_left_out(tmp_path: Path) -> None:
    cohort(tmp_path, 2)
    cases(tmp_path, ("s0", "P1", "yes"), header=("image", "case", "control"))
    got = manifest_from_regions(tmp_path, SMALL)
    assert [image.name for image in got.images] == ["s1.tif"]


@pytest.mark.parametrize("bad", [{"task": "x"}, {"rest_label": "stroma"}, {"random_per_image": -1}])
def test_settings_that_mean_nothing_are_refused(bad: dict) -> None:
    with pytest.raises(SettingsError):
        settings(**bad)


def test_the_source_can_be_made_first(tmp_path: Path) -> None:
    cohort(tmp_path, 2)
    source = project_source(tmp_path, task=find_task("her2-4"))
    assert [image.name for image in source.images] == ["s0.tif", "s1.tif"]
    assert manifest_hash(cut_patches(source, SMALL)) == manifest_hash(manifest_from_regions(tmp_path, SMALL))


def test_a_published_layout_goes_through_the_same_door(tmp_path: Path) -> None:
    from PIL import Image

    for split, n in (("train", 4), ("test", 2)):
        for i in range(n):
            folder = tmp_path / "IHC" / split
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise(64, 64, i)).save(folder / f"{i:05d}_{split}_{i % 2 + 1}+.png")
    got = cut_patches(load_layout("bci", tmp_path), settings(split="auto", grid=GridSettings(32, 0.25)))
    assert len(got) == 6
    assert sorted(got.split.tolist()) == [0, 0, 0, 0, 2, 2]
    assert got.label_counts() == {"0": 0, "1+": 3, "2+": 3, "3+": 0}
    assert got.settings["split"]["kind"] == "as published"
    assert "patch-level, leakage possible" in got.settings["split"]["warning"]
    with PatchPixels(got) as pixels:
        assert pixels.read([0]).shape == (1, 32, 32, 3)
