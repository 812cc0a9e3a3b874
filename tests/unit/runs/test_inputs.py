"""Inputs of an image and their hash: it changes with whatever may change the result, and with nothing else."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import shapely

from qupath_her2.errors import RegionFileError, SettingsError
from qupath_her2.project.exchange.score_files import regions_geojson
from qupath_her2.project.geojson.regions import RegionFile
from qupath_her2.provenance import object_uuids
from qupath_her2.records import CaseInfo, Refusal, Region
from qupath_her2.regions import map_regions
from qupath_her2.runs.inputs import core_regions, gather_inputs, scoring_hash, unopened_inputs
from qupath_her2.runs.methods.proposals import ProposalsMethod
from qupath_her2.runs.options import RunOptions, ScoreJob
from qupath_her2.runs.plan import plan_jobs
from qupath_her2.runs.types import Inputs
from qupath_her2.scoring.score_cells import ScoringSettings
from qupath_her2.slides.readers.view import open_image
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB


def job_of(project: Path, **options: Any) -> ScoreJob:
    (job,) = plan_jobs(project, RunOptions(images=("strong*",), **options)).jobs
    return job


def gather(job: ScoreJob) -> Inputs:
    with open_image(job.ref) as slide:
        return gather_inputs(job, slide)


def test_pixel_size_is_the_flags_then_qupaths_then_the_files(project: Path) -> None:
    job = job_of(project)
    in_qupath = replace(job, ref=replace(job.ref, pixel_size_um=0.45))
    flagged = replace(in_qupath, options=replace(job.options, pixel_size_um=0.4))
    found = [gather(one) for one in (job, in_qupath, flagged)]
    assert [(one.pixel_size_um, one.pixel_size_source) for one in found] == [
        (0.5, "file"),
        (0.45, "QuPath"),
        (0.4, "flag"),
    ]
    assert len({one.hash for one in found}) == 3


@pytest.mark.parametrize("size", [0.001, 250.0])
def test_a_pixel_size_in_another_unit_is_refused(project: Path, size: float) -> None:
    job = job_of(project)
    with pytest.raises(
        SettingsError, match=r"\(QuPath\) of image 'strong\.ome\.tif' is outside 0\.01 to 100"
    ):
        gather(replace(job, ref=replace(job.ref, pixel_size_um=size)))


def test_the_hash_follows_region_settings_and_stains(project: Path) -> None:
    job = job_of(project)
    first = gather(job)
    assert gather(job) == first
    other = replace(QUPATH_H_DAB, dab=(0.3, 0.5, 0.8))
    tissue = replace(job.settings.tissue, min_piece_um2=20_000.0)
    changed = [
        replace(job, stains=other),
        replace(job, settings=replace(job.settings, tissue=tissue)),
    ]
    hashes = {gather(one).measurement_hash for one in changed}
    assert len(hashes | {first.measurement_hash}) == 3
    path = project / "strong.geojson"
    content = json.loads(path.read_text())
    content["features"][0]["geometry"]["coordinates"][0][1][0] -= 1
    path.write_text(json.dumps(content))
    assert gather(job).measurement_hash not in hashes | {first.measurement_hash}


def test_the_hash_ignores_options_that_change_no_result(project: Path) -> None:
    job = job_of(project)
    first = gather(job)
    options = replace(job.options, geojson=True, force=True, command=("x",), debug=True)
    assert gather(replace(job, options=options)).hash == first.hash
    # A copied file has another time stamp and the same content.
    os.utime(job.ref.path, (1, 1))
    assert gather(job).hash == first.hash


def test_a_guideline_changes_the_hash_but_not_that_of_the_measurement(project: Path) -> None:
    job = job_of(project)
    scoring = replace(job.settings.scoring, guideline="csco-2021")
    first, other = gather(job), gather(replace(job, settings=replace(job.settings, scoring=scoring)))
    assert first.measurement_hash == other.measurement_hash
    assert first.hash != other.hash == scoring_hash(first.measurement_hash, scoring, job.ref.case)


def test_the_scoring_hash_depends_on_measurement_limits_and_case() -> None:
    found = {
        scoring_hash(measured, scoring, case)
        for measured in ("a" * 64, "b" * 64)
        for scoring in (ScoringSettings(), ScoringSettings(min_cells=7))
        for case in (CaseInfo(), CaseInfo(site="gastric"))
    }
    assert len(found) == 8
    assert all(len(value) == 64 for value in found)


def test_an_image_that_was_not_exported_is_hashed_by_its_reason_alone(project: Path) -> None:
    job = job_of(project)
    stack = replace(job, ref=replace(job.ref, refusal=Refusal("z_stack", "a stack"), path=Path("gone.svs")))
    other = replace(job, ref=replace(stack.ref, refusal=Refusal("not_exported", "it is gone")))
    found = unopened_inputs(stack)
    assert (found.regions, found.fingerprint, found.region_hash) == ((), "", None)
    assert found.hash == unopened_inputs(stack).hash != unopened_inputs(other).hash


def test_a_region_file_that_disappeared_is_named(project: Path) -> None:
    job = job_of(project)
    (project / "strong.geojson").unlink()
    with pytest.raises(RegionFileError, match=r"strong\.geojson.*does not exist any more"):
        gather(job)


def region(number: int, shape: shapely.Geometry, role: str) -> Region:
    return Region(UUID(int=number), shape, role)  # type: ignore[arg-type]


def test_cores_are_cut_with_the_tumour_annotations() -> None:
    core = region(1, shapely.box(0, 0, 10, 10), "other")
    far = region(2, shapely.box(50, 50, 60, 60), "other")
    tumour = region(3, shapely.box(5, 0, 30, 10), "tumour")
    ignored = region(4, shapely.box(0, 0, 2, 2), "ignore")
    found = core_regions(RegionFile(regions=(tumour, ignored), cores=(core, far)))
    # The far core holds no tumour, and the tumour itself is not scored beside its core.
    assert [(one.uuid.int, one.role, one.geometry.area) for one in found] == [
        (1, "tumour", 50.0),
        (4, "ignore", 4.0),
    ]
    whole = core_regions(RegionFile(regions=(ignored,), cores=(core, far)))
    assert [one.geometry.area for one in whole] == [100.0, 100.0, 4.0]
    assert core_regions(RegionFile(regions=(tumour,))) == ()


def test_what_is_only_listed_belongs_to_the_hash(project: Path) -> None:
    path = project / "strong.geojson"
    clean = json.loads(path.read_text())
    first = gather(job_of(project))
    hashes = [first.measurement_hash]
    square = {"type": "Polygon", "coordinates": [[[5, 5], [60, 5], [60, 60], [5, 60], [5, 5]]]}
    core = {"objectType": "tma_core", "name": "A-1", "isMissing": True}
    for geometry, properties in ((None, {}), (square, {}), (square, core), (square, {**core, "name": "A-2"})):
        more = {"type": "Feature", "id": "extra", "geometry": geometry, "properties": properties}
        path.write_text(json.dumps({**clean, "features": [*clean["features"], more]}))
        hashes.append(gather(job_of(project)).measurement_hash)
    assert len(set(hashes)) == 5
    # The place of a feature in its file changes nothing.
    path.write_text(json.dumps({**clean, "features": [more, *clean["features"]]}))
    assert gather(job_of(project)).measurement_hash == hashes[-1]
    path.write_text(json.dumps(clean))
    assert gather(job_of(project)).hash == first.hash


def test_tumour_in_stroma_in_tumour_of_a_core_is_tumour_again() -> None:
    """As on a slide without cores: the innermost region wins. What is ignored stays so, whatever lies in it."""
    core = region(1, shapely.box(0, 0, 100, 100), "other")
    outer = region(2, shapely.box(0, 0, 90, 90), "tumour")
    stroma = region(3, shapely.box(20, 20, 70, 70), "stroma")
    inner = region(4, shapely.box(30, 30, 50, 50), "tumour")
    ignored = region(5, shapely.box(80, 0, 90, 90), "ignore")
    inner_ignored = region(6, shapely.box(82, 10, 88, 20), "tumour")
    found = core_regions(RegionFile(regions=(outer, stroma, inner, ignored, inner_ignored), cores=(core,)))
    scored = map_regions(found)
    assert [one.uuid for one in scored.scored] == [core.uuid]
    points = {(10, 10): 0, (25, 25): -1, (40, 40): 0, (60, 60): -1, (85, 15): -1, (85, 50): -1, (95, 95): -1}
    assert scored.assign(np.array([*points], float)).tolist() == [*points.values()]
    assert scored.scored[0].geometry.area == 90 * 90 - 50 * 50 + 20 * 20 - 10 * 90


def test_cores_without_tumour_are_known_as_empty(project: Path) -> None:
    job = job_of(project)
    drawn = json.loads((project / "strong.geojson").read_text())["features"]
    cores = [
        {
            "type": "Feature",
            "geometry": shapely.geometry.mapping(shape),
            "properties": {"objectType": "tma_core", "name": name},
        }
        for name, shape in (("full", shapely.box(0, 0, 400, 400)), ("bare", shapely.box(0, 0, 1, 1)))
    ]
    far = [{**one, "geometry": shapely.geometry.mapping(shapely.box(2, 2, 420, 420))} for one in drawn]
    (project / "strong.geojson").write_text(json.dumps(far + cores))
    found = gather(job)
    assert found.by_core
    assert [core.name for core in found.empty_cores] == ["bare"]
    (project / "strong.geojson").write_text(json.dumps(cores))
    assert gather(job).empty_cores == ()


def test_a_drawn_region_wins_over_whole_tissue(project: Path) -> None:
    assert not gather(job_of(project, whole_tissue=True)).whole_tissue
    stroma = region(5, shapely.box(0, 0, 50, 50), "stroma")
    (project / "strong.geojson").write_bytes(regions_geojson([replace(stroma, class_name="Stroma")], {}))
    assert gather(job_of(project, whole_tissue=True)).whole_tissue


def test_a_search_is_an_input_only_where_it_is_asked_for(project: Path) -> None:
    """And, where regions were drawn, because the result says that nothing was searched for."""
    drawn, asked = gather(job_of(project)), gather(job_of(project, find_tumour=True))
    assert not asked.find_tumour
    assert not asked.whole_tissue
    assert drawn.measurement_hash != asked.measurement_hash
    (project / "strong.geojson").unlink()
    whole, searched = (gather(job_of(project, **{flag: True})) for flag in ("whole_tissue", "find_tumour"))
    assert searched.find_tumour
    assert searched.whole_tissue
    assert not whole.find_tumour
    assert whole.measurement_hash != searched.measurement_hash
    job = job_of(project, find_tumour=True)
    looser = replace(
        job.settings.find_tumour, proposals=replace(job.settings.find_tumour.proposals, min_cells=9)
    )
    other = gather(replace(job, settings=replace(job.settings, find_tumour=looser)))
    assert other.measurement_hash != searched.measurement_hash


def test_proposals_do_not_make_their_own_result_out_of_date(project: Path) -> None:
    """A push adds them to the project, and the next pull to the region file."""
    (project / "strong.geojson").unlink()
    searched, refused = gather(job_of(project, find_tumour=True)), gather(job_of(project))
    own = UUID(bytes=object_uuids("ab" * 32, 1)[0].tobytes())
    proposed = Region(own, shapely.box(0, 0, 90, 90), "other", "Tumor?")
    (project / "strong.geojson").write_bytes(regions_geojson([proposed], {}))
    assert gather(job_of(project, find_tumour=True)).hash == searched.hash
    # A refusal names the proposals that wait for a person.
    assert gather(job_of(project)).hash != refused.hash
    accepted = replace(proposed, class_name="Tumor")
    (project / "strong.geojson").write_bytes(regions_geojson([accepted], {}))
    found = gather(job_of(project))
    assert [region.uuid for region in found.regions] == [own]
    assert found.hash != refused.hash


def test_proposing_searches_around_what_is_drawn(project: Path) -> None:
    found = gather(job_of(project, method=ProposalsMethod()))
    assert found.find_tumour
    assert found.whole_tissue
    assert {region.role for region in found.regions} == {"ignore"}


@pytest.mark.parametrize(
    ("selected", "class_name", "scored_px2"),
    [
        # Of a rectangle across a drawn tumour, the tumour in it, without the stroma in that.
        ((0, 0, 300, 200), None, 100 * 200 - 20 * 20),
        ((0, 0, 300, 200), "In situ", 100 * 200 - 20 * 20),
        # One beside it, or in the middle of stroma, is what the person who asks says it is.
        ((0, 0, 200, 200), None, 200 * 200),
        ((5, 5, 15, 15), None, 100),
        ((0, 0, 300, 200), "Tumor", 300 * 200),
    ],
)
def test_a_region_that_is_asked_for_is_scored_alone(
    project: Path, selected: tuple[int, int, int, int], class_name: str | None, scored_px2: float
) -> None:
    wanted = UUID("5ad4b1f0-6c0b-4d0e-9a61-3f6f0f5c1a2b")
    features = [
        {
            "type": "Feature",
            **({"id": str(wanted)} if name == class_name and box == selected else {}),
            "geometry": shapely.geometry.mapping(shapely.box(*box)),
            "properties": {
                "objectType": "annotation",
                **({} if name is None else {"classification": {"name": name}}),
            },
        }
        for name, box in (
            ("Tumor", (200, 0, 400, 400)),
            ("Stroma", (220, 20, 240, 40)),
            (class_name, selected),
        )
    ]
    (project / "strong.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    job = job_of(project, region=wanted)
    assert job.out == project / "her2" / "fields" / str(wanted)
    found = gather(job)
    tumour = [region for region in found.regions if region.role == "tumour"]
    assert [(region.uuid, region.geometry.area) for region in tumour] == [(wanted, scored_px2)]
    assert found.region_file.quarantined == ()
    assert found.hash != gather(job_of(project)).hash
    with pytest.raises(RegionFileError, match="is not in it"):
        gather(job_of(project, region=UUID(int=7)))
