"""Feature files: ours, and those of CLAM and TRIDENT as these programs write them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

h5py = pytest.importorskip("h5py", reason="feature files are NOT TESTED: pip install 'qupath-her2[learn]'")

from qupath_her2.errors import ModelError  # noqa: E402
from qupath_her2.learning.bags.feature_files import (  # noqa: E402
    FeatureInfo,
    SlideFeatures,
    read_feature_info,
    read_features,
    write_features,
)


def drawn(n: int = 5, width: int = 3) -> SlideFeatures:
    rng = np.random.default_rng(n)
    info = FeatureInfo(
        n, width, "timm:x", "ab" * 32, 0.5, 224, 448, "id1", "case07.svs", "cd" * 32, "ef" * 32
    )
    return SlideFeatures(rng.normal(size=(n, width)).astype(np.float32), rng.integers(0, 9999, (n, 2)), info)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    found = drawn()
    write_features(tmp_path / "new" / "a.h5", found)
    again = read_features(tmp_path / "new" / "a.h5")
    np.testing.assert_array_equal(again.features, found.features)
    np.testing.assert_array_equal(again.left_top, found.left_top)
    assert again.info == read_feature_info(tmp_path / "new" / "a.h5") == found.info
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.h5"]


def test_the_layout_is_that_of_clam_and_trident(tmp_path: Path) -> None:
    write_features(tmp_path / "a.h5", drawn())
    with h5py.File(tmp_path / "a.h5") as file:
        # As CLAM's datasets read them.
        assert file["features"][:].dtype == np.float32
        assert file["coords"][:].shape == (5, 2)
        # As TRIDENT's heat maps read them.
        attributes = dict(file["coords"].attrs)
    assert attributes["patch_size_level0"] == 448
    assert attributes["target_magnification"] == pytest.approx(20)
    assert attributes["level0_magnification"] == pytest.approx(40)
    assert (attributes["name"], attributes["overlap"], attributes["patch_size"]) == ("case07", 0, 224)


def test_a_file_of_clam(tmp_path: Path) -> None:
    # CLAM appends batch by batch, and writes no attribute.
    with h5py.File(tmp_path / "clam.h5", "w") as file:
        for name, values in {
            "features": np.ones((4, 6), np.float32),
            "coords": np.zeros((4, 2), np.int32),
        }.items():
            data = file.create_dataset(
                name,
                shape=values.shape,
                dtype=values.dtype,
                maxshape=(None, values.shape[1]),
                chunks=(32, values.shape[1]),
            )
            data[:] = values
    found = read_features(tmp_path / "clam.h5")
    assert (found.info.n_patches, found.info.n_features, found.info.encoder) == (4, 6, "")
    assert math.isnan(found.info.pixel_size_um)


def test_a_file_of_trident(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "trident.h5", "w") as file:
        # Some encoders leave 16-bit features and an axis of one.
        file["features"] = np.ones((1, 4, 6), np.float16)
        file["coords"] = np.zeros((1, 4, 2), np.int64)
        file["coords"].attrs.update({"patch_size": 256, "patch_size_level0": 512, "target_magnification": 20})
    found = read_features(tmp_path / "trident.h5")
    assert found.features.shape == (4, 6)
    assert found.left_top.shape == (4, 2)
    assert (found.info.pixel_size_um, found.info.patch_size_px, found.info.patch_size_level0) == (
        0.5,
        256,
        512,
    )


def test_rows_of_nan_are_counted(tmp_path: Path) -> None:
    found = drawn()
    found.features[3, 1] = np.nan
    write_features(tmp_path / "a.h5", found)
    with pytest.raises(
        ModelError, match=r"1 rows with NaN or infinity, the first is row 3\. Embed the slide again"
    ):
        read_features(tmp_path / "a.h5")


def test_files_that_are_none(tmp_path: Path) -> None:
    write_features(tmp_path / "empty.h5", drawn(0))
    with pytest.raises(ModelError, match="hold no patch: a bag of nothing has no class"):
        read_features(tmp_path / "empty.h5")
    with pytest.raises(ModelError, match="the file does not exist"):
        read_features(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(ModelError, match="cannot be read as HDF5"):
        read_feature_info(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["imgs"] = np.zeros(3)
    with pytest.raises(ModelError, match="is no feature file: it lacks features and coords"):
        read_features(tmp_path / "other.h5")
    with h5py.File(tmp_path / "short.h5", "w") as file:
        file["features"], file["coords"] = np.ones((4, 6)), np.zeros((3, 2))
    with pytest.raises(ModelError, match="4 rows, but 3 places"):
        read_features(tmp_path / "short.h5")
    with h5py.File(tmp_path / "flat.h5", "w") as file:
        file["features"], file["coords"] = np.ones(4), np.zeros((4, 2))
    with pytest.raises(ModelError, match=r"have the shape \(4,\)"):
        read_features(tmp_path / "flat.h5")
