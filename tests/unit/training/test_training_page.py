from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from qupath_her2.training.types import TrainedNetwork

pytestmark = pytest.mark.slow


def test_the_page_shows_curves_matrices_and_mistakes_in_one_file(
    count_study: Path, count_network: TrainedNetwork
) -> None:
    folder = count_study / "her2" / "models" / "net"
    assert count_network.test is not None
    mistakes = (folder / "test" / "mistakes.jpg").is_file()
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Training of patch-count</h1>" in page
    assert page.count("data:image/svg+xml;base64,") == 3
    assert page.count("data:image/jpeg;base64,") == mistakes
    share = count_network.test.patches.accuracy
    assert f"{share.k}/{share.n}" in page
    assert "://" not in page
    for kind, figures in count_network.heads.items():
        assert f"{figures.accuracy.k} of {figures.accuracy.n}" in page, kind
