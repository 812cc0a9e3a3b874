from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qupath_her2.errors import PatchError
from qupath_her2.patches.cutting.cut_patches import CutContext, cut_patches
from qupath_her2.patches.cutting.drop import DROP_RULES
from qupath_her2.patches.cutting.grid import GridSettings
from qupath_her2.patches.datasets.loaders import LAYOUTS, load_layout
from qupath_her2.patches.datasets.sources import SourceImage
from qupath_her2.patches.settings import PatchSettings
from tests.unit.patches.drawn_folders import (
    png,
    square,
    tif,
    xml,
)


def by_name(layout: str, folder: Path, **known: object) -> dict[str, SourceImage]:
    return {image.name: image for image in load_layout(layout, folder, **known).images}


def bci(folder: Path) -> None:
    for stain in ("HE", "IHC"):
        for name in (
            "train/00000_train_1+",
            "train/00001_train_2+",
            "test/00000_test_0",
            "test/00003_test_3+",
        ):
            png(folder / stain / f"{name}.png")


@pytest.mark.parametrize("stain", ["HE", "IHC"])
def test_bci(stain: str, tmp_path: Path) -> None:
    bci(tmp_path)
    found = by_name("bci", tmp_path, stain=stain)
    assert {name: (image.label, image.split, image.case.case) for name, image in found.items()} == {
        f"{stain}/test/00000_test_0.png": ("0", 2, None),
        f"{stain}/test/00003_test_3+.png": ("3+", 2, None),
        f"{stain}/train/00000_train_1+.png": ("1+", 0, None),
        f"{stain}/train/00001_train_2+.png": ("2+", 0, None),
    }
    source = load_layout("bci", tmp_path, stain)
    assert source.has_split
    assert source.are_crops
    assert "the same patient may be in train and test" in source.notes[0]


def test_bci_takes_cases_that_somebody_knows_from_a_table(tmp_path: Path) -> None:
    bci(tmp_path)
    rows = ["image,case", "00000_train_1+.png,P1", "00001_train_2+,P2", "00000_test_0.png,P1"]
    (tmp_path / "cases.csv").write_text("\n".join(rows))
    found = by_name("bci", tmp_path)
    assert {name.rsplit("/", 1)[1]: image.case.case for name, image in found.items()} == {
        "00000_train_1+.png": "P1",
        "00001_train_2+.png": "P2",
        "00000_test_0.png": "P1",
        "00003_test_3+.png": None,
    }
    assert load_layout("bci", tmp_path).notes
    (tmp_path / "cases.csv").write_text("\n".join([*rows, "00003_test_3+.png,P3"]))
    assert load_layout("bci", tmp_path).notes == ()


def test_a_published_split_that_leaks_a_known_case_is_made_anew_unless_asked_for(tmp_path: Path) -> None:
    bci(tmp_path)
    names = ("00000_train_1+", "00001_train_2+", "00000_test_0", "00003_test_3+")
    table = [f"{name},{case}" for name, case in zip(names, ("P1", "P2", "P1", "P3"), strict=True)]
    (tmp_path / "cases.csv").write_text("\n".join(["image,case", *table]))
    source, said = load_layout("bci", tmp_path), []
    small = PatchSettings(grid=GridSettings(8, 0.0), shares=(0.4, 0.3, 0.3), stratify=False)
    context = CutContext(listen=said.append)
    got = cut_patches(source, small, context)
    assert got.settings["split"]["kind"] == "by case"
    assert any("1 cases in both training and test; cases are split anew" in text for text in said)
    got = cut_patches(source, replace(small, split="as-published"), context)
    assert got.settings["split"]["kind"] == "as published"
    assert "1 cases in both training and test" in got.settings["split"]["warning"]


def test_bci_from_the_folder_of_one_stain(tmp_path: Path) -> None:
    bci(tmp_path)
    assert len(load_layout("bci", tmp_path / "HE").images) == 4


def test_bci_with_another_name_is_refused(tmp_path: Path) -> None:
    bci(tmp_path)
    png(tmp_path / "IHC" / "train" / "holiday.png")
    with pytest.raises(PatchError, match=r"holiday\.png"):
        load_layout("bci", tmp_path)


@pytest.mark.parametrize(
    ("names", "root"),
    [
        (("train/class_0/her2-0-score_train_1", "test/class_2+/her2-2-score_test_7"), ""),
        (("Patches/Train/0/a", "Patches/Test/2+/b"), ""),
        (("Train/0/a", "Test/2+/b"), "Patches"),
    ],
)
def test_her2_ihc_40x_in_both_spellings(names: tuple[str, str], root: str, tmp_path: Path) -> None:
    for name in names:
        png(tmp_path / root / f"{name}.png")
    found = load_layout("her2-ihc-40x", tmp_path / root)
    assert sorted((image.label, image.split, image.case.case) for image in found.images) == [
        ("0", 0, None),
        ("2+", 2, None),
    ]
    got = cut_patches(found, PatchSettings(grid=GridSettings(32, 0.25)))
    assert sorted(zip(got.label.tolist(), got.split.tolist(), strict=True)) == [(0, 0), (2, 2)]


