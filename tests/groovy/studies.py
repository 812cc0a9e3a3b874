"""A project with every kind of object, runs written to its exchange folder, and steps replayed on it in QuPath."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import shapely
from PIL import Image, ImageDraw

from qupath_her2.project.exchange.cell_files import write_cells
from qupath_her2.project.exchange.images import PREDICTIONS, PROPOSALS
from qupath_her2.project.exchange.locks import lock_image
from qupath_her2.project.exchange.patch_files import write_patches
from qupath_her2.project.exchange.run_record import RunRecord
from qupath_her2.project.exchange.runs import new_run
from qupath_her2.project.exchange.score_files import regions_geojson, score_json
from qupath_her2.provenance import are_ours, object_uuids, sha256_file
from qupath_her2.records import CELL_CLASSES, CellTable, PatchTable, Prediction, Region, Score, SlideScore
from tests.groovy.conftest import PATIENCE_S, SCRIPTS
from tests.helpers.qupath import QuPath, java_options

HERE = Path(__file__).parent / "scripts"
WIDTH, HEIGHT = 400, 300
#: The locked region and the one with existing cells, as make_study.groovy draws them.
BIG = Region(
    UUID("10000000-0000-4000-8000-000000000001"),
    shapely.box(20, 20, 180, 180),
    "tumour",
    "Tumor",
    "big one",
    True,
)
SECOND = Region(
    UUID("10000000-0000-4000-8000-000000000004"), shapely.box(200, 20, 380, 140), "tumour", "Tumor", "zweite"
)
#: The TMA core that is not missing, centre and diameter as make_study.groovy draws it.
CORE = UUID("30000000-0000-4000-8000-000000000001")
FOREIGN = [UUID(f"20000000-0000-4000-8000-{number:012d}") for number in range(1, 7)]
NAMES = ("HER2: m1", "HER2: m2", "HER2: m3")


@dataclass(frozen=True, slots=True)
class Seen:
    """The output and the dumps of a replay."""

    output: str
    dumps: Path

    def dump(self, name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.dumps / f"{name}.json").read_text(encoding="utf-8"))
        return content

    def lines(self) -> list[str]:
        return re.findall(r"^(?:DONE|FAILED|SUPPRESSED|MERGED) .*$", self.output, re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Study:
    """An exported project of one QuPath."""

    qupath: QuPath
    folder: Path
    private: Path
    image: str = "1_drawn"
    options: tuple[str, ...] = field(default=())

    @property
    def her2(self) -> Path:
        return self.folder / "her2"

    @property
    def project(self) -> Path:
        return self.folder / "project.qpproj"

    @property
    def data(self) -> Path:
        return self.folder / "data" / "1" / "data.qpdata"

    def replay(self, *steps: str) -> Seen:
        """Run steps of replay.groovy in one QuPath."""
        done = self.attempt(*steps)
        assert "REPLAYED" in done, done
        return Seen(done, self.private / "dumps")

    def attempt(self, *steps: str) -> str:
        """Run steps of replay.groovy in one QuPath, which may end before the last; return its output."""
        dumps = self.private / "dumps"
        dumps.mkdir(parents=True, exist_ok=True)
        words = [word for step in (str(self.folder), str(dumps), *steps) for word in ("--args", step)]
        # The script is run from a copy next to the library.
        return run_with_library(self.qupath, HERE / "replay.groovy", words, self.private)

    def replay_and_kill(self, done: int, share: float, *steps: str) -> None:
        """Run the steps, and kill QuPath (signal 9) during a step, after `done` + 1 others.

        The kill comes after a `share` of the time of the step before, so that it hits a step on slow machines too.
        """
        dumps = self.private / "dumps"
        dumps.mkdir(parents=True, exist_ok=True)
        words = [word for step in (str(self.folder), str(dumps), *steps) for word in ("--args", step)]
        copy = copy_with_library(HERE / "replay.groovy", self.private)
        command = [str(self.qupath.launcher), "script", str(copy), *words]
        preferences = java_options({"java.util.prefs.userRoot": self.private})
        with subprocess.Popen(
            command,
            env={**os.environ, "JAVA_TOOL_OPTIONS": preferences},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdout is not None
            try:
                times = (time.monotonic() for line in process.stdout if line.startswith(("READY", "DONE")))
                met = list(itertools.islice(times, done + 2))
                assert len(met) == done + 2, f"QuPath ended after {len(met)} steps"
                time.sleep(share * (met[-1] - met[-2]))
            finally:
                process.kill()

    def run(self, script: str, *options: str) -> str:
        """Run one of our scripts on the project's image; return its output."""
        on = ("-p", str(self.project), "-i", "drawn")
        done = self.qupath.run(SCRIPTS / script, *on, *options, private=self.private, timeout_s=PATIENCE_S)
        return f"exit {done.returncode}\n{done.stdout}{done.stderr}"

    def write_run(
        self,
        key: int = 1,
        *,
        cells: CellTable | None = None,
        regions: Sequence[Region] = (BIG, SECOND),
        image: dict[str, Any] | None = None,
        score: str | None = "2+",
        patches: PatchTable | None = None,
        prediction: Prediction | None = None,
        is_proposal: bool = False,
    ) -> Path:
        """Write a run as the package does, predictions and proposals in their folders; it becomes the current run."""
        out = (
            self.her2 / PROPOSALS
            if is_proposal
            else self.her2
            if prediction is None
            else self.her2 / PREDICTIONS
        )
        run_hash = f"{key << 2:011x}" + "0" * 53
        table = drawn_cells(run_hash) if cells is None else cells
        n_cells = 0 if prediction else len(table)
        status = "predicted" if prediction else "scored" if score else "not assessable"
        scored = Score(
            "proposed" if is_proposal else status,  # type: ignore[arg-type]
            None if prediction or is_proposal else score,
            "a drawn reason",
            "drawn",
            n_cells=n_cells,
            prediction=prediction,
            tumour_probability=0.875 if is_proposal else None,
        )
        slide = SlideScore(
            scored.status,
            scored.score,
            scored.reason,
            "drawn",
            h_score=123.4 if scored.score else None,
            n_cells=n_cells,
            prediction=prediction,
            regions={str(region.uuid): scored for region in regions},
        )
        region_file = self.her2 / "regions" / f"{self.image}.geojson"
        record = RunRecord(
            "",
            run_hash,
            {
                "id": self.image,
                "name": "drawn.png",
                "width": WIDTH,
                "height": HEIGHT,
                "pixel_size_um": 0.5,
                "pixel_size_source": "QuPath",
                **(image or {}),
            },
            inputs={"regions": sha256_file(region_file)},
            counts={"cells": n_cells, "patches": 0 if patches is None else len(patches)},
            regions=tuple(
                {
                    "uuid": str(r.uuid),
                    "name": r.name,
                    "class": r.class_name,
                    "role": r.role,
                    **({"is_core": True} if r.uuid == CORE else {}),
                }
                for r in regions
            ),
            cells={"measurements": list(table.measurement_names), "classes": list(table.class_names)},
            patches={"classes": [] if patches is None else list(patches.class_names)},
        )
        with lock_image(out, self.image) as lock, new_run(lock, run_hash) as writer:
            if prediction is None:
                with writer.open("cells.npz") as file:
                    write_cells(file, table)
            if patches is not None:
                with writer.open("patches.npz") as file:
                    write_patches(file, patches)
            writer.write("regions.geojson", regions_geojson(regions, slide.regions))
            writer.write("score.json", score_json(slide))
            writer.finish(record)
        return writer.final


