"""A pathologist's first hour in QuPath's windows, from installing to reopening."""

from __future__ import annotations

from pathlib import Path

from tests.groovy.conftest import SCRIPTS
from tests.groovy.fields import python_program
from tests.gui import first_hour
from tests.gui.first_hour import FILE, Hour, shown_name
from tests.gui.screen import WINDOW_MARKS, screen
from tests.helpers.qupath import QuPath

pytestmark = WINDOW_MARKS


def test_first_hour(qupath: QuPath, tmp_path: Path) -> None:
    (tmp_path / "user").mkdir()
    (tmp_path / "stills").mkdir()
    options = {"python": python_program(tmp_path), "user": tmp_path / "user"}
    with screen(qupath, None, None, tmp_path / "window", **options) as shown:
        hour = Hour(shown, tmp_path / "study", tmp_path / "stills")
        first_hour.install(hour, SCRIPTS / "install.groovy")
        first_hour.make_project(hour)
        first_hour.open_image(hour, shown_name(FILE))
        first_hour.draw_and_score(hour)
        first_hour.correct(hour)
        first_hour.overlap(hour)
        first_hour.remove(hour)
        first_hour.classify(hour)
        first_hour.gastric(hour)
    startup = tmp_path / "user" / "her2" / "startup.groovy"
    project = hour.study / "project.qpproj"
    with screen(qupath, project, shown_name(FILE), tmp_path / "again", first=startup, **options) as shown:
        hour.shown = shown
        first_hour.reopened(hour)
