"""*Score selection* by hand: a rectangle is drawn and scored, by a service that starts; then again, in a moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from qupath_her2.server.discovery import STATE_VARIABLE, find_service
from tests.groovy.fields import make_fields, python_program
from tests.groovy.test_score_selection import end_service
from tests.gui.screen import WINDOW_MARKS
from tests.gui.test_menu_items import choose, opened
from tests.helpers.qupath import QuPath

pytestmark = WINDOW_MARKS


def test_a_drawn_rectangle_is_scored(qupath: QuPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tmp_path / "state"
    monkeypatch.setenv(STATE_VARIABLE, str(state))
    fields = make_fields(qupath, tmp_path / "her2 study", tmp_path / "private", ("3+",), side_px=700)
    try:
        with opened(fields, tmp_path, python_program(tmp_path)) as shown:
            choose(shown, "Score selection")
            shown.box("No annotation is selected. Draw an annotation where you want a score")
            shown.picture(tmp_path / "none.png")
            shown.click("OK")

            before = len(shown.state()["objects"]["regions"])
            shown.ask("qupath.getViewer().getView().requestFocus(); true")
            shown.press("r")
            shown.drag((60, 80), (300, 300), (600, 620))
            shown.wait(lambda s: len(s["objects"]["regions"]) == before + 1, "the rectangle")
            choose(shown, "Score selection")
            shown.box("unsaved changes, such as a region that you drew")
            shown.click("Yes")
            shown.box("Starting the service; next time about a second")
            shown.picture(tmp_path / "starting.png")
            said = shown.box("Research use only.")
            assert said.startswith("3+: "), said
            shown.picture(tmp_path / "scored.png")
            found = shown.wait(lambda s: s["objects"]["cells"] > 100 and not s["objects"]["unsaved"], "cells")
            assert "HER2 score" not in found["metadata"]
            assert [region for region in found["objects"]["regions"] if region.get("HER2: 3+ %", 0) > 10]
            assert any("python of its own" in text.lower() for text in shown.texts()) is False
            shown.click("OK")
            service = find_service(state)
            assert service is not None

            choose(shown, "Score selection")
            shown.box("Research use only.")
            assert shown.state()["objects"]["cells"] == found["objects"]["cells"]
            assert find_service(state) == service
            shown.click("Show deciding cells")
            shown.box("deciding cells selected")
            shown.click("OK")
            shown.picture(tmp_path / "cells.png")

            choose(shown, "Results", "Remove results")
            shown.click("Yes")
            shown.wait(lambda s: s["objects"]["cells"] == 0, "no cells")
            assert len(shown.state()["objects"]["regions"]) == before + 1
    finally:
        end_service(state)
