"""A short, seeded run of the fuzzed images; ``python -m tests.fuzz images`` is the long one."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest

from tests.fuzz import images
from tests.fuzz.image_damage import BYTE_DAMAGE, JPEG_DAMAGE, PNG_DAMAGE, TIFF_DAMAGE, Damage
from tests.fuzz.image_files import WRITERS
from tests.fuzz.report import run_check

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes of POSIX")


def test_broken_and_odd_images_are_read_right_or_refused() -> None:
    report = images.run(100, seed=20)
    assert report.cases == 100
    assert report.failures == []


@pytest.mark.parametrize(
    ("kind", "damages"),
    [
        ("bmp", BYTE_DAMAGE),
        ("tiff rgb", TIFF_DAMAGE),
        ("pyramid aperio", TIFF_DAMAGE),
        ("png interlaced", PNG_DAMAGE),
        ("jpeg", JPEG_DAMAGE),
    ],
)
def test_every_damage_changes_the_file(tmp_path: Path, kind: str, damages: dict[str, Damage]) -> None:
    WRITERS[kind][1](random.Random(5), tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    for name, damage in damages.items():
        changed = {bytes(damage(random.Random(seed), bytearray(whole))) for seed in range(4)}
        assert len(changed - {whole}) >= 1, name


def test_other_pixels_than_were_written_are_a_loss(tmp_path: Path) -> None:
    folder = tmp_path / "1"
    (folder / images.IMAGES).mkdir(parents=True)
    truth = WRITERS["png RGB"][1](random.Random(3), folder / images.IMAGES / "case.png")
    pixels = truth.pixels.copy()
    np.savez(folder / images.TRUTH, pixels=pixels, tolerance=0.0, is_valid=True)
    assert run_check(images.check, folder).losses == ()
    pixels[:8, :8] = 255
    np.savez(folder / images.TRUTH, pixels=pixels, tolerance=0.0, is_valid=True)
    (loss,) = run_check(images.check, folder).losses
    assert "other pixels than were written" in loss
    (folder / images.IMAGES / "case.png").write_bytes(b"none")
    (loss,) = run_check(images.check, folder).losses
    assert "a valid image was refused" in loss
