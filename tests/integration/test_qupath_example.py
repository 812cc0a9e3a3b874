"""``example_projects/02_qupath_project``: every QuPath opens it wherever it lies, and its script still makes it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import qupath_her2 as qh
from qupath_her2.project.exchange.runs import current_run, read_record, stored_score, validate_run
from qupath_her2.project.qupath.qpproj import open_project_file
from tests.helpers.example_files import EXAMPLES, assert_drawn_again, example_files, make_again
from tests.helpers.qupath import QuPath
from tests.integration.conftest import Study

NAME = "02_qupath_project"
COMMITTED = EXAMPLES / NAME
SCORED = "1_slide01"
#: Lets QuPath look for the slides below the folder in which it finds the project, as its window does by itself.
FIND_SLIDES = """
import sys
from paquo.projects import QuPathProject
with QuPathProject(sys.argv[1], mode="r+") as project:
    project.update_image_paths(try_relative=True)
    assert all(project.is_readable().values()), project.is_readable()
"""


def copied(folder: Path) -> Path:
    """A copy without the page, its pictures and the script, as a reader makes one."""
    return shutil.copytree(
        COMMITTED, folder, ignore=shutil.ignore_patterns("make.py", "README.md", "pictures")
    )


def scored_run(folder: Path, image: str = SCORED) -> Path:
    run_dir = current_run(folder / "her2", image)
    assert run_dir is not None
    return run_dir


def assert_same_score(new: Path, old: Path) -> None:
    """Assert that two runs count the same, up to what codecs of different versions round otherwise."""
    one, two = stored_score(new), stored_score(old)
    assert one.score == two.score == "2+"
    assert one.n_cells == pytest.approx(two.n_cells, rel=0.01)
    assert one.h_score == pytest.approx(two.h_score, abs=2)
    for name, share in two.shares.items():
        assert one.shares[name] == pytest.approx(share, abs=0.01)


def objects(image: dict[str, Any], kind: str) -> list[tuple[Any, ...]]:
    """Class and area of an image's objects of a kind; areas in whole px², which all QuPaths agree on."""
    found = [one for one in image["objects"] if one["kind"] == kind]
    return sorted((str(one["pathClass"]), round(one["area"])) for one in found)


def looked(study: Study) -> dict[str, dict[str, Any]]:
    """What QuPath finds in each image, once it has found the slides."""
    subprocess.run(
        [sys.executable, "-c", FIND_SLIDES, str(study.project)],
        env=study.environment(),
        stdout=subprocess.DEVNULL,
        timeout=900,
        check=True,
    )
    return {image["name"]: image for image in study.look()}


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in COMMITTED.rglob("*") if path.is_file()) < 3_200_000


def test_the_project_lists_three_slides_of_which_one_is_scored() -> None:
    project = open_project_file(COMMITTED)
    record = read_record(scored_run(COMMITTED))
    assert [(entry.name, entry.run) for entry in project.entries] == [
        ("slide01", record.run),
        ("slide02", None),
        ("slide03", None),
    ]
    # QuPath's root and three regions each; slide03 is as it came from the scanner.
    assert project.entries[0].n_objects == record.counts["cells"] + 1 + len(record.regions)
    assert project.entries[1].n_objects > 1
    assert project.entries[2].n_objects == 1


def test_the_slides_lie_beside_the_project_and_no_machine_is_named() -> None:
    text = (COMMITTED / "project.qpproj").read_text(encoding="utf-8")
    project, *slides = re.findall(r'"uri": "(file:[^"]*)"', text)
    base = project.removesuffix("project.qpproj")
    assert [slide.removeprefix(base) for slide in slides] == [f"slides/slide0{n}.ome.tif" for n in (1, 2, 3)]
    assert all((COMMITTED / slide.removeprefix(base)).is_file() for slide in slides)
    for name in example_files(COMMITTED):
        content = (COMMITTED / name).read_bytes()
        assert b"/tmp" not in content, name
        assert b'"platform"' not in content, name


