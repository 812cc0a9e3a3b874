"""DICOM slides: files of one series are one slide, and the file of the finest level stands for it."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pydicom
import pytest

from qupath_her2.project.dicom_series import find_dicom_slides, is_dicom
from tests.helpers.dicom_slide import write_dicom_slide

PIXELS = np.full((300, 400, 3), 230, np.uint8)


def test_one_slide_per_series_by_its_finest_level(tmp_path: Path) -> None:
    # The finest level is not the first by name.
    write_dicom_slide(tmp_path, PIXELS, series="2.25.1", names=("z.dcm", "b.dcm"), label="a.dcm")
    write_dicom_slide(tmp_path, PIXELS, series="2.25.2", names=("other",))
    found = find_dicom_slides(sorted(tmp_path.iterdir()))
    assert [path.name for path in found.slides] == ["other", "z.dcm"]
    assert found.unread == {}


def test_a_label_without_its_slide_is_no_slide(tmp_path: Path) -> None:
    write_dicom_slide(tmp_path, PIXELS, names=(), label="a.dcm")
    found = find_dicom_slides([tmp_path / "a.dcm"])
    assert found.slides == ()
    assert found.unread == {tmp_path / "a.dcm": "a label or overview, without its slide"}


def test_other_kinds_and_other_files_are_named_by_what_they_are(tmp_path: Path) -> None:
    write_dicom_slide(tmp_path, PIXELS, names=("ct.dcm", "dir.dcm"))
    for name, uid in (("ct.dcm", "1.2.840.10008.5.1.4.1.1.2"), ("dir.dcm", "1.2.840.10008.1.3.10")):
        data = pydicom.dcmread(tmp_path / name)
        data.SOPClassUID = uid
        data.save_as(tmp_path / name)
    (tmp_path / "text.dcm").write_text("not DICOM")
    found = find_dicom_slides(sorted(tmp_path.iterdir()))
    assert found.slides == ()
    # The index of a medium holds nothing that could be lost.
    assert {path.name: why for path, why in found.unread.items()} == {
        "ct.dcm": "CT Image Storage, not a whole slide image",
        "text.dcm": "damaged, or not DICOM",
    }


def test_dicom_is_told_by_its_magic(tmp_path: Path) -> None:
    write_dicom_slide(tmp_path, PIXELS, names=("a",))
    (tmp_path / "b").write_bytes(b"x" * 200)
    assert is_dicom(tmp_path / "a")
    assert not is_dicom(tmp_path / "b")
    assert not is_dicom(tmp_path / "none")
    assert not is_dicom(tmp_path)


@pytest.mark.parametrize("seed", range(40))
def test_damaged_headers_never_raise(seed: int, tmp_path: Path) -> None:
    write_dicom_slide(tmp_path, PIXELS, names=("a.dcm",))
    path = tmp_path / "a.dcm"
    rng = random.Random(seed)
    data = bytearray(path.read_bytes()[: rng.choice([200, 600, 5000])])
    for _ in range(rng.randint(1, 12)):
        data[rng.randrange(128, len(data))] = rng.randrange(256)
    path.write_bytes(data)
    found = find_dicom_slides([path])
    assert len(found.slides) + len(found.unread) <= 1
