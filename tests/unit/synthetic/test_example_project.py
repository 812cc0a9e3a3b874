from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from qupath_her2.batch.local import run_jobs
from qupath_her2.errors import OutputError
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.plan import plan_jobs
from qupath_her2.slides.readers.slide import open_slide
from qupath_her2.synthetic.example_project import EXAMPLE, write_example, write_field

ROOT = Path(__file__).parents[3]
COMMITTED = ROOT / "example_projects" / "01_score_cells"


@pytest.mark.slow
def test_the_example_in_the_repository_is_the_one_that_is_drawn(tmp_path: Path) -> None:
    files = write_example(tmp_path / "again")
    assert {path.name for path in files} == {p.name for p in COMMITTED.iterdir() if p.is_file()} - {"make.py"}
    for path in files:
        other = COMMITTED / path.name
        if path.suffix != ".tif":
            # Line ends are git's business.
            assert path.read_bytes().split() == other.read_bytes().split()
            continue
        with open_slide(path) as new, open_slide(other) as old:
            assert new.pixel_size_um == old.pixel_size_um == 0.5
            one = new.read(0, 0, new.width, new.height).astype(int)
            two = old.read(0, 0, old.width, old.height).astype(int)
        # Codecs of different versions round differently, the drawing must not.
        assert np.abs(one - two).mean() < 1.0


def test_the_example_is_small() -> None:
    assert sum(path.stat().st_size for path in COMMITTED.iterdir() if path.is_file()) < 1_500_000


def test_the_example_scores_as_it_was_drawn(tmp_path: Path) -> None:
    results = run_jobs(plan_jobs(COMMITTED, RunOptions(out=tmp_path / "out")).jobs)
    found = {r.name.split(".")[0]: (r.score.score if r.score else None) for r in results}
    assert found == {image.name: image.score for image in EXAMPLE}
    # The README prints this table; other processors may round a cell differently.
    printed = re.findall(
        r"^(case\d+)\.ome\.tif +(\S+) +([\d. ]+)$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE
    )
    assert {name: score for name, score, _ in printed} == found
    for result, (_, _, numbers) in zip(results, printed, strict=True):
        *shares, _, cells = map(float, numbers.split())
        assert result.score is not None
        assert cells == pytest.approx(result.n_cells, abs=2)
        assert shares == pytest.approx([100 * share for share in result.score.shares.values()], abs=0.5)


def test_an_unwritable_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OutputError):
        write_example(tmp_path / "taken")


def test_a_field_may_state_a_wrong_pixel_size(tmp_path: Path) -> None:
    image, _ = write_field(tmp_path, "wrong", score="3+", seed=1, side_px=64, declared_um_px=0.25)
    with open_slide(image) as slide:
        assert slide.pixel_size_um == pytest.approx(0.25)
        assert slide.width == 64