def run_with_library(qupath: QuPath, script: Path, words: Sequence[str], private: Path) -> str:
    """Run one of the tests' scripts with our library; return its output."""
    done = qupath.run(copy_with_library(script, private), *words, private=private, timeout_s=PATIENCE_S)
    return done.stdout + done.stderr


def copy_with_library(script: Path, private: Path) -> Path:
    """Copy a script next to a copy of the library."""
    copy = private / "scripts" / script.name
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(script, copy)
    if not (copy.parent / "lib").exists():
        shutil.copytree(SCRIPTS / "lib", copy.parent / "lib")
    return copy


def draw_image(path: Path) -> None:
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    ImageDraw.Draw(picture).rectangle((20, 20, 380, 180), fill=(190, 150, 120))
    picture.save(path)


def make_study(qupath: QuPath, folder: Path, private: Path) -> None:
    """Make the project in `folder` with QuPath's own API, and export it with our script."""
    folder.mkdir(parents=True)
    draw_image(folder / "drawn.png")
    words = ("--args", str(folder), "--args", str(folder / "drawn.png"))
    done = qupath.run(HERE / "make_study.groovy", *words, private=private, timeout_s=PATIENCE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    said = Study(qupath, folder, private).run("export_regions.groovy")
    assert "HER2_EXPORT_REGIONS_OK images=1" in said, said


def drawn_cells(
    run_hash: str, *, shift_px: float = 0.0, foreign: bool = False, regions: int = 2
) -> CellTable:
    """Cells on an 8 px grid in the first regions, outside nested ones, and existing cells if `foreign`."""
    centres = [(0, x, y) for y in range(60, 96, 8) for x in range(28, 92, 8)]
    centres += [(1, x, y) for y in range(80, 120, 8) for x in range(208, 272, 8)]
    centres = [centre for centre in centres if centre[0] < regions]
    theirs = [(1, 205 + 20 * n, 40) for n in range(1, 7)] if foreign else []
    rows = np.array(centres + theirs, np.float64).reshape(-1, 3)
    n = len(rows)
    centre = rows[:, 1:] + [shift_px, 0]
    outline, outline_offsets = _rings(centre, 3.5, 12, np.ones(n, bool))
    nucleus, nucleus_offsets = _rings(centre, 1.5, 8, np.arange(n) % 5 != 0)
    uuid = np.concatenate(
        [
            object_uuids(run_hash, len(centres)),
            np.array([list(FOREIGN[i].bytes) for i in range(len(theirs))], np.uint8).reshape(-1, 16),
        ]
    )
    assert are_ours(uuid).sum() == len(centres)
    measured = np.random.default_rng(1).random((n, len(NAMES))).astype(np.float32)
    measured[::7, 1] = np.nan
    classes = (np.arange(n) % 4).astype(np.uint8)
    classes[::11] = 255
    return CellTable(
        uuid,
        centre.astype(np.float32),
        outline,
        outline_offsets,
        nucleus,
        nucleus_offsets,
        rows[:, 0].astype(np.int32),
        measured,
        NAMES,
        classes,
        CELL_CLASSES,
    )


def _rings(centre: Any, radius: float, vertices: int, there: Any) -> tuple[Any, Any]:
    angle = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    circle = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    xy = (centre[there][:, None] + circle).reshape(-1, 2).astype(np.float32)
    offsets = np.zeros(len(centre) + 1, np.int64)
    np.cumsum(np.where(there, vertices, 0), out=offsets[1:])
    return xy, offsets
