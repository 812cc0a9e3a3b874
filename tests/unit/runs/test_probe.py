from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qupath_her2.config import Settings
from qupath_her2.provenance import image_fingerprint
from qupath_her2.runs.plan import plan_jobs, select_images
from qupath_her2.runs.probe import probe_image, regions_digest


def test_a_look_says_what_there_is_to_score(project: Path) -> None:
    _, ref = select_images(project)
    look = probe_image(ref, Settings())
    assert (look.width, look.height, look.pixel_size_um, look.kind) == (420, 420, 0.5, "tif, 0.50 µm, HER2")
    assert (look.has_tumour, look.problem, look.fingerprint) == (True, "", image_fingerprint(ref.path))
    # 420 px of 0.5 µm are 0.044 mm², most of it tumour.
    assert 0.02 < look.area_mm2 < 0.0441
    without = replace(ref, regions_path=None)
    assert probe_image(without, Settings()).area_mm2 == 0
    tissue = probe_image(without, Settings(), whole_tissue=True)
    assert (tissue.has_tumour, 0.02 < tissue.area_mm2 < 0.0442) == (False, True)
    # The pixel size that a user gave counts.
    assert probe_image(replace(ref, pixel_size_um=0.25), Settings()).area_mm2 == pytest.approx(
        look.area_mm2 / 4
    )


def test_what_cannot_be_read_is_a_problem_with_its_class(project: Path) -> None:
    (ref, _) = select_images(project)
    look = probe_image(replace(ref, path=project / "gone.tif"), Settings())
    assert (look.failure, look.fingerprint) == ("unreadable", "")
    assert "gone.tif" in look.problem
    # A damaged region file is the job's to report.
    (project / "bad.geojson").write_text("{")
    look = probe_image(replace(ref, regions_path=project / "bad.geojson"), Settings())
    assert (look.problem, look.has_tumour) == ("", False)


def test_stain_groups_are_the_same_with_and_without_looks(project: Path) -> None:
    plain = plan_jobs(project)
    refs = select_images(project)
    looks = {ref.id: probe_image(ref, Settings()) for ref in refs}
    (project / "her2" / "stains.json").unlink()
    with_looks = plan_jobs(project, probe=lambda *_: looks)
    assert [job.stains for job in with_looks.jobs] == [job.stains for job in plain.jobs]


def test_the_digest_covers_all_that_people_drew_and_corrected(project: Path) -> None:
    (ref, other) = select_images(project)
    first = regions_digest(ref)
    assert first != regions_digest(other)
    (project / f"{ref.id}.corrections.geojson").write_text("{}")
    corrected = regions_digest(ref)
    assert corrected != first
    (project / f"{ref.id}.cells.npz").write_bytes(b"1")
    assert regions_digest(ref) not in (first, corrected)
    assert regions_digest(replace(ref, regions_path=None)) == ""
