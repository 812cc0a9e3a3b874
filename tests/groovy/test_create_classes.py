from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from qupath_her2.project.class_names import CLASS_COLOURS, ClassNames, class_role, grade_of
from tests.groovy.conftest import SCRIPTS, Bench
from tests.helpers.qupath import QuPath

pytestmark = [pytest.mark.qupath, pytest.mark.slow]

Colour = tuple[int, int, int]

#: The project's classes before: one of the user's, a Tumor in the user's colour, and a derived class.
BEFORE: dict[str, Colour] = {"Zebra": (1, 2, 3), "Tumor": (10, 20, 30), "Stroma: Fat": (4, 5, 6)}
OURS = {
    "Tumor": "tumour",
    "Tumor?": "other",
    "Tumor: Negative": "tumour",
    "Tumor: 1+": "tumour",
    "Tumor: 2+": "tumour",
    "Tumor: 3+": "tumour",
    "Stroma": "stroma",
    "Ignore*": "ignore",
    "In situ": "in_situ",
    "Control": "control",
}


def listed(classes_file: Path) -> list[tuple[str, Colour]]:
    """A project's classes in order, as names and colours."""
    entries = json.loads(classes_file.read_text(encoding="utf-8"))["pathClasses"]
    return [
        (e["name"], ((e["color"] >> 16) & 255, (e["color"] >> 8) & 255, e["color"] & 255)) for e in entries
    ]


def list_classes(classes_file: Path, classes: dict[str, Colour]) -> None:
    """Write the classes as QuPath does: colours are opaque, as Java's signed 32-bit integers."""
    entries = [{"name": n, "color": (r << 16 | g << 8 | b) - (1 << 24)} for n, (r, g, b) in classes.items()]
    classes_file.parent.mkdir(exist_ok=True)
    classes_file.write_text(json.dumps({"pathClasses": entries}), encoding="utf-8")


def closing_lines(output: str) -> list[str]:
    return re.findall(r"^HER2_.*$", output, re.MULTILINE)


def written(project: Path) -> dict[str, bytes]:
    """The content of a project's settings files."""
    files = [*project.parent.glob("project.qpproj*"), *(project.parent / "classifiers").rglob("*.json")]
    return {str(f): f.read_bytes() for f in files}


def test_missing_classes_are_added_once_and_others_kept(bench: Bench) -> None:
    list_classes(bench.classes_file, BEFORE)
    assert listed(bench.classes_file) == list(BEFORE.items())
    new = [name for name in OURS if name not in BEFORE]

    first = bench.run("create_classes.groovy")
    assert first.returncode == 0, first.stdout + first.stderr
    assert closing_lines(first.stdout) == [f"HER2_CREATE_CLASSES_OK added={len(new)} kept={len(BEFORE)}"]
    after = listed(bench.classes_file)
    assert after[: len(BEFORE)] == list(BEFORE.items())
    assert [name for name, _ in after[len(BEFORE) :]] == new
    # QuPath makes up a colour for the Stroma of "Stroma: Fat"; the added class must have its own instead.
    assert all(CLASS_COLOURS.get(name, colour) == colour for name, colour in after[len(BEFORE) :])
    saved = written(bench.project)

    second = bench.run("create_classes.groovy")
    assert second.returncode == 0, second.stdout + second.stderr
    assert closing_lines(second.stdout) == [f"HER2_CREATE_CLASSES_OK added=0 kept={len(BEFORE) + len(new)}"]
    assert written(bench.project) == saved


def test_project_without_classes_gets_those_the_readers_know(bench: Bench) -> None:
    assert not bench.classes_file.exists()
    done = bench.run("create_classes.groovy")
    assert closing_lines(done.stdout) == [f"HER2_CREATE_CLASSES_OK added={len(OURS)} kept=0"], done.stdout

    after = dict(listed(bench.classes_file))
    assert {name: class_role(name, ClassNames()) for name in after} == OURS
    assert [grade_of(name) for name in after if grade_of(name)] == ["Negative", "1+", "2+", "3+"]
    assert {name: colour for name, colour in after.items() if name in CLASS_COLOURS} == {
        name: CLASS_COLOURS[name] for name in OURS if name in CLASS_COLOURS
    }
    assert len(set(after.values())) == len(after)


def test_without_a_project_the_message_says_what_to_do(qupath: QuPath, tmp_path: Path) -> None:
    done = qupath.run(SCRIPTS / "create_classes.groovy", private=tmp_path)
    assert done.returncode != 0
    assert "No project is open" in done.stdout + done.stderr
    assert "-p project.qpproj" in done.stdout + done.stderr
    assert not closing_lines(done.stdout)


def test_unwritable_class_list_is_an_error(bench: Bench) -> None:
    """No user can write to a folder in place of the file; QuPath itself only logs the failure."""
    bench.classes_file.mkdir(parents=True)
    done = bench.run("create_classes.groovy")
    assert done.returncode == 1
    assert "could not be saved" in done.stdout
    assert not closing_lines(done.stdout)
