"""The README's picture of the page, taken anew: ``python -m tests.browser.picture example_projects/service_page.jpg``.

It shows a drawn slide, scored by a service that is started for it; nothing in it comes from a patient.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from qupath_her2.synthetic.example_project import write_field
from tests.helpers.served_page import WAIT_S, open_browser, start_service

if TYPE_CHECKING:
    from playwright.sync_api import Page

#: The window is 1,440 px wide; a README shows about 1,000.
_SCALE = 0.7
_QUALITY = 76


def take(picture: Path) -> None:
    """Score a drawn 3+ slide on the page, look closer, choose a cell, and save what the window shows."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        slide, regions = write_field(place, "drawn slide", score="3+", seed=8, side_px=1000, out_of_focus=0.0)
        (place / "state").mkdir()
        with start_service(place / "state") as served, open_browser() as browser:
            page = browser.new_page(viewport={"width": 1440, "height": 1000})
            page.set_default_timeout(1000 * WAIT_S)
            page.goto(served.page)
            page.set_input_files("#slide", str(slide))
            page.set_input_files("#regions", str(regions))
            page.click("#start")
            page.wait_for_selector("#layers input")
            page.wait_for_load_state("networkidle")
            page.click("#zoom-in")
            page.wait_for_timeout(1500)
            page.mouse.click(*_strong_cell(page))
            page.wait_for_selector("#cell-class")
            page.mouse.move(0, 0)
            page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")
            # The overview in the corner fades out.
            page.wait_for_timeout(4000)
            taken = cv2.imdecode(np.frombuffer(page.screenshot(full_page=True), np.uint8), cv2.IMREAD_COLOR)
    small = cv2.resize(taken, None, fx=_SCALE, fy=_SCALE, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(picture), small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])


def _strong_cell(page: Page) -> tuple[float, float]:
    """Where on the screen a cell in the colour of 3+ lies, near the middle of the slide."""
    page.locator("#viewer").scroll_into_view_if_needed()
    box = page.locator("#viewer").bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for radius in range(20, 300, 20):
        for angle in np.arange(0, 2 * np.pi, 0.5):
            place = (middle[0] + radius * np.cos(angle), middle[1] + radius * np.sin(angle))
            page.mouse.click(*place)
            page.wait_for_timeout(150)
            shown = page.locator("#cell-class")
            if shown.count() and shown.inner_text() == "Tumor: 3+":
                return place
    raise AssertionError("no 3+ cell near the middle of a 3+ slide")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.browser.picture", description=__doc__)
    parser.add_argument("picture", type=Path, help="JPEG file to write")
    take(parser.parse_args().picture)
