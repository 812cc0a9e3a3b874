from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from qupath_her2.config import Settings
from qupath_her2.errors import ExchangeError
from qupath_her2.runs.plan import select_images
from qupath_her2.runs.stain_groups import STAINS_FILE, PooledStains, pooled_stains, sample_tissue
from qupath_her2.slides.readers.slide import open_slide
from qupath_her2.slides.tissue import find_tissue


@pytest.fixture
def out(project: Path) -> Path:
    folder = project / "her2"
    folder.mkdir()
    return folder


def pool(project: Path, settings: Settings | None = None, **more: bool) -> PooledStains:
    return pooled_stains(select_images(project), project / "her2", settings or Settings(), **more)


def test_images_of_one_scanner_share_one_estimate(project: Path, out: Path) -> None:
    first, second = pool(project).stains.values()
    assert first == second
    assert (out / STAINS_FILE).is_file()
    # The fields are drawn with this DAB vector, jittered once a field by some 0.02.
    assert np.dot(first.dab, (0.34, 0.57, 0.74)) > np.cos(np.radians(12))


def test_the_estimate_is_kept_when_an_image_is_added(project: Path, out: Path) -> None:
    before = pool(project).stains
    kept = (out / STAINS_FILE).read_bytes()
    shutil.copy(project / "pale.ome.tif", project / "later.ome.tif")
    after = pool(project).stains
    assert {image: after[image] for image in before} == before
    assert len(after) == 3
    assert (out / STAINS_FILE).read_bytes() == kept


def test_a_group_that_has_doubled_gets_a_note(project: Path, out: Path) -> None:
    pool(project)
    for number in range(3):
        shutil.copy(project / "pale.ome.tif", project / f"later{number}.ome.tif")
    (note,) = pool(project).notes
    assert "come from 2 images; there are now 5" in note
    assert "--force" in note
    assert pool(project, anew=True).notes == ()


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
    assert "set the vectors in QuPath or in her2.toml" in note


def test_images_that_cannot_be_opened_are_left_out(project: Path, out: Path) -> None:
    (project / "broken.png").write_bytes(b"not a picture")
    assert len(pool(project).stains) == 2


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b'{"format": 9}', b'{"format": 1, "groups": {"a": 5}}', b'{"format":1,"groups":[]}'],
)
def test_a_damaged_file_is_named_with_the_way_out(project: Path, out: Path, content: bytes) -> None:
    (out / STAINS_FILE).write_bytes(content)
    with pytest.raises(ExchangeError, match=r"stains\.json.*Delete it"):
        pool(project)


def test_null_vectors_in_the_file_are_reported_as_damage(project: Path, out: Path) -> None:
    pool(project)
    content = orjson.loads((out / STAINS_FILE).read_bytes())
    for group in content["groups"].values():
        group["dab"] = [0, 0, 0]
    (out / STAINS_FILE).write_bytes(orjson.dumps(content))
    with pytest.raises(ExchangeError, match="damaged"):
        pool(project)


def test_the_sample_is_reproducible_and_of_tissue(project: Path) -> None:
    with open_slide(project / "strong.ome.tif") as slide:
        tissue = find_tissue(slide)
        one, two = sample_tissue(slide, tissue, 0.5), sample_tissue(slide, tissue, 0.5)
    assert np.array_equal(one, two)
    assert 0 < len(one) <= 80_000
    assert (one.sum(axis=1) > 0.15).all()
