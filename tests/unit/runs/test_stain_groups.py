from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest
import tifffile

from qupath_her2.config import Settings
from qupath_her2.runs.plan import select_images
from qupath_her2.runs.stain_groups import PooledStains, pooled_stains
from qupath_her2.runs.stains_file import STAINS_FILE
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB
from qupath_her2.synthetic.example_project import write_field


@pytest.fixture
def out(project: Path) -> Path:
    folder = project / "her2"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def _odd_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A field of another laboratory: haematoxylin without blue absorption, 17° from that of the other fields."""
    folder = tmp_path_factory.mktemp("odd")
    write_field(folder, "odd", score="3+", seed=77, side_px=420, haematoxylin_vector=(0.83, 0.55, 0.10))
    return folder


@pytest.fixture
def add_odd(project: Path, _odd_once: Path) -> Callable[..., None]:
    """A function that adds the odd field to the project, with its tumour region or without."""

    def add(*, with_region: bool) -> None:
        for path in _odd_once.iterdir():
            if with_region or path.suffix != ".geojson":
                shutil.copy(path, project)

    return add


def pool(project: Path, settings: Settings | None = None, **more: bool) -> PooledStains:
    return pooled_stains(select_images(project), project / "her2", settings or Settings(), **more)


def by_name(found: PooledStains) -> dict[str, tuple[tuple[float, ...], tuple[float, ...]]]:
    return {
        image.split("_", 1)[1].removesuffix("-ome"): (v.hematoxylin, v.dab)
        for image, v in found.stains.items()
    }


def copies(project: Path, n: int, of: str = "pale") -> None:
    for number in range(n):
        for ending in ("ome.tif", "geojson"):
            shutil.copy(project / f"{of}.{ending}", project / f"later{number}.{ending}")


def test_images_of_one_scanner_share_one_estimate(project: Path, out: Path) -> None:
    found = pool(project)
    first, second = found.stains.values()
    assert first == second
    assert first.source == "estimated from 2 images, DAB from 1"
    assert set(found.own) == set(found.stains)
    assert (out / STAINS_FILE).is_file()
    # The fields are drawn with this DAB vector, jittered once a field by some 0.02.
    assert np.dot(first.dab, (0.34, 0.57, 0.74)) > np.cos(np.radians(12))


def test_a_second_plan_reads_no_pixels_and_finds_the_same(project: Path, out: Path) -> None:
    said: list[str] = []
    before = pooled_stains(select_images(project), out, Settings(), listen=said.append)
    kept = (out / STAINS_FILE).read_bytes()
    assert len(said) == 1
    assert pooled_stains(select_images(project), out, Settings(), listen=said.append) == before
    assert len(said) == 1
    assert (out / STAINS_FILE).read_bytes() == kept


@pytest.mark.parametrize("with_region", [False, True])
def test_an_odd_picture_moves_no_other_image(
    project: Path, out: Path, add_odd: Callable[..., None], with_region: bool
) -> None:
    before = by_name(pool(project))
    add_odd(with_region=with_region)
    found = pool(project, anew=True)
    after = by_name(found)
    assert {name: after[name] for name in before} == before
    if with_region:
        # Scored, it has vectors of its own, and the folder says so.
        assert after["odd"] != before["strong"]
        (note,) = [note for note in found.notes if "vectors of their own" in note]
        assert re.search(
            r"'odd\.ome\.tif' has other stain vectors than the 2 other images .* \(1\d° away\)", note
        )
    else:
        assert not any("odd" in image for image in found.own)


def test_with_whole_tissue_every_image_is_scored_and_sampled(
    project: Path, out: Path, add_odd: Callable[..., None]
) -> None:
    add_odd(with_region=False)
    assert len(pool(project, whole_tissue=True).own) == 3


def test_images_without_a_tumour_region_give_no_vectors(project: Path, out: Path) -> None:
    (project / "strong.geojson").unlink()
    (own,) = pool(project).own
    assert own.endswith("pale-ome")


def test_additions_that_move_nothing_keep_the_vectors_and_say_so(project: Path, out: Path) -> None:
    before = pool(project)
    copies(project, 2)
    after = pool(project)
    assert {image: after.stains[image] for image in before.stains} == before.stains
    assert len(set(by_name(after).values())) == 1
    (note,) = after.notes
    assert re.search(r"are kept: 2 images added since would move them by 0\.\d°\. --force estimates", note)
    anew = pool(project, anew=True)
    assert anew.notes == ()
    assert next(iter(anew.stains.values())).source == "estimated from 4 images, DAB from 1"


def test_without_an_image_it_came_from_a_group_is_as_if_it_had_never_been_there(
    project: Path, out: Path
) -> None:
    before = by_name(pool(project))
    copies(project, 1, of="strong")
    near = pool(project, anew=True)
    assert next(iter(near.stains.values())).source == "estimated from 3 images, DAB from 2"
    for path in project.glob("later0*"):
        path.unlink()
    found = pool(project)
    assert by_name(found) == before
    (note,) = found.notes
    assert re.search(
        r"estimated again: '\w+_later0-ome', which they came from, is gone, changed or not scored", note
    )


def test_a_changed_image_is_sampled_again(project: Path, out: Path) -> None:
    pool(project)
    shutil.copy(project / "strong.ome.tif", project / "pale.ome.tif")
    assert next(iter(pool(project).stains.values())).source == "estimated from 2 images"


def test_other_settings_of_the_estimate_void_it(project: Path, out: Path) -> None:
    pool(project)
    strict = Settings(stains=replace(Settings().stains, min_dab_share=1.0))
    found = pool(project, strict)
    assert all("QuPath" in vectors.source for vectors in found.stains.values())
    # Default vectors are reported each time, with the way out.
    assert found == pool(project, strict)
    (note,) = found.notes
    assert re.search(
        r"QuPath H-DAB defaults \(DAB in [\d.]+ % .* haematoxylin about \d+° from QuPath's", note
    )
    assert "set the vectors in QuPath or under [stain_vectors] in her2.toml" in note


def test_images_that_cannot_be_opened_are_left_out(project: Path, out: Path) -> None:
    (project / "broken.png").write_bytes(b"not a picture")
    (project / "odd.geojson").write_bytes(b"{")
    shutil.copy(project / "strong.ome.tif", project / "odd.ome.tif")
    assert len(pool(project).own) == 2


def test_of_a_large_folder_the_same_images_are_sampled_when_more_are_added(
    project: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qupath_her2.runs.stain_groups._MAX_IMAGES", 3)
    copies(project, 4)
    first = set(pool(project).own)
    assert len(first) == 3
    for ending in ("ome.tif", "geojson"):
        shutil.copy(project / f"pale.{ending}", project / f"aaa.{ending}")
    assert len(first & set(pool(project).own)) >= 2


def test_a_folder_without_scored_images_has_the_defaults(project: Path, out: Path) -> None:
    for path in project.glob("*.geojson"):
        path.unlink()
    found = pool(project)
    assert {vectors.source for vectors in found.stains.values()} == {QUPATH_H_DAB.source}
    assert found.notes == ()
    assert orjson.loads((out / STAINS_FILE).read_bytes())["images"] == {}


def test_images_without_a_pixel_size_are_not_scored_and_give_no_vectors(project: Path, out: Path) -> None:
    with tifffile.TiffFile(project / "strong.ome.tif") as tiff:
        pixels = tiff.asarray()
    tifffile.imwrite(project / "bare.tif", pixels, photometric="rgb", metadata=None)
    shutil.copy(project / "strong.geojson", project / "bare.geojson")
    found = pool(project)
    assert not any("bare" in image for image in found.own)
    assert found.notes == ()


def test_defaults_of_a_run_without_scored_images_give_way_without_a_word(project: Path, out: Path) -> None:
    regions = {path: path.read_bytes() for path in project.glob("*.geojson")}
    for path in regions:
        path.unlink()
    pool(project)
    for path, content in regions.items():
        path.write_bytes(content)
    found = pool(project)
    assert found.notes == ()
    assert next(iter(found.stains.values())).source == "estimated from 2 images, DAB from 1"
