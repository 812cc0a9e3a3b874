from __future__ import annotations

import shutil
from pathlib import Path

import orjson
import pytest

from qupath_her2.errors import Her2Error, ModelError, OutputError, SettingsError
from qupath_her2.runs.methods.patches import PatchesMethod
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.plan import exchange_folder, find_settings, plan_jobs, select_images
from tests.helpers.pulled_project import pull_image


def test_one_job_per_image_with_its_regions(project: Path) -> None:
    plan = plan_jobs(project)
    assert [job.name for job in plan.jobs] == ["pale.ome.tif", "strong.ome.tif"]
    assert all(job.ref.regions_path is not None for job in plan.jobs)
    assert plan.out == project / "her2"


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (("strong.ome.tif",), ["strong.ome.tif"]),
        (("strong",), ["strong.ome.tif"]),
        (("s*",), ["strong.ome.tif"]),
        (("*.tif",), ["pale.ome.tif", "strong.ome.tif"]),
        (("p*", "strong.ome.tif"), ["pale.ome.tif", "strong.ome.tif"]),
        ((), ["pale.ome.tif", "strong.ome.tif"]),
    ],
)
def test_patterns_choose_images(project: Path, patterns: tuple[str, ...], names: list[str]) -> None:
    assert [ref.name for ref in select_images(project, patterns)] == names


@pytest.mark.parametrize("pattern", ["x*", "nothing.tif"])
def test_a_pattern_without_a_match_lists_the_images(project: Path, pattern: str) -> None:
    with pytest.raises(Her2Error, match=r"pale\.ome\.tif"):
        select_images(project, (pattern,))


def test_cases_and_flags(project: Path) -> None:
    (project / "cases.csv").write_text("image,case,site,specimen\nstrong.ome.tif,K7,gastric,biopsy\n")
    pale, strong = (job.ref.case for job in plan_jobs(project).jobs)
    assert (strong.case, strong.site, strong.specimen) == ("K7", "gastric", "biopsy")
    assert (pale.case, pale.site, pale.specimen) == (None, "breast", "resection")
    flags = RunOptions(site="breast", specimen="resection")
    strong = plan_jobs(project, flags).jobs[1].ref.case
    assert (strong.case, strong.site, strong.specimen) == ("K7", "breast", "resection")


def test_cases_without_an_image_get_a_note(project: Path) -> None:
    (project / "cases.csv").write_text("image,case\nstrong.ome.tif,K7\nstorng2.tif,K8\n")
    (note,) = plan_jobs(project).notes
    assert "storng2.tif" in note
    assert "strong.ome.tif" not in note


def test_her2_toml_of_the_folder_is_used_unless_another_is_named(project: Path, tmp_path: Path) -> None:
    (project / "her2.toml").write_text("[scoring]\nmin_cells = 33\n")
    other = tmp_path / "other.toml"
    other.write_text("[scoring]\nmin_cells = 44\n")
    assert find_settings(project).scoring.min_cells == 33
    assert find_settings(project, other).scoring.min_cells == 44
    assert plan_jobs(project).jobs[0].settings.scoring.min_cells == 33


def test_mistakes_stop_the_run_before_the_first_image(project: Path) -> None:
    with pytest.raises(SettingsError, match="breast-2018"):
        plan_jobs(project, settings=find_settings(project, None, {"scoring": {"guideline": "breast2018"}}))
    with pytest.raises(SettingsError, match="--pixel-size-um 250"):
        plan_jobs(project, RunOptions(pixel_size_um=250))
    with pytest.raises(ModelError, match="has no card"):
        plan_jobs(project, RunOptions(method=PatchesMethod(project / "none")))
    assert not (project / "her2" / "results").exists()


def test_a_folder_that_cannot_be_written_stops_the_run_at_once(project: Path) -> None:
    (project / "taken").write_text("a file")
    with pytest.raises(OutputError, match="--out DIR"):
        plan_jobs(project, RunOptions(out=project / "taken" / "her2"))


def test_a_read_only_folder(project: Path) -> None:
    project.chmod(0o555)
    try:
        try:
            (project / "probe").touch()
        except PermissionError:
            pass
        else:
            (project / "probe").unlink()
            pytest.skip("this user may write into read-only folders (root)")
        with pytest.raises(OutputError, match="read-only"):
            plan_jobs(project)
    finally:
        project.chmod(0o755)


def test_a_project_file_stands_for_its_folder(project: Path) -> None:
    (project / "project.qpproj").write_text("{}")
    assert exchange_folder(project / "project.qpproj") == project / "her2"
    with pytest.raises(Her2Error, match="not been exported yet"):
        plan_jobs(project / "project.qpproj")
    # A folder named as such is a plain folder, also if it holds a project file.
    assert len(plan_jobs(project).jobs) == 2


def test_qupaths_pixel_size_and_stains_win_over_the_files(project: Path) -> None:
    stains = '{"Name":"mine","Stain 1":"Hematoxylin","Values 1":"0.6 0.7 0.3","Stain 2":"DAB",'
    stains += '"Values 2":"0.3 0.5 0.8","Background":"240 240 240"}'
    (project / "her2").mkdir()
    image = {"id": "1_pale", "name": "pale.ome.tif", "pixel_size_um": 0.4, "stains": stains}
    (project / "her2" / "images.json").write_bytes(orjson.dumps({"format": 1, "images": [image]}))
    pale, strong = plan_jobs(project).jobs
    assert (pale.image, pale.ref.pixel_size_um) == ("1_pale", 0.4)
    assert pale.stains is not None
    assert (pale.stains.source, pale.stains.background_rgb) == ("QuPath", (240.0, 240.0, 240.0))
    assert strong.stains is not None
    assert strong.stains.source != "QuPath"


def test_stain_vectors_of_the_settings_apply_to_all_images(project: Path) -> None:
    vectors = {"hematoxylin": [0.6, 0.7, 0.3], "dab": [0.3, 0.5, 0.8]}
    settings = find_settings(project, None, {"stain_vectors": vectors})
    assert [job.stains for job in plan_jobs(project, settings=settings).jobs] == [settings.stain_vectors] * 2
    assert not (project / "her2" / "stains.json").exists()


def test_a_pulled_project_has_its_own_images_and_no_others(project: Path) -> None:
    pull_image(project)
    shutil.copy(project / "strong.ome.tif", project / "other.ome.tif")
    assert [ref.name for ref in select_images(project)] == ["strong"]
    (job,) = plan_jobs(project).jobs
    assert (job.image, job.ref.pixel_size_um) == ("1_strong", 0.5)


def test_pictures_and_planes_are_chosen_for_the_images_of_the_run(project: Path) -> None:
    (project / "her2.toml").write_text('[images]\nnamed = ["pale.ome.tif --plane 0", "gone.tif --plane 4"]\n')
    plan = plan_jobs(project)
    assert [job.ref.chain for job in plan.jobs] == [({"plane": 0},), ()]
    assert any("gone.tif" in note and "pale.ome.tif" not in note for note in plan.notes)
    (strong,) = plan_jobs(project, RunOptions(images=("strong*",), series=0, plane=0)).jobs
    assert strong.ref.chain == ({"series": 0, "plane": 0},)
    pull_image(project)
    with pytest.raises(SettingsError, match="belongs to a QuPath project"):
        plan_jobs(project, RunOptions(plane=0))
