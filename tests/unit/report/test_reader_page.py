"""Page of a reader study: its links lead somewhere, and names are escaped."""

from __future__ import annotations

import re

import numpy as np
import pytest

from qupath_her2.report.reader_page import write_study
from qupath_her2.scoring.agreement.kappa import BootstrapSettings
from qupath_her2.scoring.agreement.reader_study import reader_study
from tests.unit.scoring.agreement.reader_panels import noisy, panel

FAST = BootstrapSettings(draws=50)


def page(folder, readings) -> str:
    written = write_study(folder, reader_study(readings, FAST), version="1", title="T")
    assert written.figures.is_file()
    assert written.matrices.is_file()
    return written.html.read_text(encoding="utf-8")


def test_every_cell_leads_to_its_slides_and_every_slide_to_its_row(tmp_path):
    codes = np.stack([noisy(0, 25, 4, 0.4), noisy(1, 25, 4, 0.4)])
    html = page(tmp_path / "out", panel(codes, machine=3))
    ids = set(re.findall(r' id="([^"]+)"', html))
    targets = re.findall(r'href="#([^"]+)"', html)
    assert len(targets) > 200
    assert set(targets) <= ids
    # A cell of n pairs leads to a list of slides with n pairs together.
    target, n = re.search(r'<a href="#(m1-1-\d-\d)">(\d+)</a>', html).groups()
    listed = re.search(rf'id="{target}">(.*?)</p>', html).group(1)
    times = [int(found) if found else 1 for found in re.findall(r"</a>(?:<i> × (\d+)</i>)?", listed)]
    assert sum(times) == int(n)


def test_slides_link_to_their_images(tmp_path):
    picture = tmp_path / "pictures" / "a b.png"
    readings = panel(noisy(0, 2, 2, 0)[None], links={"s0": str(picture), "s1": "https://x.org/?a=1&b=2"})
    html = page(tmp_path / "out", readings)
    assert '<a href="../pictures/a%20b.png">s0</a>' in html
    assert '<a href="https://x.org/?a=1&amp;b=2">s1</a>' in html


def test_names_are_escaped_and_no_script_can_run(tmp_path):
    readings = panel(noisy(0, 5, 2, 0)[None], readers=("<script>alert(1)</script>", "B"))
    html = page(tmp_path / "out", readings)
    assert "<script" not in html
    assert "default-src 'none'" in html


@pytest.mark.parametrize("readers", [1, 2])
def test_few_readers_and_numbers_have_a_page_too(tmp_path, readers):
    codes = noisy(0, 9, readers, 0.2)[None]
    html = page(tmp_path / "out", panel(codes, scale=None, numbers=codes * 1.5))
    assert "no cut-points were given" in html
    assert ("One reader alone" in html) == (readers == 1)
    assert "Confusion matrices" not in html


def test_missing_kappas_are_dashes(tmp_path):
    # Everybody gave one class: nothing disagrees, and kappa has no value.
    html = page(tmp_path / "out", panel(np.zeros((1, 12, 3), int)))
    assert "<td>–</td>" in html
    assert "nan" not in re.sub(r"<style>.*?</style>", "", html, flags=re.S)
