"""The pages of the examples: what they say is done in QuPath's window, and their pictures are those taken there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.gui.example_pictures import PAGES, go_through
from tests.gui.screen import WINDOW_MARKS
from tests.helpers.example_files import EXAMPLES
from tests.helpers.qupath import QuPath


@pytest.mark.parametrize("example", PAGES)
def test_a_page_shows_every_picture(example: str) -> None:
    page = (EXAMPLES / example / "README.md").read_text(encoding="utf-8")
    taken = [f"pictures/{number:02}_{name}.png" for number, name in enumerate(PAGES[example][1], start=1)]
    assert re.findall(r"!\[[^\]]+\]\(([^)]*)\)", page) == taken
    assert sorted(path.name for path in (EXAMPLES / example / "pictures").iterdir()) == [
        name.removeprefix("pictures/") for name in taken
    ]


@pytest.mark.parametrize("example", [pytest.param(example, marks=WINDOW_MARKS) for example in PAGES])
def test_a_page_can_be_followed(example: str, qupath: QuPath, tmp_path: Path) -> None:
    if example == "03_train_and_predict":
        pytest.importorskip("torch", reason="NOT TESTED: networks need torch")
    assert set(PAGES[example][1]) <= set(go_through(example, qupath, tmp_path).names)
