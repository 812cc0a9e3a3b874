from __future__ import annotations

from pathlib import Path

import numpy as np

from qupath_her2.slides.readers.slide import open_slide
from qupath_her2.slides.stains.density_sample import sample_tissue
from qupath_her2.slides.tissue import find_tissue
from qupath_her2.synthetic.example_project import write_field


def test_the_sample_is_reproducible_and_of_tissue(tmp_path: Path) -> None:
    image, _ = write_field(tmp_path, "strong", score="3+", seed=8, side_px=300)
    with open_slide(image) as slide:
        tissue = find_tissue(slide)
        one, two = sample_tissue(slide, tissue, 0.5), sample_tissue(slide, tissue, 0.5)
    assert np.array_equal(one, two)
    assert 0 < len(one) <= 80_000
    assert (one.sum(axis=1) > 0.15).all()
