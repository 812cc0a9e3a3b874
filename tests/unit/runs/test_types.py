from __future__ import annotations

from qupath_her2.records import Refusal
from qupath_her2.runs.types import ImageContext
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB


def test_the_first_refusal_of_an_image_is_kept() -> None:
    context = ImageContext((), QUPATH_H_DAB)
    first, second = Refusal("pixel_size_missing", "no size"), Refusal("no_tissue", "no tissue")
    assert context.refused(None) is context
    assert context.refused(first).refused(second).refusal == first
    assert context.refusal is None


def test_warnings_are_added_in_order_to_a_new_context() -> None:
    context = ImageContext((), QUPATH_H_DAB, warnings=("a",))
    assert context.warned("b", "c").warnings == ("a", "b", "c")
    assert context.warned() is context
    assert context.warnings == ("a",)
