from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import shapely
from PIL import Image

from qupath_her2.errors import ImageReadError, PatchError
from qupath_her2.patches.cutting.cut_patches import CutContext, cut_patches, manifest_from_regions
from qupath_her2.patches.datasets.sources import SourceImage, image_size, project_source
from qupath_her2.patches.manifest import manifest_hash
from qupath_her2.patches.pixels.patch_pixels import PatchPixels
from qupath_her2.patches.tasks import find_task
from tests.unit.patches.conftest import noise
from tests.unit.patches.drawn_folders import (
    SMALL,
    cases,
    draw_cohort,
    pulled,
    regions,
    slide,
    small_settings,
    tissue,
)


def test_the_label_column_can_be_named_and_metadata_is_read(tmp_path: Path) -> None:
    for name in ("a", "b"):
        slide(tmp_path, name)
        regions(tmp_path, name, ("Tumor", shapely.box(0, 0, 20, 20)))
    cases(tmp_path, ("a", "P1", "3+"), ("b", "P2", "0"), header=("image", "case", "Reader 2"))
    with pytest.raises(PatchError, match="no label"):
        manifest_from_regions(tmp_path, SMALL)
    got = manifest_from_regions(tmp_path, small_settings(label_column="reader_2"))
    assert got.label.tolist() == [3, 0]
    with pytest.raises(PatchError, match="'reader 3'"):
        manifest_from_regions(tmp_path, small_settings(label_column="reader 3"))


def test_a_pulled_project_is_a_source(tmp_path: Path) -> None:
    got = manifest_from_regions(pulled(tmp_path), SMALL)
    assert [got.class_names[i] for i in got.label] == ["2+"]
    assert (got.images[0].id, got.images[0].case) == ("1_a", "P9")


def test_a_rotated_image_is_cut_as_it_is_shown(tmp_path: Path) -> None:
    chain = [{"crop": [10, 20, 100, 160]}, {"rotate": 90}]
    got = manifest_from_regions(pulled(tmp_path, width=160, height=100, chain=chain), SMALL)
    with PatchPixels(got) as pixels:
        patch = pixels.read([0])[0]
    shown = np.rot90(tissue()[20:180, 10:110], k=-1)
    assert np.array_equal(patch, shown[:20, :20])


def test_an_image_that_qupath_refused_is_counted(tmp_path: Path) -> None:
    said: list[str] = []
    folder = pulled(tmp_path, refusal={"code": "x", "reason": "it is a movie"})
    with pytest.raises(PatchError, match="image: left out: 1"):
        manifest_from_regions(folder, SMALL, CutContext(listen=said.append))
    assert "it is a movie" in said[0]


def test_a_project_that_was_not_pulled_is_refused_with_the_command(tmp_path: Path) -> None:
    slide(tmp_path, "a")
    (tmp_path / "project.qpproj").write_text("{}")
    for folder in (tmp_path, tmp_path / "project.qpproj"):
        with pytest.raises(PatchError, match="qupath-her2 pull"):
            manifest_from_regions(folder, SMALL)


def test_a_control_image_is_left_out(tmp_path: Path) -> None:
    draw_cohort(tmp_path, 2)
    cases(tmp_path, ("s0", "P1", "yes"), header=("image", "case", "control"))
    got = manifest_from_regions(tmp_path, SMALL)
    assert [image.name for image in got.images] == ["s1.tif"]


def test_a_source_can_be_built_separately(tmp_path: Path) -> None:
    draw_cohort(tmp_path, 2)
    source = project_source(tmp_path, task=find_task("her2-4"))
    assert [image.name for image in source.images] == ["s0.tif", "s1.tif"]
    assert manifest_hash(cut_patches(source, SMALL)) == manifest_hash(manifest_from_regions(tmp_path, SMALL))


@pytest.mark.parametrize("kind", ["png", "jpg", "tif"])
def test_sizes_come_from_the_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind}"
    Image.fromarray(noise(70, 50)).save(path)
    width, height, size_um = image_size(SourceImage("a", "a", path))
    assert (width, height) == (70, 50)
    assert math.isnan(size_um)
    assert image_size(SourceImage("a", "a", path, pixel_size_um=0.25))[2] == 0.25
    turned = ({"crop": [0, 0, 40, 30]}, {"rotate": 90})
    shown = SourceImage("a", "a", path, width=30, height=40, chain=turned)
    assert image_size(shown)[:2] == (30, 40)
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ImageReadError, match="'a' cannot be read"):
        image_size(SourceImage("a", "a", path))