@pytest.mark.parametrize("name", ["train/class_9/a.png", "train/a.png", "0/a.png", "a.png"])
def test_her2_ihc_40x_in_another_layout_is_refused(name: str, tmp_path: Path) -> None:
    png(tmp_path / name)
    with pytest.raises(PatchError, match="does not fit the layout of HER2-IHC-40x"):
        load_layout("her2-ihc-40x", tmp_path)


WARWICK = "CaseNo,HeR2 SCORE,PERCENTAGE CELLS WITH COMPLETE MEMBRANE STAINING IRRESPECTIVE OF INTENSITY\n"


def test_warwick(tmp_path: Path) -> None:
    for name in ("01_HER2", "01_HE", "16_HER2", "16_HE", "70_HER2"):
        tif(tmp_path / "slides" / f"{name}.ndpi")
    (tmp_path / "groundTruth.csv").write_text(WARWICK + "1,3,95\n16,0,0\n", encoding="utf-8")
    (tmp_path / "slides" / "16_HER2.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    found = by_name("warwick", tmp_path)
    assert {name: (image.label, image.case.case) for name, image in found.items()} == {
        "slides/01_HER2.ndpi": ("3", "1"),
        "slides/16_HER2.ndpi": ("0", "16"),
        "slides/70_HER2.ndpi": (None, "70"),
    }
    assert found["slides/16_HER2.ndpi"].regions_path == tmp_path / "slides" / "16_HER2.geojson"
    assert set(by_name("warwick", tmp_path, stain="HE")) == {"slides/01_HE.ndpi", "slides/16_HE.ndpi"}


def test_warwick_without_its_table(tmp_path: Path) -> None:
    tif(tmp_path / "01_HER2.ndpi")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(PatchError, match=r"CaseNo, HeR2 SCORE.*'other.csv' has a, b"):
        load_layout("warwick", tmp_path)


def yale(folder: Path) -> None:
    names = ("Her2Pos_Case_01", "Her2Neg_Case_02", "TCGA-A1-A0SM-01Z-00-DX1.AD503DBD")
    for name in names:
        tif(folder / "SVS" / f"{name}.svs")
        drawn = xml((square(0, 0, 64), "0", "0"), (square(0, 0, 32), "0", "1"))
        (folder / "Annotations").mkdir(exist_ok=True)
        (folder / "Annotations" / f"{name}.xml").write_text(drawn, encoding="utf-8")
    (folder / "cases.csv").write_text("image,label\nTCGA-A1-A0SM-01Z-00-DX1.AD503DBD.svs,positive\n")


def test_yale_and_tcga(tmp_path: Path) -> None:
    yale(tmp_path)
    found = by_name("yale", tmp_path)
    assert {name: (image.label, image.case.case) for name, image in found.items()} == {
        "SVS/Her2Neg_Case_02.svs": ("negative", "Her2Neg_Case_02"),
        "SVS/Her2Pos_Case_01.svs": ("positive", "Her2Pos_Case_01"),
        "SVS/TCGA-A1-A0SM-01Z-00-DX1.AD503DBD.svs": ("positive", "TCGA-A1-A0SM"),
    }
    chosen = PatchSettings(
        task="her2-binary", grid=GridSettings(32, 0.0), drop=DROP_RULES["none"], split="by-case"
    )
    got = cut_patches(load_layout("yale", tmp_path), chosen)
    boxes = {tuple(box) for box in got.box_xywh[:, :2].tolist()}
    assert boxes == {(32, 0), (0, 32), (32, 32)}
    assert got.label_counts() == {"negative": 3, "positive": 6}
    assert got.region_uuid.any(axis=1).all()


HEROHE = "Case;Immunohistochemistry;ISH Group;Final Result (Ground truth);Age\n"


def test_herohe(tmp_path: Path) -> None:
    for case in ("1", "22", "100", "7"):
        (tmp_path / case).mkdir()
        (tmp_path / f"{case}.mrxs").write_bytes(b"x")
    text = HEROHE + "1;2;5;Negative;24\n22;3;;Positive;55\n100;2;1;Positive;41\n"
    (tmp_path / "Training (ground truth).csv").write_text("\ufeff" + text, encoding="utf-8")
    found = by_name("herohe", tmp_path)
    assert {name: (image.label, image.case.case) for name, image in found.items()} == {
        "1.mrxs": ("2+ ISH-", "1"),
        "100.mrxs": ("2+ ISH+", "100"),
        "22.mrxs": ("3", "22"),
        "7.mrxs": (None, "7"),
    }


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_an_empty_folder_is_refused_with_the_expected_names(layout: str, tmp_path: Path) -> None:
    with pytest.raises(PatchError, match=r"[Nn]o (image|table)"):
        load_layout(layout, tmp_path)
    with pytest.raises(PatchError, match="does not exist"):
        load_layout(layout, tmp_path / "nowhere")


def test_an_unknown_layout_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(PatchError, match="her2-ihc-40x"):
        load_layout("bracs", tmp_path)
    with pytest.raises(PatchError, match="only one stain"):
        load_layout("herohe", tmp_path, "HE")


def test_our_own_output_is_not_read_as_data(tmp_path: Path) -> None:
    bci(tmp_path)
    png(tmp_path / "IHC" / "her2" / "patches" / "x.png")
    assert len(load_layout("bci", tmp_path).images) == 4
