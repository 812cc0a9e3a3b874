"""Projects saved by real QuPaths are exported by the script in QuPath and by `qupath-her2 pull`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from qupath_her2.project.exchange.existing_cell_files import read_existing_cells
from qupath_her2.project.folder import pulled_images
from qupath_her2.project.geojson.regions import read_regions
from qupath_her2.slides.readers.view import open_image
from tests.helpers.qupath import QuPath
from tests.integration.conftest import HERE, KINDS, Study, exported, make

pytestmark = [pytest.mark.qupath, pytest.mark.slow]


def files_below(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def saved_state(study: Study) -> dict[str, bytes]:
    """The files of the project itself."""
    return {name: data for name, data in files_below(study.folder).items() if not name.startswith("her2")}


def test_script_and_pull_write_the_same_bytes_and_leave_the_project_unchanged(every_kind: Study) -> None:
    before = saved_state(every_kind)
    done = exported(every_kind, f"out={every_kind.folder / 'her2_script'}", "cells")
    closing = [line for line in done.stdout.splitlines() if line.startswith("HER2_EXPORT_REGIONS_OK")]
    assert len(closing) == len(KINDS)
    every_kind.her2("pull", str(every_kind.folder), "--out", str(every_kind.folder / "her2_paquo"), "--cells")
    assert saved_state(every_kind) == before

    script, paquo = (files_below(every_kind.folder / name) for name in ("her2_script", "her2_paquo"))
    statuses = {name for name in script if name.startswith("status/")}
    assert len(statuses) == len(KINDS)
    assert {name: data for name, data in script.items() if name not in statuses} == paquo
    assert b"\r" not in paquo["images.json"]
    # Every object has sorted keys.
    images = json.loads(paquo["images.json"])["images"]
    assert all(list(image) == sorted(image) for image in images)


def test_facts_of_each_kind_and_regions_that_qupath_reads_back(every_kind: Study) -> None:
    done = every_kind.her2("pull", str(every_kind.project), "--cells")
    assert "13 images, 30 regions, 201 cells, 1 without a tumour region, 1 refused" in done.stdout
    her2 = every_kind.folder / "her2"
    images = dict(zip(("first", *KINDS[1:]), pulled_images(her2) or [], strict=True))
    assert len(images) == len(KINDS) - 1
    plain, rotated, turned = images["first"], images["rotated"], images["turned"]
    assert (plain.id, plain.width, plain.height, plain.chain) == ("1_plain", 600, 600, ())
    assert plain.image_type == "BRIGHTFIELD_H_DAB"
    assert plain.case.case == "K-1"
    assert rotated.chain == ({"rotate": 90},)
    assert turned.chain == ({"crop": [40, 24, 480, 440]}, {"rotate": 270})
    assert (turned.width, turned.height) == (440, 480)
    assert images["pyramid"].chain == ()
    assert images["untouched"].stains is None
    refusal = images["fluorescence"].refusal
    assert refusal is not None
    assert refusal.code == "not_brightfield"
    assert images["fluorescence"].regions_path is None

    found = {image["name"]: image for image in every_kind.look()}
    for kind in ("plain", "shapes", "cells"):
        image = found[f"{kind}.tif"]
        theirs = {o["id"]: o for o in image["objects"] if o["kind"] == "PathAnnotationObject"}
        again = {o["id"]: o for o in image["exported"]}
        assert again.keys() == theirs.keys()
        for key, object_ in again.items():
            for what in ("kind", "name", "locked", "pathClass", "z"):
                assert object_[what] == theirs[key][what], (kind, what)
            assert object_["area"] == pytest.approx(theirs[key]["area"], abs=1.5)
    assert [o["roi"] for o in found["shapes.tif"]["exported"] if o["name"] == "ellipse"] == ["Ellipse"]


def test_tma_cores_that_are_not_missing_are_regions(every_kind: Study) -> None:
    every_kind.her2("pull", str(every_kind.project), "--images", "tma")
    (image,) = pulled_images(every_kind.folder / "her2") or []
    assert image.regions_path is not None
    cores = read_regions(image.regions_path, image_width=600, image_height=600).cores
    assert sorted(str(core.name) for core in cores) == ["A-1", "A-2", "B-1", "C-1", "C-2"]


def test_existing_cells_have_nuclei_classes_and_measurements(every_kind: Study) -> None:
    every_kind.her2("pull", str(every_kind.project), "--cells", "--images", "cells")
    (path,) = (every_kind.folder / "her2" / "regions").glob("*.cells.npz")
    cells = read_existing_cells(path)
    (image,) = [image for image in every_kind.look() if image["name"] == "cells.tif"]
    theirs = {
        bytes.fromhex(o["id"].replace("-", "")): o
        for o in image["objects"]
        if o["kind"] in ("PathCellObject", "PathDetectionObject")
    }
    assert [row.tobytes() for row in cells.uuid] == sorted(theirs, key=lambda u: _signed(u))
    assert len(cells) == 201
    assert int(cells.is_cell.sum()) == 200
    assert int((np.diff(cells.nucleus_offsets) > 0).sum()) == 160
    for i, row in enumerate(cells.uuid):
        own = theirs[row.tobytes()]
        assert cells.class_names[i] == own["pathClass"]
        for name, column in zip(cells.measurement_names, cells.measurements.T, strict=True):
            expected = own["measurements"].get(name)
            assert np.isnan(column[i]) if expected is None else column[i] == pytest.approx(expected)
    # QuPath 0.6 and later swap the words of this name.
    assert np.isfinite(cells.column("Membrane: DAB: Mean")).sum() == 200


def _signed(uuid: bytes) -> tuple[int, int]:
    """Sort key of a UUID in Java, which compares its halves as signed numbers."""
    return (
        int.from_bytes(uuid[:8], "big", signed=True),
        int.from_bytes(uuid[8:], "big", signed=True),
    )


def test_pixels_equal_those_that_qupath_shows(every_kind: Study, tmp_path: Path) -> None:
    every_kind.her2("pull", str(every_kind.project))
    every_kind.script(
        HERE / "look.groovy", "-p", str(every_kind.project), "--args", "none", "--args", str(tmp_path)
    )
    for image in pulled_images(every_kind.folder / "her2") or []:
        if image.refusal is not None:
            continue
        with Image.open(tmp_path / f"{image.entry_id}.png") as picture:
            shown = np.asarray(picture.convert("RGB"))
        with open_image(image) as slide:
            read = slide.read(0, 0, slide.width, slide.height)
            window = slide.read(37, 61, 120, 90)
        assert np.array_equal(read, shown), image.name
        assert np.array_equal(window, shown[61:151, 37:157]), image.name


def test_images_that_python_cannot_read_are_refused_or_exported_as_pixels(
    qupath: QuPath, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    drawn = np.random.default_rng(2).integers(0, 256, (3, 400, 500, 3), dtype=np.uint8)
    Image.fromarray(drawn[0]).save(images / "odd.bmp")
    tifffile.imwrite(images / "stack.ome.tif", drawn, photometric="rgb", metadata={"axes": "ZYXS"})
    with tifffile.TiffWriter(images / "two.ome.tif", ome=True) as tiff:
        for one in drawn[:2]:
            tiff.write(one, photometric="rgb", metadata={"axes": "YXS"})
    words = ("plain=odd.bmp", "stack=stack.ome.tif", "second=two.ome.tif", "rotated=two.ome.tif")
    study = make(qupath, tmp_path / "study", images, *words)

    done = study.her2("pull", str(study.project))
    assert "4 images, 2 regions, 2 refused" in done.stdout
    her2 = study.folder / "her2"
    odd, stack, second, first = pulled_images(her2) or []
    reasons = [image.refusal.reason if image.refusal else "" for image in (odd, stack, second, first)]
    assert reasons[0] == ""
    assert odd.path.name == "odd.bmp"
    assert "a stack (3 focal planes" in reasons[1]
    assert "image '1' of several in one file" in reasons[2]
    assert reasons[3] == ""

    study.her2("pull", str(study.project), "--pixels", "--images", "second*")
    odd, stack, second, first = pulled_images(her2) or []
    assert second.path.parent == her2 / "images"
    for image, pixels in ((odd, drawn[0]), (second, drawn[1])):
        assert image.refusal is None
        with open_image(image) as slide:
            assert np.array_equal(slide.read(0, 0, 500, 400), pixels)
    # Pixels exported once are updated with every export; the others are unchanged.
    again = study.her2("pull", str(study.project))
    assert "4 images, 3 regions, 1 refused" in again.stdout
    assert stack.refusal is not None


def test_masked_names_are_never_exported(field: Study, tmp_path: Path) -> None:
    mask = tmp_path / "mask.groovy"
    mask.write_text(
        "import qupath.lib.gui.prefs.PathPrefs\n"
        "PathPrefs.maskImageNamesProperty().set(true)\nPathPrefs.savePreferences()\n",
        encoding="utf-8",
    )
    field.script(mask)
    done = field.her2("run", str(field.project), "--images", "Image 1")
    her2 = field.folder / "her2"
    written = [path for path in her2.rglob("*") if "plain" in path.name]
    assert written == []
    assert "plain" not in done.stdout
    assert "plain" not in (her2 / "report.html").read_text(encoding="utf-8")
    assert [image.id for image in pulled_images(her2) or []] == ["1"]


def test_damaged_data_are_refused(field: Study) -> None:
    data = field.folder / "data" / "1" / "data.qpdata"
    data.write_bytes(data.read_bytes()[:900])
    before = saved_state(field)
    done = field.her2("pull", str(field.project))
    assert "QuPath cannot read the saved data of this image" in done.stderr
    assert "1 refused" in done.stdout
    assert saved_state(field) == before


def test_damaged_project_file(field: Study) -> None:
    field.project.write_text("{")
    assert "is damaged" in field.her2("pull", str(field.project), code=1).stderr
