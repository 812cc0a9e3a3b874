"""Embedding of a slide: every patch by the encoder alone, resumed after an interruption, damaged patches left out."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")
pytest.importorskip("timm", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")
pytest.importorskip("h5py", reason="feature files are NOT TESTED: pip install 'qupath-her2[learn]'")

from qupath_her2.errors import PatchReadError  # noqa: E402
from qupath_her2.learning.bags.embed import Embedder, embed_slide, features_hash  # noqa: E402
from qupath_her2.learning.bags.feature_files import read_features  # noqa: E402
from qupath_her2.models.encoders import Encoder, load_encoder  # noqa: E402
from qupath_her2.models.settings import PredictSettings  # noqa: E402
from qupath_her2.patches.manifest import ManifestImage, PatchManifest  # noqa: E402

SIDE = 32
SETTINGS = PredictSettings(batch_size=4, device="cpu")


class DrawnPixels:
    """Patches drawn from their rows; those of `damaged` cannot be read."""

    def __init__(self, damaged: tuple[int, ...] = ()) -> None:
        self.damaged = damaged
        self.n_read = 0

    def read_readable(self, indices: Any) -> tuple[np.ndarray, list[PatchReadError]]:
        out = np.stack([np.random.default_rng(int(row)).integers(0, 256, (SIDE, SIDE, 3)) for row in indices])
        self.n_read += len(indices)
        failed = [
            PatchReadError(f"Patch {row} is damaged.", row) for row in indices.tolist() if row in self.damaged
        ]
        return out.astype(np.uint8), failed


def patches(n: int = 10) -> PatchManifest:
    # Right to left, so that the order of reading is not that of the rows.
    boxes = np.array([[64 * (n - row), 0, 64, 64] for row in range(n)], np.int32)
    return PatchManifest(
        image=np.zeros(n, np.int32),
        box_xywh=boxes.reshape(n, 4),
        label=np.full(n, -1, np.int16),
        overlap=np.ones(n, np.float32),
        region_uuid=np.zeros((n, 16), np.uint8),
        split=np.full(n, -1, np.int8),
        images=(ManifestImage("id1", "case07.svs", Path("case07.svs"), "P1", 0.25, 999, 999, (), "ab" * 32),),
        class_names=(),
        patch_size_px=SIDE,
        pixel_size_um=0.5,
        task="",
    )


@pytest.fixture
def encoder() -> Encoder:
    return load_encoder("timm:test_resnet", "random", seed=1)


def test_features_are_the_encoders_own(encoder: Encoder, tmp_path: Path) -> None:
    pixels = DrawnPixels().read_readable(np.arange(10))[0]
    mean, std = (np.array(one, np.float32) for one in (encoder.mean, encoder.std))
    seen = torch.from_numpy(
        ((pixels / np.float32(255) - mean) / std).transpose(0, 3, 1, 2).astype(np.float32)
    )
    with torch.no_grad():
        expected = encoder.net(seen).numpy()
    done = embed_slide(
        Embedder(encoder, SETTINGS, SIDE), patches(), DrawnPixels(), tmp_path / "a.h5", "0" * 64
    )
    found = read_features(tmp_path / "a.h5")
    np.testing.assert_allclose(found.features, expected, atol=1e-4)
    np.testing.assert_array_equal(found.left_top, patches().box_xywh[:, :2])
    assert (done.n_patches, done.unread) == (10, ())
    assert found.info.encoder == "timm:test_resnet"
    assert (found.info.patch_size_level0, found.info.pixel_size_um) == (64, 0.5)


def test_an_interrupted_slide_goes_on_where_it_was(encoder: Encoder, tmp_path: Path) -> None:
    embedder = Embedder(encoder, SETTINGS, SIDE)
    embed_slide(embedder, patches(), DrawnPixels(), tmp_path / "whole.h5", "1" * 64)

    def stop(done: int, total: int) -> None:
        if done >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_slide(embedder, patches(), DrawnPixels(), tmp_path / "a.h5", "1" * 64, progress=stop)
    (draft,) = tmp_path.glob("a.*.rows")
    # A killed process may leave a part of a row.
    with draft.open("ab") as file:
        file.write(b"123")
    pixels = DrawnPixels()
    embed_slide(embedder, patches(), pixels, tmp_path / "a.h5", "1" * 64)
    assert pixels.n_read == 2
    np.testing.assert_array_equal(
        read_features(tmp_path / "a.h5").features, read_features(tmp_path / "whole.h5").features
    )
    assert not list(tmp_path.glob("*.rows"))


def test_patches_that_cannot_be_read_are_left_out_and_said(encoder: Encoder, tmp_path: Path) -> None:
    embedder = Embedder(encoder, SETTINGS, SIDE)
    embed_slide(embedder, patches(), DrawnPixels(), tmp_path / "whole.h5", "2" * 64)
    done = embed_slide(embedder, patches(), DrawnPixels((3, 7)), tmp_path / "a.h5", "2" * 64)
    kept = [row for row in range(10) if row not in (3, 7)]
    whole, found = (read_features(tmp_path / name) for name in ("whole.h5", "a.h5"))
    assert sorted(done.unread) == ["Patch 3 is damaged.", "Patch 7 is damaged."]
    np.testing.assert_allclose(found.features, whole.features[kept], atol=1e-5)
    np.testing.assert_array_equal(found.left_top, whole.left_top[kept])


def test_the_hash_changes_with_what_the_features_depend_on(encoder: Encoder) -> None:
    first = features_hash(patches(), encoder, "own")
    assert first == features_hash(patches(), encoder, "own")
    others = {
        features_hash(patches(9), encoder, "own"),
        features_hash(patches(), encoder, "otsu-watershed"),
        features_hash(patches(), dataclasses.replace(encoder, weights_sha256="1"), "own"),
        features_hash(dataclasses.replace(patches(), patch_size_px=64), encoder, "own"),
    }
    assert len(others | {first}) == 5
