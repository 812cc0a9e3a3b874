"""Features of the images of a drawn folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")
pytest.importorskip("timm", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")
pytest.importorskip("h5py", reason="feature files are NOT TESTED: pip install 'qupath-her2[learn]'")

from qupath_her2.config import Settings
from qupath_her2.errors import TrainingError
from qupath_her2.learning.bags.feature_files import read_features
from qupath_her2.models.bag_settings import EmbedSettings
from qupath_her2.models.encoders import load_encoder
from qupath_her2.patches.cutting.cut_patches import cut_patches
from qupath_her2.patches.cutting.grid import GridSettings
from qupath_her2.patches.datasets.sources import Source, project_source
from qupath_her2.patches.settings import PatchSettings
from qupath_her2.patches.tasks import TASKS
from qupath_her2.training.bags.embed_images import embed_images, embedded_part, feature_folder
from tests.helpers.drawn_study import draw_study

SETTINGS = Settings(embed=EmbedSettings("timm:test_resnet", patch_size_px=64))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    folder = tmp_path_factory.mktemp("study")
    draw_study(folder, ("0", "3+"), cases=1, side_px=224)
    return project_source(folder, task=TASKS["her2-4"])


def test_each_image_has_a_file_and_a_second_run_nothing_to_do(source: Source, tmp_path: Path) -> None:
    folder = feature_folder(tmp_path, SETTINGS)
    assert folder == tmp_path / "features" / "timm-test_resnet_0.5um_64px"
    done = embed_images(source.images, SETTINGS, folder, weights="random")
    assert (len(done.embedded), done.n_up_to_date, done.left_out) == (2, 0, ())
    info = read_features(folder / f"{source.images[0].id}.h5").info
    assert (info.image, info.n_patches, info.patch_size_level0) == (source.images[0].id, 9, 64)
    again = embed_images(source.images, SETTINGS, folder, weights="random")
    assert (len(again.embedded), again.n_up_to_date) == (0, 2)
    (folder / f"{source.images[0].id}.h5").write_bytes(b"damaged")
    assert len(embed_images(source.images, SETTINGS, folder, weights="random").embedded) == 1
    assert len(embed_images(source.images, SETTINGS, folder, weights="random", force=True).embedded) == 2


def test_an_image_that_cannot_be_embedded_does_not_stop_the_others(source: Source, tmp_path: Path) -> None:
    broken = replace(source.images[0], problem="Image 'g0_0' was left out: it is a control.")
    coarse = replace(source.images[1], pixel_size_um=0.9)
    done = embed_images((broken, coarse, source.images[1]), SETTINGS, tmp_path, weights="random")
    assert len(done.embedded) == 1
    assert done.left_out[0] == "Image 'g0_0' was left out: it is a control."
    assert "too coarse for patches at 0.5 µm/px. Pass --um-px 0.9 or more" in done.left_out[1]


def test_a_pale_field_is_embedded_like_any_tissue(source: Source, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    # An unstained 0 without glass: nine tenths of it are above the 220 at which patches count as white.
    pale = rng.normal((236, 230, 238), 6, (256, 256, 3)).clip(0, 255).astype(np.uint8)
    for y in range(20, 250, 40):
        for x in range(20, 250, 40):
            cv2.circle(pale, (x, y), 6, (170, 175, 210), cv2.FILLED)
    assert (pale.min(axis=2) > 220).mean() > 0.7
    cv2.imwrite(str(tmp_path / "pale.png"), cv2.cvtColor(pale, cv2.COLOR_RGB2BGR))
    (image,) = project_source(tmp_path, task=TASKS["her2-4"], pixel_size_um=0.5).images
    done = embed_images((image,), SETTINGS, tmp_path / "features", weights="random")
    assert done.left_out == ()
    assert done.embedded[0].n_patches == 16


def test_slides_without_tissue_are_left_out_of_a_training(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str, *_: Any, **options: Any) -> Any:
        return load_encoder(name, "random", **options)

    # Published weights would have to be downloaded.
    monkeypatch.setattr("qupath_her2.training.bags.embed_images.load_encoder", load)
    Image.new("RGB", (256, 256), (245, 245, 245)).save(tmp_path / "glass.png")
    (glass,) = project_source(tmp_path, task=TASKS["her2-4"], pixel_size_um=0.5).images
    whole = PatchSettings(grid=GridSettings(64, 0.0), whole_image=True, keep_unlabelled=True, split="none")
    both = Source("project", (*source.images, glass))
    manifest = cut_patches(both, whole)
    assert len(manifest) == 3
    kept, left_out = embedded_part(manifest, both.images, SETTINGS, tmp_path / "features")
    assert [image.name for image in kept.images] == [image.name for image in source.images]
    assert left_out == ("Image 'glass.png' has no patch of tissue at 0.5 µm/px.",)
    alone = cut_patches(Source("project", (glass,)), whole)
    with pytest.raises(
        TrainingError, match=r"None of 1 slides has features\. Image 'glass\.png' has no patch"
    ):
        embedded_part(alone, (glass,), SETTINGS, tmp_path / "others")


def test_tissue_by_watershed_lays_patches_too(source: Source, tmp_path: Path) -> None:
    settings = replace(SETTINGS, embed=replace(SETTINGS.embed, tissue="otsu-watershed"))
    done = embed_images(source.images, settings, tmp_path, weights="random")
    assert all(one.n_patches > 0 for one in done.embedded)
