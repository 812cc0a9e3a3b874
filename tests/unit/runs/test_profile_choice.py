"""The profile of an image: by name, by file, by place, or none; its name stands in the score and in the hash."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from qupath_her2.cells.membrane.class_model import ClassModel
from qupath_her2.cells.membrane.grading import GradingSettings
from qupath_her2.cells.profiles import Profile, profile_path, write_profile
from qupath_her2.errors import ImageReadError, SettingsError
from qupath_her2.project.exchange.runs import current_run, read_record, stored_score
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.plan import find_settings, plan_jobs
from qupath_her2.runs.profile_choice import image_place, laboratories
from qupath_her2.runs.rescore import rescore_folder
from qupath_her2.runs.score_image import score_image
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB, StainVectors
from qupath_her2.synthetic.example_project import write_field
from tests.unit.cli.commands import call

CUTS = GradingSettings(faint_od=0.02, moderate_od=0.03, intense_od=0.04)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    write_field(folder, "case01", score="1+", seed=5, side_px=360)
    (folder / "cases.csv").write_text("image,case,laboratory\ncase01,K1,Lab A\n", encoding="utf-8")
    return folder


@pytest.fixture
def study(drawn, tmp_path):
    return shutil.copytree(drawn, tmp_path / "study")


def profile(study, name="lab-a", *, laboratory="Lab A", vectors=None, **more):
    job = plan_jobs(study).jobs[0]
    stains = vectors or job.stains or QUPATH_H_DAB
    place = image_place(job.ref, laboratory, stains)
    made = Profile(name, place, CUTS, **more)
    write_profile(profile_path(study / "her2", name), made)
    return made


def job_of(study, name=None):
    return plan_jobs(study, RunOptions(profile=name)).jobs[0]


def test_no_profile_is_used_unless_it_is_asked_for(study):
    profile(study)
    for name in (None, "none"):
        job = job_of(study, name)
        assert (job.profile, job.settings.cells.grading) == (None, GradingSettings())


@pytest.mark.parametrize("how", ["name", "file", "setting"])
def test_a_profile_by_name_or_file(study, how):
    made = profile(study)
    if how == "setting":
        (study / "her2.toml").write_text('profile = "her2/profiles/lab-a.json"\n')
    name = {"name": "lab-a", "file": str(profile_path(study / "her2", "lab-a")), "setting": None}[how]
    job = job_of(study, name)
    assert job.settings.cells.grading == CUTS
    assert (job.profile.name, job.profile.digest) == ("lab-a", made.digest)
    assert job.profile.sentence == "Cut-points: profile lab-a."


def test_auto_takes_the_profile_of_the_same_place(study):
    assert job_of(study, "auto").profile.tag == "cut-points: built-in"
    far = StainVectors((0.3, 0.6, 0.7), (0.7, 0.5, 0.2))
    profile(study, "other-lab", laboratory="Lab B")
    profile(study, "other-stain", vectors=far)
    job = job_of(study, "auto")
    assert job.profile.sentence.startswith("Cut-points: built-in, since no profile is for tif files, 0.50 µm")
    assert job.settings.cells.grading == GradingSettings()
    profile(study)
    job = job_of(study, "auto")
    assert job.profile.tag == "cut-points: profile lab-a"
    assert "chosen for tif files, 0.50 µm, stain HER2, laboratory Lab A" in job.profile.sentence


def test_unknown_and_damaged_profiles_stop_the_run(study):
    with pytest.raises(SettingsError, match=r"no profile 'lab-b'.*There is none in"):
        job_of(study, "lab-b")
    profile(study)
    with pytest.raises(SettingsError, match=r"no profile 'lab-b'.*There are: lab-a\."):
        job_of(study, "lab-b")
    path = profile_path(study / "her2", "lab-a")
    path.write_bytes(b"{")
    for name in ("lab-a", "auto"):
        with pytest.raises(SettingsError, match="is no JSON"):
            job_of(study, name)


def test_a_method_without_cells_takes_no_profile(study):
    code, _, err = call("run", study, "--method", "indicators", "--profile", "lab-a")
    assert code == 1
    assert "--profile lab-a does not go with the method 'indicators'" in err
    assert "Leave --profile out." in err
    code, _, err = call("run", study, "--method", "indicators")
    assert "--profile" not in err


def test_a_file_that_is_gone_has_no_place(study):
    ref = replace(plan_jobs(study).jobs[0].ref, path=study / "gone.svs")
    with pytest.raises(ImageReadError, match="is gone"):
        image_place(ref, "", QUPATH_H_DAB)
    assert image_place(ref, "", QUPATH_H_DAB, scanner="aperio X").scanner == "aperio X"
    assert laboratories(study / "her2", study)(ref) == "Lab A"


def test_the_name_stands_in_the_score_the_record_and_the_hash(study):
    model = ClassModel((0.0, 0.0, 0.0, 0.0, 0.0), (-3.0, -2.0, -1.0))
    plain = score_image(job_of(study))
    profile(study)
    by_cuts = score_image(job_of(study, "lab-a"))
    profile(study, classifier=model)
    by_model = score_image(job_of(study, "lab-a"))
    found = [plain, by_cuts, by_model]
    assert [one.state for one in found] == ["scored"] * 3
    assert len({one.run_dir.name for one in found}) == 3
    assert (plain.score.score, by_model.score.score) == ("1+", "3+")
    assert by_model.score.shares["Tumor: 3+"] == 1
    for one in found[1:]:
        assert "Cut-points: profile lab-a. Research use only." in one.score.reason
        assert "cut-points: profile lab-a" in one.score.tags
        assert read_record(one.run_dir).settings["used"]["profile"]["name"] == "lab-a"
    assert "profile" not in read_record(plain.run_dir).settings["used"]
    assert "Cut-points" not in plain.score.reason
    assert score_image(job_of(study, "lab-a")).state == "up to date"
    # Another guideline, without pixels: the profile and its model still grade.
    settings = find_settings(study)
    rescore_folder(study, RunOptions(guideline="breast-2013"), settings)
    run = current_run(study / "her2", by_model.image)
    assert stored_score(run).guideline != by_model.score.guideline
    assert stored_score(run).shares["Tumor: 3+"] == 1
    assert "Cut-points: profile lab-a." in stored_score(run).reason
