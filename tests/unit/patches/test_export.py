from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qupath_her2.errors import OutputError
from qupath_her2.patches.export import export_jpegs, jpeg_names
from qupath_her2.patches.manifest import PatchManifest

Make = Callable[..., PatchManifest]
ROWS = [(0, (0, 0, 16, 16)), (1, (16, 32, 16, 16)), (0, (32, 0, 16, 16)), (1, (0, 0, 32, 32))]


def labelled(make: Make) -> PatchManifest:
    made = make(ROWS, labels=[0, 3, -1, 1])
    return dataclasses.replace(made, split=np.array([0, 2, -1, 1], np.int8))


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_each_patch_has_a_folder_and_a_name(two_images: Make, tmp_path: Path) -> None:
    made = labelled(two_images)
    want = [
        "train/0/a_0_0_16x16.jpg",
        "test/3+/b_16_32_16x16.jpg",
        "all/unlabelled/a_32_0_16x16.jpg",
        "validation/1+/b_0_0_32x32.jpg",
    ]
    assert jpeg_names(made) == want
    seen: list[tuple[int, int]] = []
    written, problems = export_jpegs(made, tmp_path / "jpeg", progress=lambda *args: seen.append(args))
    assert (written, problems) == (4, [])
    assert files(tmp_path / "jpeg") == sorted(want)
    assert seen == [(4, 4)]
    for name in want:
        with Image.open(tmp_path / "jpeg" / name) as image:
            assert image.size == (16, 16)


def test_exported_pixels_are_those_of_the_patch_but_for_jpeg_loss(tmp_path: Path, two_images: Make) -> None:
    made = two_images([(0, (0, 0, 16, 16))])
    rgb = np.full((64, 96, 3), (200, 90, 30), np.uint8)
    Image.fromarray(rgb).save(made.images[0].path)
    export_jpegs(made, tmp_path / "jpeg")
    with Image.open(tmp_path / "jpeg" / jpeg_names(made)[0]) as image:
        assert np.abs(np.asarray(image).astype(int) - (200, 90, 30)).max() <= 3


def test_a_new_export_replaces_the_old_one_completely(two_images: Make, tmp_path: Path) -> None:
    export_jpegs(labelled(two_images), tmp_path / "jpeg")
    export_jpegs(two_images([(0, (0, 0, 16, 16))]), tmp_path / "jpeg")
    assert files(tmp_path / "jpeg") == ["all/unlabelled/a_0_0_16x16.jpg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png", "jpeg"]


def test_unreadable_patches_are_reported_and_the_others_written(two_images: Make, tmp_path: Path) -> None:
    made = labelled(two_images)
    made.images[1].path.unlink()
    written, problems = export_jpegs(made, tmp_path / "jpeg")
    assert written == 2
    assert len(problems) == 2
    assert all("b.png" in text for text in problems)
    assert len(files(tmp_path / "jpeg")) == 2


def test_foreign_files_are_not_deleted(two_images: Make, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.docx").write_text("x")
    with pytest.raises(OutputError, match=r"thesis\.docx"):
        export_jpegs(labelled(two_images), tmp_path / "mine")
    assert files(tmp_path / "mine") == ["thesis.docx"]


def test_a_failure_leaves_the_old_export(
    two_images: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_jpegs(labelled(two_images), tmp_path / "jpeg")
    before = files(tmp_path / "jpeg")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("qupath_her2.patches.export._write_batch", full)
    with pytest.raises(OutputError, match="No space left"):
        export_jpegs(two_images([(0, (0, 0, 16, 16))]), tmp_path / "jpeg")
    assert files(tmp_path / "jpeg") == before
    assert not (tmp_path / "jpeg.tmp").exists()
