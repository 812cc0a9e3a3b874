"""Expected work of jobs: by the drawn tumour where the export tells its size, else the mean."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qupath_her2.batch.expected import SECONDS_PER_MM2, SECONDS_PER_SLIDE, expected_work
from qupath_her2.records import SlideRef
from qupath_her2.runs.options import ScoreJob


def job(folder: Path, image: str, sides_px: tuple[int, ...], *, class_name: str = "Tumor") -> ScoreJob:
    """A job of an image of 4,000 px at 0.5 µm/px, with a square for each side."""
    features = []
    for number, side in enumerate(sides_px):
        x = 2000 * number
        ring = [[x, 0], [x + side, 0], [x + side, side], [x, side], [x, 0]]
        features.append(
            {
                "type": "Feature",
                "id": f"0b2f5c1e-9f0a-4c9e-8a57-33d2f1c0a00{number}",
                "geometry": {"type": "Polygon", "coordinates": [ring]},
                "properties": {"objectType": "annotation", "classification": {"name": class_name}},
            }
        )
    path = folder / f"{image}.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    ref = SlideRef(image, image, folder / f"{image}.svs", path, pixel_size_um=0.5, width=4000, height=4000)
    return ScoreJob(ref, folder)


def seconds(mm2: float) -> float:
    return SECONDS_PER_SLIDE + SECONDS_PER_MM2 * mm2


def test_work_goes_by_the_area_of_the_drawn_tumour(tmp_path: Path) -> None:
    found = expected_work([job(tmp_path, "a", (2000,)), job(tmp_path, "b", (1000, 1000))])
    assert found == pytest.approx({"a": seconds(1.0), "b": seconds(0.5)})


def test_images_of_unknown_area_count_as_the_mean(tmp_path: Path) -> None:
    unknown = ScoreJob(SlideRef("c", "c", tmp_path / "c.svs"), tmp_path)
    stroma = job(tmp_path, "d", (1000,), class_name="Stroma")
    broken = job(tmp_path, "e", (1000,))
    (tmp_path / "e.geojson").write_text("{")
    jobs = [job(tmp_path, "a", (2000,)), job(tmp_path, "b", (1000,)), unknown, stroma, broken]
    found = expected_work(jobs)
    mean = seconds((1.0 + 0.25) / 2)
    assert [found[image] for image in "cde"] == pytest.approx([mean] * 3)


def test_no_file_is_read_for_a_single_image(tmp_path: Path) -> None:
    one = job(tmp_path, "a", (2000,))
    (tmp_path / "a.geojson").unlink()
    assert list(expected_work([one])) == ["a"]
