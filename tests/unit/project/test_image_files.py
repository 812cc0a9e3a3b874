"""Image files of a folder: what is read, what is named with its reason, and what is no image at all."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import openslide
import pytest

from qupath_her2.project.dicom_series import find_dicom_slides
from qupath_her2.project.image_files import find_image_files, image_stems, image_suffix, quoted_names
from tests.helpers.dicom_slide import write_dicom_slide

PIXELS = np.full((300, 400, 3), 230, np.uint8)


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_formats_that_are_not_read_are_named_with_the_way_out(tmp_path: Path) -> None:
    make(tmp_path, "a.czi", "b.CZI", "c.czi", "d.czi", "e.isyntax", "f.webp", "g.png", "notes.txt", "h.vsi")
    found = find_image_files(tmp_path, tmp_path / "her2")
    assert [path.name for path in found.images] == ["g.png"]
    by_maker, webp, olympus, zeiss = sorted(found.sentences(), key=lambda text: text.partition("(")[2])
    assert zeiss == (
        "Not read: 'a.czi', 'b.CZI', 'c.czi' and 1 more (Zeiss CZI). Export to OME-TIFF from QuPath (File → Export "
        "images → OME TIFF) or with bfconvert, or add to a QuPath project and run qupath-her2 pull PROJECT --pixels."
    )
    assert by_maker.startswith("Not read: 'h.vsi' (Olympus/Evident VSI). Export to OME-TIFF")
    assert webp.startswith("Not read: 'e.isyntax' (Philips iSyntax). Export to TIFF, SVS or DICOM")
    assert olympus == "Not read: 'f.webp' (WebP). Save as PNG or TIFF."


def test_openslide_is_asked_before_a_format_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a.czi", "b.nd2")
    monkeypatch.setattr(
        openslide.OpenSlide, "detect_format", lambda path: "zeiss" if path.endswith(".czi") else None
    )
    found = find_image_files(tmp_path, tmp_path / "her2")
    assert [path.name for path in found.images] == ["a.czi"]
    assert [what for what, _ in found.unread] == ["Nikon ND2"]


def test_system_files_and_our_own_output_are_not_mentioned(tmp_path: Path) -> None:
    make(
        tmp_path,
        "a.png",
        "._a.png",
        "._b.czi",
        "Thumbs.db",
        ".DS_Store",
        "her2/x.czi",
        "out/y.czi",
        "sub/z.czi",
    )
    found = find_image_files(tmp_path, tmp_path / "out")
    assert [path.name for path in found.images] == ["a.png"]
    assert found.sentences() == []


def test_links_to_nothing_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.svs").symlink_to(tmp_path / "gone.svs")
    make(tmp_path, "b.svs")
    found = find_image_files(tmp_path, tmp_path / "her2")
    assert [path.name for path in found.images] == ["b.svs"]
    assert found.sentences()[0].startswith("Not read: 'a.svs' (links to a file that is not there).")


def test_dicom_slides_in_the_folder_and_in_folders_of_their_own(tmp_path: Path) -> None:
    write_dicom_slide(tmp_path, PIXELS, series="2.25.1", names=("m.dcm", "n.dcm"))
    write_dicom_slide(tmp_path / "S1", PIXELS, series="2.25.2", names=("1.2.840.1", "1.2.840.2"))
    write_dicom_slide(tmp_path / "S2", PIXELS, series="2.25.3", names=("b.dcm",))
    make(tmp_path, "a.png", "z.png", "S2/picture.png", "README", "broken.dcm")
    found = find_image_files(tmp_path, tmp_path / "her2")
    names = [path.relative_to(tmp_path).as_posix() for path in found.images]
    assert names == ["a.png", "m.dcm", "z.png", "S1/1.2.840.1", "S2/b.dcm"]
    (sentence,) = found.sentences()
    assert sentence.startswith("Not read: 'broken.dcm' (DICOM: damaged, or not DICOM).")
    assert find_dicom_slides([]).slides == ()


@pytest.mark.parametrize(
    ("name", "suffix", "stems"),
    [
        ("a.ome.tif", ".ome.tif", ["a", "a.ome"]),
        ("a.QPTIFF", ".qptiff", ["a"]),
        ("a.bmp", ".bmp", ["a"]),
        ("a.txt", None, ["a.txt"]),
        (".png", None, [".png"]),
    ],
)
def test_endings_and_stems(name: str, suffix: str | None, stems: list[str]) -> None:
    assert image_suffix(name) == suffix
    assert image_stems(name) == stems


def test_long_lists_are_cut() -> None:
    assert quoted_names(["a"]) == "'a'"
    assert quoted_names("abcde") == "'a', 'b', 'c' and 2 more"


def test_links_in_a_circle_are_named_and_followed_once(tmp_path: Path) -> None:
    (tmp_path / "a.svs").symlink_to("b.svs")
    (tmp_path / "b.svs").symlink_to("a.svs")
    for name in ("up", "round"):
        (tmp_path / name).symlink_to(".", target_is_directory=True)
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "top").symlink_to("..", target_is_directory=True)
    make(tmp_path, "c.png", "deeper/d.png")
    for recursive, names in ((False, ["c.png"]), (True, ["c.png", "d.png"])):
        found = find_image_files(tmp_path, tmp_path / "her2", recursive=recursive)
        assert [path.name for path in found.images] == names
        assert found.sentences()[0].startswith(
            "Not read: 'a.svs', 'b.svs' (links to a file that is not there)."
        )


@pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: other systems have no such names")
def test_a_name_that_is_not_utf8_is_left_out_and_named(tmp_path: Path) -> None:
    make(tmp_path, "a.png", os.fsdecode(b"K\xe4se.png"))
    found = find_image_files(tmp_path, tmp_path / "her2")
    assert [path.name for path in found.images] == ["a.png"]
    assert found.sentences() == [
        r"Not read: 'K\udce4se.png' (a name that is not UTF-8). Rename, and its region file with it."
    ]
