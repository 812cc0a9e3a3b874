"""``images.json``: parsing, moved image files, and invalid entries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from qupath_her2.errors import CasesFileError, ExchangeError, Her2Error
from qupath_her2.project.exchange.images import read_images
from qupath_her2.project.folder import project_file, pulled_images

IMAGE: dict[str, Any] = {
    "id": "7_case",
    "entry_id": "7",
    "name": "case.svs",
    "path": "slides/case.svs",
    "width": 200,
    "height": 100,
    "pixel_size_um": 0.25,
    "stains": None,
    "image_type": "BRIGHTFIELD_H_DAB",
    "chain": [{"crop": [1, 2, 200, 100]}, {"rotate": 180}],
    "metadata": {"Case": "K-7", "ISH ratio": "2,4", "Scanner": "x", "HER2 score": "2+"},
    "fingerprint": "aa",
    "series": None,
    "refusal": None,
}


def write(her2: Path, *images: dict[str, Any]) -> Path:
    her2.mkdir(exist_ok=True)
    (her2 / "images.json").write_bytes(orjson.dumps({"format": 1, "images": images}))
    return her2


def test_the_fields_of_an_image_are_read(tmp_path: Path) -> None:
    (image,) = read_images(write(tmp_path / "her2", IMAGE))
    assert (image.id, image.entry_id, image.width, image.height) == ("7_case", "7", 200, 100)
    assert image.chain == ({"crop": [1, 2, 200, 100]}, {"rotate": 180})
    assert (image.case.case, image.case.her2_cep17_ratio) == ("K-7", 2.4)
    assert image.path == tmp_path / "slides" / "case.svs"
    assert image.refusal is None


@pytest.mark.parametrize("recorded", ["C:/slides/case.svs", "//server/share/case.svs", "/far/case.svs"])
@pytest.mark.parametrize("folder", ["", "slides", "images"])
def test_an_image_moved_with_its_project_is_found(tmp_path: Path, recorded: str, folder: str) -> None:
    place = tmp_path / folder / "case.svs"
    place.parent.mkdir(exist_ok=True)
    place.touch()
    (image,) = read_images(write(tmp_path / "her2", {**IMAGE, "path": recorded}))
    assert image.path == place


def test_a_refusal_is_kept_with_its_reason(tmp_path: Path) -> None:
    refusal = {"code": "z_stack", "reason": "the image is a stack"}
    (image,) = read_images(write(tmp_path / "her2", {**IMAGE, "refusal": refusal}))
    assert image.refusal is not None
    assert (image.refusal.code, image.refusal.reason) == ("z_stack", "the image is a stack")


@pytest.mark.parametrize(
    "wrong",
    [
        {"chain": [{"affine": []}]},
        {"chain": [{"crop": [1, 2, 3]}]},
        {"chain": [{"crop": [1, 2, 3, "4"]}]},
        {"chain": [{"rotate": 45}]},
        {"chain": {"rotate": 90, "x": 1}, "width": True},
        {"width": 0},
        {"height": 1.5},
        {"refusal": {"code": "x"}},
        {"refusal": "no"},
    ],
)
def test_invalid_fields_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ExchangeError, match="image 0"):
        read_images(write(tmp_path / "her2", {**IMAGE, **wrong}))


def test_metadata_that_cannot_be_used_name_the_image(tmp_path: Path) -> None:
    with pytest.raises(CasesFileError, match=r"'case\.svs'.*'liver'"):
        read_images(write(tmp_path / "her2", {**IMAGE, "metadata": {"specimen": "liver"}}))


def test_pulled_images_by_name_with_cases_csv_taking_precedence(tmp_path: Path) -> None:
    her2 = write(tmp_path / "her2", IMAGE, {**IMAGE, "id": "8_b", "entry_id": "8", "name": "b"})
    (tmp_path / "cases.csv").write_text("image,case\ncase,K-9\n")
    first, second = pulled_images(her2) or []
    assert (first.case.case, second.case.case) == ("K-9", "K-7")
    assert [image.id for image in pulled_images(her2, ["case"]) or []] == ["7_case"]
    assert [image.id for image in pulled_images(her2, ["8_b"]) or []] == ["8_b"]
    with pytest.raises(Her2Error, match=r"No image 'c'.*case\.svs, b"):
        pulled_images(her2, ["c"])


def test_a_plain_folder_has_no_pulled_images(tmp_path: Path) -> None:
    assert pulled_images(tmp_path / "her2") is None
    plain = {key: value for key, value in IMAGE.items() if key != "entry_id"}
    assert pulled_images(write(tmp_path / "her2", plain)) is None
    assert project_file(tmp_path) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not JSON"),
        ("[]", "format 'list'"),
        ('{"format": 2, "images": []}', "format 2"),
        ('{"format": 1, "images": [5]}', "image 0 is not an object"),
        ('{"format": 1, "images": [{"id": "a"}]}', "'name' is None"),
        ('{"format": 1, "images": [{"id": "a", "name": "a", "pixel_size_um": 0}]}', "positive number"),
        ('{"format": 1, "images": [{"id": "a", "name": "a", "pixel_size_um": "0.25"}]}', "positive number"),
        (
            '{"format": 1, "images": [{"id": "a", "name": "x"}, {"id": "A", "name": "y"}]}',
            "two images with the id",
        ),
    ],
)
def test_damaged_images_json(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "images.json").write_text(content)
    with pytest.raises(ExchangeError, match=message):
        read_images(tmp_path)


@pytest.mark.parametrize(
    "identity", ["../../elsewhere", "a/b", "..", ".", "/tmp/x", "C:\\x", "a\0b", "x" * 200]
)
def test_ids_that_lead_out_of_the_folder_are_refused(tmp_path: Path, identity: str) -> None:
    with pytest.raises(ExchangeError, match=r"images\.json', image 0: .* is not the id of an image"):
        read_images(write(tmp_path / "her2", {**IMAGE, "id": identity}))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("metadata", ["Case"], "'metadata' is"),
        ("metadata", {"Case": 7}, "'metadata' is"),
        ("entry_id", 7, "'entry_id' is 7"),
        ("image_type", {}, "'image_type' is"),
        ("width", 0, "'width' is 0"),
        ("width", True, "'width' is True"),
        ("chain", [{"crop": [0, 0, 0, 10]}], "neither a crop"),
        ("chain", [{"crop": [0, 0, -5, 10]}], "neither a crop"),
        ("chain", [{"crop": [0, 0, 2**40, 10]}], "neither a crop"),
        ("chain", [{"crop": [0, 0, 1.5, 10]}], "neither a crop"),
        ("chain", [{"rotate": 45}], "neither a crop"),
        ("chain", "crop", "neither a crop"),
        ("refusal", "no", "'refusal' is"),
    ],
)
def test_values_of_another_kind_are_named(tmp_path: Path, field: str, value: Any, message: str) -> None:
    with pytest.raises(ExchangeError, match=message):
        read_images(write(tmp_path / "her2", {**IMAGE, field: value}))
