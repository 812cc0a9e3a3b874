"""Transfer of regions from the H&E to the IHC section of the same case, from files to files."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
import shapely
from shapely import Point
from typer.testing import CliRunner

from qupath_her2.cli import app
from qupath_her2.errors import RegistrationError
from qupath_her2.project.class_names import ClassNames
from qupath_her2.project.exchange.score_files import regions_geojson
from qupath_her2.project.geojson.regions import read_regions
from qupath_her2.records import Region
from qupath_her2.runs.plan import select_images
from qupath_her2.runs.region_transfer import transfer_between
from qupath_her2.slides.registration.record import registration_from_dict
from tests.helpers.drawn_sections import Anatomy, affine_px, laid, stained, write_png

SHAPE = (420, 440)


@pytest.fixture(scope="module")
def truth():
    return affine_px(35.0, (330, 390), SHAPE, is_mirrored=True)


@pytest.fixture
def study(tmp_path, truth):
    """A folder with an H&E slide, its regions, and the IHC of the next section, rotated and mirrored."""
    anatomy = Anatomy.drawn(2, high=330, wide=390)
    write_png(tmp_path / "case_HE.png", stained(anatomy, "H&E", 2))
    write_png(tmp_path / "case_HER2.png", laid(stained(anatomy, "IHC", 102), truth, SHAPE))
    regions = [
        Region(UUID(int=7), Point(190, 160).buffer(45), "tumour", "Tumor", name="nest", is_locked=True),
        Region(UUID(int=8), Point(120, 150).buffer(25), "stroma", "Stroma"),
    ]
    (tmp_path / "case_HE.geojson").write_bytes(regions_geojson(regions, {}))
    return tmp_path


def test_regions_arrive_on_their_tissue_in_a_folder_of_their_own(study, truth, tree):
    before = tree(study)
    source, target = (select_images(study, (name,))[0] for name in ("case_HE.png", "case_HER2.png"))
    found = transfer_between(source, target, study / "her2", class_names=ClassNames(), pixel_size_um=10.0)
    written = {path.name for path in found.folder.iterdir()}
    assert written == {"regions.geojson", "registration.json", "check.jpg"}
    there = read_regions(
        found.folder / "regions.geojson",
        image_width=SHAPE[1],
        image_height=SHAPE[0],
        class_names=ClassNames(),
    ).regions
    assert [(one.uuid.int, one.name, one.role, one.is_locked) for one in there] == [
        (7, "nest", "tumour", True),
        (8, None, "stroma", False),
    ]
    expected = shapely.affinity.affine_transform(
        Point(190, 160).buffer(45), [*truth[:2, :2].ravel(), *truth[:2, 2]]
    )
    shared = there[0].geometry.intersection(expected).area / there[0].geometry.union(expected).area
    assert shared > 0.97
    record = json.loads((found.folder / "registration.json").read_bytes())
    assert (record["fixed"], record["moving"]) == ("case_HE.png", "case_HER2.png")
    assert registration_from_dict(record) == found.registration
    # No existing file was changed.
    assert {path: tree(study)[path] for path in before} == before


def test_the_command_prints_the_error_and_the_picture_to_check(study):
    flags = ["--transfer-from", "case_HE.png", "--transfer-to", "case_HER2.png", "--pixel-size-um", "10"]
    done = CliRunner().invoke(app, ["regions", str(study), *flags])
    assert done.exit_code == 0
    said = done.stdout
    assert "case_HE.png → case_HER2.png: rotated by" in said
    assert "mirrored; median error" in said
    assert "2 regions transferred; check" in said


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--transfer-from", "case_HE.png"], "needs both"),
        (["--transfer-from", "case_HE.png", "--transfer-to", "*.png"], "matches 2 images"),
        (["--transfer-from", "case_HE.png", "--transfer-to", "case_HER2.png"], "has no pixel size"),
        (["--transfer-from", "case_HER2.png", "--transfer-to", "case_HE.png"], "no regions to transfer"),
    ],
)
def test_missing_inputs_are_named(study, flags, message):
    done = CliRunner().invoke(app, ["regions", str(study), *flags])
    assert done.exit_code == 1
    assert message in " ".join(done.stderr.split())


def test_unrelated_slides_leave_nothing_behind(study):
    write_png(study / "other.png", stained(Anatomy.drawn(70, high=330, wide=390), "IHC", 70))
    source, target = (select_images(study, (name,))[0] for name in ("case_HE.png", "other.png"))
    with pytest.raises(RegistrationError, match=r"case_HE\.png"):
        transfer_between(source, target, study / "her2", class_names=ClassNames(), pixel_size_um=10.0)
    assert not (study / "her2").exists()
