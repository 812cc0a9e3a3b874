from __future__ import annotations

from pathlib import Path

import pytest

from qupath_her2.config import load_settings
from qupath_her2.errors import SettingsError
from qupath_her2.records import SlideRef
from qupath_her2.slides.readers.image_choice import ImageSettings, chosen_image, unmatched_names

NAMED = ("a b.ome.tif --series 1 --plane 0", "sub/c.tif --plane=7")


def chain(name, settings, **more):
    return chosen_image(SlideRef("1", name, Path(name), **more), settings).chain


def test_named_images_win_over_all():
    settings = ImageSettings(plane=3, named=NAMED)
    assert chain("x.tif", settings) == ({"plane": 3},)
    assert chain("a b.ome.tif", settings) == ({"series": 1, "plane": 0},)
    assert chain("sub/c.tif", settings) == ({"plane": 7},)
    # A file name alone holds in every sub-folder; with its folder, only there.
    assert chain("sub/a b.ome.tif", settings) == ({"series": 1, "plane": 0},)
    assert chain("c.tif", settings) == ({"plane": 3},)
    assert chain("x.tif", ImageSettings()) == ()


def test_flags_win_over_named_images():
    settings = ImageSettings(plane=3, named=NAMED)
    assert settings.with_flags(None, None) is settings
    both = settings.with_flags(2, 5)
    assert [chain(name, both) for name in ("a b.ome.tif", "x.tif")] == [({"series": 2, "plane": 5},)] * 2
    only_plane = settings.with_flags(None, 5)
    assert chain("a b.ome.tif", only_plane) == ({"series": 1, "plane": 5},)
    assert chain("sub/c.tif", only_plane) == ({"plane": 5},)


def test_the_choice_comes_before_other_steps():
    rotated = ({"rotate": 90},)
    assert chain("x.tif", ImageSettings(series=1), chain=rotated) == ({"series": 1}, *rotated)


def test_qupath_chooses_in_its_projects():
    assert chain("x.tif", ImageSettings(), entry_id="4") == ()
    with pytest.raises(SettingsError, match=r"'x\.tif' belongs to a QuPath project.*Leave them out"):
        chain("x.tif", ImageSettings(plane=0), entry_id="4")


def test_names_that_no_image_has_are_found():
    refs = [SlideRef("1", "sub/a b.ome.tif", Path("a")), SlideRef("2", "c.tif", Path("c"))]
    assert unmatched_names(refs, ImageSettings(named=NAMED)) == ["sub/c.tif"]


def test_settings_files_hold_choices(tmp_path):
    path = tmp_path / "her2.toml"
    path.write_text('[images]\nseries = 1\nnamed = ["case07.ome.tif --plane 12"]\n', encoding="utf-8")
    assert load_settings(path).images == ImageSettings(1, None, ("case07.ome.tif --plane 12",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("plane = -1", "images.plane is -1; it must be a whole number, 0 to 999,999"),
        ("series = 1.5", "images.series is 1.5"),
        ('named = ["case07.ome.tif"]', "images.named is .*an image with its choice"),
        ('named = ["case07.ome.tif --page 3"]', "images.named is .*an image with its choice"),
        ('named = ["--plane 3"]', "images.named is .*an image with its choice"),
        ("page = 3", "Unknown setting 'images.page'"),
    ],
)
def test_wrong_choices_are_refused_with_their_key(tmp_path, text, message):
    path = tmp_path / "her2.toml"
    path.write_text(f"[images]\n{text}\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=message):
        load_settings(path)