def test_our_reader_opens_what_was_exchanged() -> None:
    (image,) = qh.open_project(COMMITTED).images
    assert (image.name, image.case.case, image.ref.path) == (
        "slide01",
        "K-21",
        COMMITTED / "slides" / "slide01.ome.tif",
    )
    run_dir = scored_run(COMMITTED)
    record = validate_run(run_dir)
    assert len(qh.read_cells(run_dir)) == record.counts["cells"]


def test_scored_again_it_has_the_same_score(tmp_path: Path) -> None:
    folder = copied(tmp_path / "study")
    shutil.rmtree(folder / "her2" / "results")
    (result,) = qh.run(folder)
    assert result.name == "slide01"
    assert_same_score(scored_run(folder), scored_run(COMMITTED))


@pytest.mark.qupath
@pytest.mark.slow
def test_every_qupath_opens_a_copy_in_another_folder(qupath: QuPath, tmp_path: Path) -> None:
    study = Study(qupath, copied(tmp_path / "a cöpy" / "elsewhere"), tmp_path / "preferences")
    found = looked(study)
    record = read_record(scored_run(COMMITTED))
    assert {name: (image["width"], image["height"]) for name, image in found.items()} == dict.fromkeys(
        ("slide01", "slide02", "slide03"), (800, 600)
    )
    cells = Counter(name for name, _ in objects(found["slide01"], "PathCellObject"))
    assert cells == {name: record.counts[name] for name in cells}
    assert cells.total() == record.counts["cells"]
    assert found["slide01"]["metadata"]["HER2 score"] == "2+"
    for name, n_regions in (("slide01", len(record.regions)), ("slide02", 4), ("slide03", 0)):
        assert len(objects(found[name], "PathAnnotationObject")) == n_regions, name


@pytest.mark.qupath
@pytest.mark.slow
def test_a_copy_is_scored_where_it_lies(qupath: QuPath, tmp_path: Path) -> None:
    study = Study(qupath, copied(tmp_path / "another"), tmp_path / "preferences")
    done = study.her2("run", str(study.project), "--images", "slide01")
    assert "1 up to date" in done.stdout, done.stdout
    # With the second slide the vectors of their stain group come from both.
    done = study.her2("run", str(study.project))
    assert re.search(r"push +\d+ cells into 3 images", done.stdout), done.stdout
    assert "none of your own objects changed" in done.stdout
    # Nothing is outlined in the third.
    for image, score in ((SCORED, "2+"), ("2_slide02", "3+"), ("3_slide03", None)):
        assert stored_score(scored_run(study.folder, image)).score == score


@pytest.mark.qupath
@pytest.mark.slow
def test_the_script_makes_the_same_project(qupath: QuPath, tmp_path: Path) -> None:
    preferences = Study(qupath, tmp_path, tmp_path / "preferences").environment()
    given = {name: preferences[name] for name in ("PAQUO_QUPATH_DIR", "JAVA_TOOL_OPTIONS")}
    again = make_again(NAME, tmp_path / "again", **given)
    # The run is named after all that it depends on, versions of libraries among them.
    run = re.compile(rf"results/{SCORED}/\w+/")
    # QuPath 0.6 adds an empty file.
    made, committed = (
        {run.sub("", name) for name in example_files(folder)} - {"data/metadata.json"}
        for folder in (again, COMMITTED)
    )
    assert made == committed
    for name in made:
        if name.startswith("slides/"):
            assert_drawn_again(again / name, COMMITTED / name)
    assert_same_score(scored_run(again), scored_run(COMMITTED))
    ours = looked(Study(qupath, again, tmp_path / "preferences"))
    theirs = looked(Study(qupath, copied(tmp_path / "theirs"), tmp_path / "preferences"))
    for name, image in theirs.items():
        assert objects(ours[name], "PathAnnotationObject") == objects(image, "PathAnnotationObject"), name
        assert ours[name]["metadata"].keys() == image["metadata"].keys()
