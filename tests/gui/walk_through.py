"""Makes the stills of the walk-through in QuPath's window: ``python -m tests.gui.walk_through``.

They show drawn fields only. Needs a QuPath and a virtual screen, as the tests of this folder.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tests.groovy.conftest import SCRIPTS
from tests.groovy.fields import ROOT, python_program
from tests.gui import first_hour
from tests.gui.first_hour import FILE, Hour, shown_name
from tests.gui.screen import Screen, missing_programs, screen
from tests.helpers.qupath import qupaths_to_test

TARGET = ROOT / "example_projects" / "walk_through"
#: Stills of the first hour that the page shows, in its order; the report is added.
SHOWN = (
    "install",
    "draw",
    "no_class",
    "score",
    "deciding",
    "correcting",
    "corrected",
    "overlap",
    "dialog",
    "gastric",
    "report",
)
WIDTH_PX = 860
N_COLOURS = 96
#: Shows a page in a window of its own.
OPEN_PAGE = (
    "def view = new javafx.scene.web.WebView(); view.getEngine().load('%s'); "
    "def stage = new javafx.stage.Stage(); stage.setTitle('report.html'); "
    "stage.setScene(new javafx.scene.Scene(view, 1040, 660)); stage.initOwner(qupath.getStage()); stage.show(); true"
)


def main() -> None:
    """Go through the hour with the newest QuPath found, and write the stills."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=TARGET, help="folder of the stills")
    out: Path = parser.parse_args().out
    qupaths = qupaths_to_test()
    if not qupaths or missing_programs():
        parser.error(
            f"this needs a QuPath, and for a virtual screen {', '.join(missing_programs()) or 'nothing'}"
        )
    with tempfile.TemporaryDirectory(prefix="walk_through_") as name:
        folder = Path(name)
        (folder / "user").mkdir()
        (folder / "stills").mkdir()
        options = {"python": python_program(folder), "user": folder / "user"}
        with screen(qupaths[-1], None, None, folder / "window", **options) as shown:
            hour = Hour(shown, folder / "study", folder / "stills")
            go_through(hour)
        write_stills(hour, out, SHOWN)


def go_through(hour: Hour) -> None:
    first_hour.install(hour, SCRIPTS / "install.groovy")
    first_hour.make_project(hour)
    first_hour.open_image(hour, shown_name(FILE))
    first_hour.draw_and_score(hour)
    first_hour.correct(hour)
    first_hour.overlap(hour)
    hour.shown.click("Project")
    first_hour.gastric(hour)
    show_report(hour.shown, hour.study / "her2" / "report.html")
    hour.still("report")


def show_report(shown: Screen, report: Path) -> None:
    """Show a report as a browser does; the window's own has no tabs around it."""
    shown.ask(OPEN_PAGE % report.as_uri())
    shown.wait(lambda s: "report.html" in s["titles"], "the report")
    before = b""
    while before != (now := shown.pixels()):
        before = now
        time.sleep(1)


def write_stills(hour: Hour, out: Path, names: Sequence[str]) -> None:
    """Cut the stills to what is on the screen, and write those named small, numbered in the page's order."""
    out.mkdir(parents=True, exist_ok=True)
    for former in out.glob("*.png"):
        former.unlink()
    for number, name in enumerate(names, start=1):
        (source,) = hour.stills.glob(f"[0-9][0-9]_{name}.png")
        still = Image.open(source).convert("RGB")
        rows, columns = np.nonzero(np.asarray(still).max(axis=2))
        still = still.crop((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
        still.thumbnail((WIDTH_PX, WIDTH_PX), Image.Resampling.LANCZOS)
        target = out / f"{number:02}_{name}.png"
        still.quantize(N_COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)
        print(target.name, target.stat().st_size)


if __name__ == "__main__":
    main()
