"""Results that are damaged, newer, of another image or of other regions are refused, with what to do."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from qupath_her2.provenance import sha256_file
from qupath_her2.records import Region
from tests.groovy.studies import CORE, Study, drawn_cells
from tests.groovy.test_writeback_round import ours_in

pytestmark = [pytest.mark.qupath, pytest.mark.slow]


def seal(run: Path, change: Callable[[dict[str, Any]], None] = lambda record: None) -> None:
    """Change the record, and update its checksums and sizes to the present files."""
    record = json.loads((run / "run.json").read_bytes())
    for name in record["files"]:
        record["files"][name] = sha256_file(run / name)
        record["sizes"][name] = (run / name).stat().st_size
    change(record)
    (run / "run.json").write_text(json.dumps(record))


def column(name: str, change: Callable[[Any], Any], *, packed: bool = False) -> Callable[[Path], None]:
    """Damage one column of cells.npz, with matching checksums."""

    def damage(run: Path) -> None:
        with np.load(run / "cells.npz") as archive:
            columns = dict(archive)
        columns[name] = change(columns[name].copy())
        with zipfile.ZipFile(run / "cells.npz", "w") as archive:
            for key, values in columns.items():
                member = io.BytesIO()
                np.save(member, values)
                packing = zipfile.ZIP_DEFLATED if packed and key == name else zipfile.ZIP_STORED
                archive.writestr(f"{key}.npy", member.getvalue(), packing)
        seal(run)

    return damage


def put(index: Any, value: Any) -> Callable[[Any], Any]:
    def change(values: Any) -> Any:
        values[index] = value
        return values

    return change


def flip(run: Path) -> None:
    data = bytearray((run / "cells.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (run / "cells.npz").write_bytes(data)


def cut(run: Path) -> None:
    data = (run / "cells.npz").read_bytes()
    (run / "cells.npz").write_bytes(data[: len(data) // 2])
    seal(run)


#: Damage to a run, and a part of the refusal.
DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a flipped bit": (flip, "was changed after the run"),
    "cut short": (cut, "is damaged"),
    "a file more": (lambda run: (run / "more.txt").write_text("x") and None, "more.txt"),
    "a file less": (lambda run: (run / "score.json").unlink(), "score.json"),
    "a newer format": (lambda run: seal(run, lambda r: r.update(format=2)), "newer qupath-her2"),
    "another image": (lambda run: seal(run, lambda r: r["image"].update(id="7_other")), "7_other"),
    "another size": (lambda run: seal(run, lambda r: r["image"].update(width=401)), "401 x 300"),
    "another scale": (lambda run: seal(run, lambda r: r["image"].update(pixel_size_um=0.25)), "0.25 µm"),
    "another count": (lambda run: seal(run, lambda r: r["counts"].update(cells=81)), "counts 81"),
    "no JSON": (lambda run: (run / "run.json").write_text("{") and None, "is not JSON"),
    "half as much": (column("cell_xy", lambda v: v.astype(np.float16)), "'cell_xy' is <f2"),
    "big-endian": (column("region", lambda v: v.astype(">i4")), "'region' is >i4"),
    "Fortran order": (column("measurements", np.asfortranarray), "C order"),
    "packed": (column("uuid", lambda v: v, packed=True), "compressed"),
    "not a number": (column("cell_xy", put(5, np.nan)), "NaN or infinity"),
    "falling offsets": (column("nucleus_offsets", put(3, 0)), "nucleus_offsets"),
    "no such region": (column("region", put(0, 2)), "there are 2 regions"),
    "no such class": (column("cell_class", put(0, 4)), "there are 4 classes"),
    "one UUID twice": (column("uuid", lambda v: np.concatenate([v[:-1], v[:1]])), "occurs twice"),
    "fewer centres": (column("centroid_xy", lambda v: v[:-1]), "centroid_xy has shape"),
}


def test_damaged_runs(study: Study) -> None:
    sound = study.write_run(100)
    steps = ["dump=before"]
    for number, (damage, _) in enumerate(DAMAGES.values()):
        run = study.write_run(number + 1)
        damage(run)
        steps += [f"current={run}", "push"]
    seen = study.replay(*steps, "dump=after", "reopen", "dump=reopened", f"current={sound}", "push")
    *refused, last = seen.lines()
    assert last.startswith("DONE push")
    for (what, (_, word)), line in zip(DAMAGES.items(), refused, strict=True):
        assert line.startswith("FAILED push: Her2Refusal: "), (what, line)
        assert word in line, (what, line)
        assert line.endswith("CAUSE null"), (what, line)
    assert seen.dump("after") == seen.dump("before")
    assert seen.dump("reopened")["objects"] == seen.dump("before")["objects"]


#: Change by the user since the export, and a part of the refusal.
CHANGES = {
    "outline": "outline of the region Tumor 'big one'",
    "class-of-region": "has the class Stroma now",
    "new-region": "Ignore*",
    "delete-region": "is not in the image any more",
    "pixel-size": "0.25 µm in QuPath now",
}


def test_changed_regions(study: Study) -> None:
    """Also: a run goes only to its own image, and one of another project is refused."""
    run = study.write_run()
    elsewhere = study.her2 / "results" / "9_other" / run.name
    shutil.copytree(run, elsewhere)
    steps = [
        step
        for what in CHANGES
        for step in (f"edit={what}", "dump=a-" + what, "push", "dump=b-" + what, "reopen")
    ]
    seen = study.replay(*steps, f"run={elsewhere}", f"run={run}", "dump=pushed")
    *refused, other, pushed = seen.lines()
    for (what, word), line in zip(CHANGES.items(), refused, strict=True):
        assert line.startswith("FAILED push: Her2Refusal: "), (what, line)
        assert word in line, (what, line)
        assert "Nothing was written" in line
        assert seen.dump("b-" + what) == seen.dump("a-" + what)
    assert "9_other" in other
    assert pushed.startswith("DONE run")


def test_two_cells_with_one_uuid(study: Study) -> None:
    from tests.groovy.studies import drawn_cells

    study.write_run(cells=drawn_cells(f"{1 << 2:011x}", foreign=True))
    seen = study.replay("edit=duplicate", "dump=a", "push", "dump=b")
    assert "Refresh duplicate object IDs" in seen.lines()[0]
    assert seen.dump("a") == seen.dump("b")


def test_core_cut_by_drawn_tumour_is_imported_until_it_is_moved(study: Study) -> None:
    """Only the tumour in a core was scored, so its outline in the run is smaller than the core's in QuPath."""
    tumour = Region(CORE, shapely.box(20, 180, 60, 220), "tumour", None, "A-1")
    run = study.write_run(1, regions=(tumour,), cells=drawn_cells(f"{1 << 2:011x}", regions=1))
    seen = study.replay(f"current={run}", "push", "dump=pushed", "edit=core", "push")
    done, refused = seen.lines()
    assert done.startswith("DONE push"), done
    assert "added=40" in done
    assert {found["parent"] for found in ours_in(seen.dump("pushed"))} == {str(CORE)}
    assert refused.startswith("FAILED push: Her2Refusal: The outline of the region"), refused
