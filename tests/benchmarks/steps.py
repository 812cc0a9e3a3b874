"""CPU time of each step of scoring by cells, without the steps that run inside it."""

from __future__ import annotations

import functools
import importlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

#: (name in the table, module, name of the function in that module); one that no longer exists is listed, not an error.
_STEPS = (
    ("open and decode", "tests.benchmarks.bench_cells", "open_slide"),
    ("read, scale", "qupath_her2.cells.tile", "read_scaled"),
    ("read, scale", "qupath_her2.cells.samples", "read_scaled"),
    ("planes", "qupath_her2.cells.tile", "make_planes"),
    ("planes", "qupath_her2.cells.samples", "make_planes"),
    ("samples", "qupath_her2.cells.measure", "read_samples"),
    ("seeds", "qupath_her2.cells.nuclei.detection", "find_seeds"),
    ("contours", "qupath_her2.cells.nuclei.detection", "outline_seeds"),
    ("suppression", "qupath_her2.cells.nuclei.detection", "keep_best"),
    ("outlines", "qupath_her2.cells.tile", "outline_cells"),
    ("radial profiles", "qupath_her2.cells.tile", "measure_radial_profiles"),
    ("features", "qupath_her2.cells.tile", "profile_features"),
    ("focus", "qupath_her2.cells.tile", "focus_map"),
    ("focus", "qupath_her2.cells.measure", "cut_out_of_focus"),
    ("quality checks", "qupath_her2.cells.measure", "assess_image"),
    ("quality checks", "qupath_her2.cells.measure", "check_image"),
    ("quality checks", "qupath_her2.cells.measure", "stain_pattern"),
    ("quality checks", "qupath_her2.cells.tile", "stain_places"),
    ("membrane net", "qupath_her2.cells.tile", "estimate_membranes"),
    ("columns", "qupath_her2.cells.tile", "measurement_columns"),
    ("grade", "qupath_her2.cells.measure", "grade"),
    ("table", "qupath_her2.cells.measure", "new_cell_table"),
    ("score", "tests.benchmarks.bench_cells", "score_cells"),
)


@dataclass(slots=True)
class Steps:
    """CPU seconds and calls of each step; `absent` lists functions that were not found."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    calls: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    absent: list[str] = field(default_factory=list)
    inside: list[float] = field(default_factory=list)

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with a timer that pauses while another step runs inside it."""

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self.inside.append(0.0)
            start = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                spent = time.process_time() - start
                self.seconds[name] += spent - self.inside.pop()
                self.calls[name] += 1
                if self.inside:
                    self.inside[-1] += spent

        return timed


@contextmanager
def timed_steps() -> Iterator[Steps]:
    """Time the steps within this context, and restore the functions afterwards."""
    steps = Steps()
    kept = []
    for name, module_name, attribute in _STEPS:
        try:
            # The benchmark's own functions live in ``__main__`` when it is run as a script.
            main = importlib.import_module("__main__")
            is_main = module_name.endswith("bench_cells") and hasattr(main, attribute)
            module = main if is_main else importlib.import_module(module_name)
            function = getattr(module, attribute)
        except (ImportError, AttributeError):
            steps.absent.append(f"{module_name}.{attribute}")
            continue
        kept.append((module, attribute, function))
        setattr(module, attribute, steps.wrap(name, function))
    try:
        yield steps
    finally:
        for module, attribute, function in kept:
            setattr(module, attribute, function)
