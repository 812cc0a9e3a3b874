from __future__ import annotations

from pathlib import Path

import pytest

from qupath_her2.errors import PatchError
from qupath_her2.patches.datasets.files import case_number, image_files, source_image


@pytest.mark.parametrize(
    ("text", "want"), [("01", "1"), ("1", "1"), ("1.0", "1"), (" 10 ", "10"), ("000", "0"), ("A01", "A01")]
)
def test_case_numbers_are_normalised(text: str, want: str) -> None:
    assert case_number(text) == want


def test_images_are_found_below_the_folder_without_our_own_output(tmp_path: Path) -> None:
    for name in ("b/2.TIF", "a/1.tif", "a/notes.txt", "her2/results/x.tif", "a/her2/y.tif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = image_files(tmp_path, (".tif",), "Test", "<case>.tif")
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["a/1.tif", "b/2.TIF"]
    with pytest.raises(PatchError, match=r"is named like <case>\.svs \(Test\)\. Check --layout"):
        image_files(tmp_path, (".svs",), "Test", "<case>.svs")


@pytest.mark.parametrize("name", ["1.tif.geojson", "1.geojson"])
def test_a_geojson_next_to_the_image_wins_over_the_data_sets_regions(name: str, tmp_path: Path) -> None:
    path, xml = tmp_path / "a" / "1.tif", tmp_path / "1.xml"
    path.parent.mkdir()
    image = source_image(tmp_path, path, "3+", case="7", split=2, regions_path=xml)
    assert (image.name, image.label, image.case.case, image.split) == ("a/1.tif", "3+", "7", 2)
    assert (image.regions_path, image.are_all_tumour) == (xml, True)
    (path.parent / name).touch()
    image = source_image(tmp_path, path, None, regions_path=xml)
    assert (image.regions_path, image.are_all_tumour) == (path.parent / name, False)
