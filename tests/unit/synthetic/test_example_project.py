from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from qupath_her2.batch.local import run_jobs
from qupath_her2.errors import OutputError
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.plan import plan_jobs
from qupath_her2.slides.readers.slide import open_slide
from qupath_her2.synthetic.example_project import EXAMPLE, write_example, write_field
from tests.helpers.example_files import EXAMPLES, assert_drawn_again, example_files

ROOT = Path(__file__).parents[3]
COMMITTED = EXAMPLES / "01_score_cells"


@pytest.mark.slow
def test_the_example_in_the_repository_is_the_one_that_is_drawn(tmp_path: Path) -> None:
    files = write_example(tmp_path / "again")
    assert {path.name for path in files} == example_files(COMMITTED)
    for path in files:
        assert_drawn_again(path, COMMITTED / path.name)


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


def test_a_field_of_another_kind(tmp_path: Path) -> None:
    image, regions = write_field(tmp_path, "ducts", score="3+", seed=2, side_px=96, kind="benign ducts")
    with open_slide(image) as slide:
        assert (slide.width, slide.pixel_size_um) == (96, 0.5)
    # There is no tumour in it.
    assert json.loads(regions.read_bytes())["features"] == []
