"""Set-up of an image: every refusal that needs no measurement, and what a whole-tissue region replaces."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

from qupath_her2.models.card import ModelCard, card_bytes
from qupath_her2.project.exchange.runs import read_record
from qupath_her2.records import ImageResult
from qupath_her2.report.build import write_report
from qupath_her2.runs.image_setup import _no_tissue, set_up_image
from qupath_her2.runs.inputs import gather_inputs
from qupath_her2.runs.methods.cells import CellsMethod
from qupath_her2.runs.methods.indicators import IndicatorsMethod
from qupath_her2.runs.methods.patches import PatchesMethod
from qupath_her2.runs.options import RunOptions, ScoreJob
from qupath_her2.runs.plan import plan_jobs
from qupath_her2.runs.proposed_tumour import NOBODY_CONFIRMED
from qupath_her2.runs.score_image import score_image
from qupath_her2.runs.types import ImageSetup, Method
from qupath_her2.runs.whole_tissue import NO_ONE_CHOSE
from qupath_her2.slides.readers.view import open_image
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB
from qupath_her2.slides.tissue import Tissue
from tests.helpers.pulled_project import pull_image

H_AND_E = '{"Stain 1":"Hematoxylin","Values 1":"0.65 0.7 0.29","Stain 2":"Eosin","Values 2":"0.2 0.8 0.5"}'


def score(project: Path) -> ImageResult:
    (job,) = plan_jobs(project).jobs
    return score_image(job)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"refusal": {"code": "z_stack", "reason": "the image is a stack"}}, "z_stack"),
        ({"refusal": {"code": "not_exported", "reason": "it is gone"}, "path": "gone.svs"}, "not_exported"),
        ({"stains": H_AND_E}, "not_ihc"),
    ],
)
def test_an_image_refused_by_qupath_is_a_result(project: Path, changes: dict[str, Any], code: str) -> None:
    her2 = pull_image(project, **changes)
    result = score(project)
    assert result.state == "not assessable"
    assert result.score is not None
    assert result.score.refusal_code == code
    assert result.run_dir is not None
    # Its pixels were not read, so there is nothing to draw.
    assert "overlay.jpg" not in read_record(result.run_dir).files
    assert score(project).state == "up to date"
    report = write_report(her2)
    assert "strong" in report.csv.read_text(encoding="utf-8")


def set_up(job: ScoreJob) -> ImageSetup:
    with open_image(job.ref) as slide:
        return set_up_image(job, slide, gather_inputs(job, slide))


def job_of(project: Path, **options: Any) -> ScoreJob:
    (job,) = plan_jobs(project, RunOptions(images=("strong*",), **options)).jobs
    return job


def test_drawn_regions_are_used_as_they_are(project: Path) -> None:
    setup = set_up(job_of(project))
    assert setup.context.refusal is None
    assert setup.context.regions == setup.inputs.regions
    assert setup.context.warnings == ()


def test_a_pixel_size_that_qupath_does_not_show_is_said(project: Path) -> None:
    pull_image(project, pixel_size_um=None)
    (said,) = set_up(job_of(project)).context.warnings
    assert "that of its file was used: 0.5 µm" in said
    pull_image(project, pixel_size_um=0.5)
    assert set_up(job_of(project)).context.warnings == ()


def test_whole_tissue_comes_first_with_a_warning(project: Path) -> None:
    (project / "strong.geojson").unlink()
    assert set_up(job_of(project)).context.refusal is not None
    setup = set_up(job_of(project, whole_tissue=True))
    assert setup.context.refusal is None
    assert setup.context.warnings == (NO_ONE_CHOSE,)
    assert [region.name for region in setup.context.regions] == ["Whole tissue"]


def test_bare_glass_is_refused(project: Path) -> None:
    for path in project.iterdir():
        path.unlink()
    cv2.imwrite(str(project / "strong.png"), np.full((300, 300, 3), 243, np.uint8))
    refusal = set_up(job_of(project, whole_tissue=True, pixel_size_um=0.5)).context.refusal
    assert refusal is not None
    assert refusal.code == "no_tissue"


def test_glass_colour_is_the_images_own_unless_qupath_or_the_user_set_it(project: Path) -> None:
    job = job_of(project)
    setup = set_up(replace(job, stains=QUPATH_H_DAB))
    assert setup.context.stains.background_rgb == setup.tissue.background_rgb
    fixed = replace(QUPATH_H_DAB, background_rgb=(200.0, 201.0, 202.0), source="user")
    assert set_up(replace(job, stains=fixed)).context.stains == fixed


def write_tumour(project: Path, *rings: list[list[float]]) -> None:
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"objectType": "annotation", "classification": {"name": "Tumor"}},
        }
        for ring in rings
    ]
    (project / "strong.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))


PENTAGRAM = [[200.0, 20], [318, 382], [10, 158], [390, 158], [82, 382], [200, 20]]


def classifier(folder: Path) -> PatchesMethod:
    """A network with a card and no weights: enough where the image is refused before the network runs."""
    half = (0.5, 0.5, 0.5)
    card = ModelCard("timm:test_convnext", ("negative", "positive"), "her2-binary", 0.5, 64, half, half)
    (folder / "net.json").write_bytes(card_bytes(card))
    return PatchesMethod(folder / "net")


@pytest.mark.parametrize(
    "method",
    [lambda _: CellsMethod(), lambda _: IndicatorsMethod(), classifier],
    ids=["cells", "indicators", "network"],
)
def test_a_region_set_aside_is_said_with_the_refusal_that_follows(
    project: Path, tmp_path: Path, method: Callable[[Path], Method]
) -> None:
    write_tumour(project, PENTAGRAM)
    result = score_image(job_of(project, method=method(tmp_path)))
    assert result.score is not None
    assert result.score.refusal_code == "no_tumour_region"
    (warning,) = result.score.warnings
    assert warning.startswith(
        "1 feature of the region file set aside, the first: feature 0 (no id) crosses itself"
    )
    # Where people look: the tables and the report.
    report = write_report(project / "her2")
    for path in (report.csv, report.html):
        assert "feature 0 (no id) crosses itself" in path.read_text(encoding="utf-8")


def test_annotations_without_a_class_are_one_line_with_the_three_ways_out(project: Path) -> None:
    write_tumour(project, *[[[x, 5.0], [x + 4, 5], [x + 4, 9], [x, 9], [x, 5.0]] for x in range(0, 400, 5)])
    path = project / "strong.geojson"
    content = json.loads(path.read_text())
    for feature in content["features"]:
        feature["properties"]["classification"] = None
    content["features"].append({"type": "Feature", "id": "odd", "geometry": None, "properties": {}})
    path.write_text(json.dumps(content))
    context = set_up(job_of(project)).context
    assert context.refusal is not None
    assert context.refusal.reason == (
        "no tumour region: 80 annotations have no class. Set the class of those that hold tumour to Tumor, score "
        "annotations without a class as tumour with unclassified_is_tumour = true under [regions] in her2.toml, pass "
        "--find-tumour to search for it, or pass --whole-tissue"
    )
    assert len(context.warnings) == 2
    # Its own line: among the eighty it would be lost.
    assert context.warnings[0].startswith("80 features of the region file set aside, the first: feature 0")
    assert context.warnings[1].startswith(
        "1 feature of the region file set aside, the first: feature 80 (odd)"
    )


def test_reasons_beyond_a_few_are_counted(project: Path) -> None:
    # Each pentagram crosses itself at a place of its own, which its reason names.
    rings = [[[x + shift, y] for x, y in PENTAGRAM] for shift in range(8)]
    write_tumour(project, *rings)
    warnings = set_up(job_of(project)).context.warnings
    assert len(warnings) == 6
    assert (
        warnings[-1] == "3 more features were set aside for other reasons; `qupath-her2 regions` lists them."
    )


def test_a_repair_is_said_with_the_score(project: Path) -> None:
    bow_tie = [[10.0, 10], [400, 400], [400, 10], [10, 400], [10, 10]]
    write_tumour(project, bow_tie)
    setup = set_up(job_of(project))
    assert setup.context.refusal is None
    assert setup.context.regions[0].geometry.area == pytest.approx(390 * 390 / 2)
    (warning,) = setup.context.warnings
    assert warning.startswith("Repaired: Feature 0 (no id): self-intersecting outline was repaired")
    write_tumour(project, bow_tie, [[20.0, 20], [90, 20], [90, 90], [20, 90]])
    assert set_up(job_of(project)).context.warnings[-1].endswith("And 1 more.")


@pytest.mark.parametrize(("height_um", "is_warned"), [(0.5, False), (0.502, False), (0.25, True)])
def test_pixels_that_are_not_square_are_said(project: Path, height_um: float, is_warned: bool) -> None:
    path = project / "strong.ome.tif"
    size = {
        "PhysicalSizeX": 0.5,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": height_um,
        "PhysicalSizeYUnit": "µm",
    }
    tifffile.imwrite(
        path, tifffile.imread(path), photometric="rgb", metadata={"axes": "YXS", **size}, tile=(128, 128)
    )
    warnings = set_up(job_of(project)).context.warnings
    assert any("Pixels are not square (0.5 x 0.25 µm)" in text for text in warnings) == is_warned
    assert is_warned or warnings == ()


def test_a_missing_pixel_size_is_refused_with_the_objective_as_a_hint(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "case.tif", np.full((200, 200, 3), 200, np.uint8), photometric="rgb",
        description="AppMag = 20", metadata=None,
    )  # fmt: skip
    (job,) = plan_jobs(tmp_path, RunOptions(whole_tissue=True)).jobs
    result = score_image(job)
    assert result.score is not None
    assert result.score.refusal_code == "pixel_size_missing"
    assert (
        "--pixel-size-um 0.25 (its file states a 20x objective, which usually means about 0.5 µm)"
        in result.score.reason
    )


def test_the_refusal_without_tissue_names_pen_marks() -> None:
    glass = np.zeros((4, 4), bool)
    no_ink, ink = (_no_tissue(Tissue(glass, 8.0, (240.0,) * 3, 32, 32, share)) for share in (0.0, 0.31))
    assert (no_ink.code, no_ink.reason) == ("no_tissue", "no tissue was found on the glass")
    assert ink.code == "no_tissue"
    assert "31% of the image has the colour of pen marks" in ink.reason
    assert "class to Tumor" in ink.reason


def test_searched_tissue_has_a_warning_of_its_own(project: Path) -> None:
    drawn = set_up(job_of(project, find_tumour=True)).context
    assert (drawn.tumour_origin, drawn.warnings) == ("drawn", ())
    (project / "strong.geojson").unlink()
    searched = set_up(job_of(project, find_tumour=True)).context
    assert (searched.tumour_origin, searched.warnings) == ("proposed", (NOBODY_CONFIRMED,))
    assert "carcinoma in situ" in NOBODY_CONFIRMED


@pytest.mark.parametrize(
    ("n", "words"),
    [
        (1, "1 annotation of class Tumor? is a proposal that"),
        (3, "3 annotations are proposals (Tumor?) that"),
    ],
)
def test_proposals_that_nobody_accepted_are_no_tumour_regions(project: Path, n: int, words: str) -> None:
    write_tumour(
        project, *[[[x, 5.0], [x + 4, 5], [x + 4, 9], [x, 9], [x, 5.0]] for x in range(0, 10 * n, 10)]
    )
    path = project / "strong.geojson"
    content = json.loads(path.read_text())
    for feature in content["features"]:
        feature["properties"]["classification"] = {"name": "Tumor?"}
    path.write_text(json.dumps(content))
    context = set_up(job_of(project)).context
    assert context.refusal is not None
    assert context.refusal.code == "no_tumour_region"
    assert words in context.refusal.reason
    assert "set their class to Tumor in QuPath" in context.refusal.reason
    # Nothing was set aside: a proposal waits for a person.
    assert context.warnings == ()


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ((None,), "no tumour region: 1 annotation has no class. Set the class"),
        ((None, None), "no tumour region: 2 annotations have no class. Set the class"),
        (
            ("Tumor?", None),
            "is a proposal that nobody has accepted, and 1 annotation has no class. Accept those",
        ),
        (
            ("Region*", "Stroma"),
            "no tumour region (drawn: Region*, Stroma): draw one and set its class to Tumor,",
        ),
    ],
)
def test_what_was_drawn_instead_of_tumour_is_said(
    project: Path, classes: tuple[str | None, ...], words: str
) -> None:
    rings = [[[x, 5.0], [x + 4, 5], [x + 4, 9], [x, 9], [x, 5.0]] for x in range(0, 10 * len(classes), 10)]
    write_tumour(project, *rings)
    path = project / "strong.geojson"
    content = json.loads(path.read_text())
    for feature, name in zip(content["features"], classes, strict=True):
        feature["properties"]["classification"] = None if name is None else {"name": name}
    path.write_text(json.dumps(content))
    refusal = set_up(job_of(project)).context.refusal
    assert refusal is not None
    assert refusal.code == "no_tumour_region"
    assert words in refusal.reason


def test_a_method_without_a_search_does_not_advise_one(project: Path) -> None:
    (project / "strong.geojson").unlink()
    by_cells, other = (
        set_up(job_of(project, method=one)).context for one in (CellsMethod(), IndicatorsMethod())
    )
    assert by_cells.refusal is not None
    assert other.refusal is not None
    assert "pass --find-tumour to search for it, or pass --whole-tissue" in by_cells.refusal.reason
    assert other.refusal.reason.endswith("to Tumor, or pass --whole-tissue")
