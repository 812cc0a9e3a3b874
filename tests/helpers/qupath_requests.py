"""A QuPath project and its exchange folder, and a recorder that stands in for QuPath."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from qupath_her2.project.exchange.locks import lock_image
from qupath_her2.project.exchange.run_record import RunRecord
from qupath_her2.project.exchange.runs import new_run
from qupath_her2.project.qupath.installations import QuPath

SOME = QuPath("0.6.0", Path("somewhere"))
HASHES = {"1": "1" * 64, "2": "2" * 64}


def write_project(folder: Path, *, run: str | None = None) -> Path:
    """A project of two images, of which the first holds 5 objects and, where given, a run of ours."""
    images = [
        {"entryID": 1, "imageName": "a.svs", "metadata": {"HER2 run": run} if run else {}},
        {"entryID": 2, "imageName": "ü.svs"},
    ]
    path = folder / "project.qpproj"
    path.write_text(json.dumps({"version": "0.6.0", "images": images}))
    summary = folder / "data" / "1" / "summary.json"
    summary.parent.mkdir(parents=True)
    summary.write_text(json.dumps({"hierarchy": {"nObjects": 5}}))
    return path


def write_results(her2: Path, *ids: str) -> None:
    """An exchange folder with a finished run for each entry id."""
    her2.mkdir()
    images = [{"id": f"{n}_x", "entry_id": n, "name": f"{n}.svs", "path": f"{n}.svs"} for n in HASHES]
    (her2 / "images.json").write_text(json.dumps({"format": 1, "images": images}))
    for entry in ids:
        with lock_image(her2, f"{entry}_x") as lock, new_run(lock, HASHES[entry]) as writer:
            writer.write("score.json", b"{}")
            writer.finish(RunRecord("", HASHES[entry], {"name": "x"}, counts={"cells": 1000 * int(entry)}))


class Recorder:
    """Stands in for QuPath: records the requests and returns a fixed answer."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer
        self.calls: list[tuple[str, dict[str, Any], int]] = []

    def __call__(
        self, verb: str, request: dict[str, Any], qupath: QuPath, *, n_objects: int, listen: Any, **_: Any
    ) -> dict[str, Any]:
        assert qupath == SOME
        self.calls.append((verb, request, n_objects))
        if verb == "export":
            listen({"event": "image", "image": "1_a"})
        for entry in request["only"] if verb == "push" and listen is not None else ():
            listen({"event": "started", "image": entry})
            listen({"event": "image", "image": entry})
        return self.answer
