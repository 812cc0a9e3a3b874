"""Runs: complete or absent after exceptions, kills and full disks; validation; reuse of earlier runs."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from qupath_her2.errors import ExchangeError, OutputError
from qupath_her2.project.exchange import runs as exchange
from qupath_her2.project.exchange import writing
from qupath_her2.project.exchange.cell_files import write_cells
from qupath_her2.project.exchange.locks import lock_image
from qupath_her2.project.exchange.run_record import RunRecord
from qupath_her2.project.exchange.runs import (
    current_run,
    find_run,
    new_run,
    read_run,
    remove_old_runs,
    validate_run,
)
from qupath_her2.project.exchange.score_files import score_json
from qupath_her2.provenance import run_key, sha256_file
from qupath_her2.records import CellTable, SlideScore

HASH, OTHER = "ab" * 32, "cd" * 32
SCORE = SlideScore("scored", "2+", "Because.", "ASCO/CAP breast 2018/2023", n_cells=40)
IMAGE = "7_case"


def record(input_hash: str = HASH, cells: CellTable | None = None) -> RunRecord:
    names = (
        {"measurements": list(cells.measurement_names), "classes": list(cells.class_names)} if cells else {}
    )
    regions = ({"uuid": "u", "name": None, "class": "Tumor", "area_um2": 1.0},)
    return RunRecord(run="", input_hash=input_hash, image={"name": "case.svs"}, cells=names, regions=regions)


def make_run(her2: Path, input_hash: str = HASH, cells: CellTable | None = None) -> Path:
    with lock_image(her2, IMAGE) as lock, new_run(lock, input_hash) as run:
        run.write("score.json", score_json(SCORE))
        if cells is not None:
            with run.open("cells.npz") as file:
                write_cells(file, cells)
        run.finish(record(input_hash, cells))
    return run.final


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


# --- a complete run


def test_a_run_is_complete(tmp_path: Path, cells: CellTable) -> None:
    run_dir = make_run(tmp_path, cells=cells)
    assert run_dir == tmp_path / "results" / IMAGE / run_key(HASH)
    assert current_run(tmp_path, IMAGE) == run_dir
    assert json.loads((run_dir.parent / "current.json").read_text()) == {"run": run_key(HASH)}
    found, table, score = read_run(run_dir)
    assert found.files == {name: sha256_file(run_dir / name) for name in ("cells.npz", "score.json")}
    assert found.run == run_dir.name
    assert (table.uuid == cells.uuid).all()
    assert score == SCORE
    assert sorted(path.name for path in (tmp_path / "results").rglob("*")) == sorted(
        [IMAGE, run_dir.name, "cells.npz", "score.json", "run.json", "current.json"]
    )


def test_a_run_is_found_by_its_inputs(tmp_path: Path) -> None:
    assert find_run(tmp_path, IMAGE, HASH) is None
    first = make_run(tmp_path)
    assert find_run(tmp_path, IMAGE, HASH) == first
    assert find_run(tmp_path, IMAGE, OTHER) is None
    second = make_run(tmp_path, OTHER)
    assert current_run(tmp_path, IMAGE) == second
    # Settings changed back: the first run becomes current again without scoring.
    assert find_run(tmp_path, IMAGE, HASH) == first == current_run(tmp_path, IMAGE)


def test_a_run_with_the_same_key_but_another_hash_is_not_found(tmp_path: Path) -> None:
    make_run(tmp_path)
    assert find_run(tmp_path, IMAGE, HASH[:-2] + "00") is None


def test_force_makes_a_second_run_beside_the_first(tmp_path: Path) -> None:
    first, second = make_run(tmp_path), make_run(tmp_path)
    assert second.name == f"{first.name}-2"
    assert current_run(tmp_path, IMAGE) == second
    assert find_run(tmp_path, IMAGE, HASH) == second


def test_current_run_and_named_runs_are_not_removed(tmp_path: Path) -> None:
    first, second, third = make_run(tmp_path), make_run(tmp_path), make_run(tmp_path, OTHER)
    with lock_image(tmp_path, IMAGE) as lock:
        assert remove_old_runs(lock, keep=frozenset({first.name})) == [second.name]
    assert (first.is_dir(), second.exists(), third.is_dir()) == (True, False, True)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: (run / "score.json").write_bytes(b"{}"), "was changed"),
        (lambda run: (run / "score.json").unlink(), "missing or extra: score.json"),
        (lambda run: (run / "extra.txt").write_bytes(b""), "missing or extra: extra.txt"),
        (lambda run: (run / "run.json").unlink(), "not a finished run"),
        (lambda run: (run / "run.json").write_bytes(b"{"), "not JSON"),
    ],
)
def test_a_changed_run_is_refused_and_replaced(damage: Callable, message: str, tmp_path: Path) -> None:
    run_dir = make_run(tmp_path)
    damage(run_dir)
    with pytest.raises(ExchangeError, match=message):
        validate_run(run_dir)
    assert find_run(tmp_path, IMAGE, HASH) is None
    assert validate_run(make_run(tmp_path)).input_hash == HASH


def test_a_change_that_keeps_the_size_is_found_by_its_hash(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path)
    data = (run_dir / "score.json").read_bytes()
    (run_dir / "score.json").write_bytes(data.replace(b"2+", b"3+"))
    with pytest.raises(ExchangeError, match="was changed"):
        validate_run(run_dir)


def test_a_renamed_run_is_refused(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path)
    moved = run_dir.rename(run_dir.with_name(run_key(OTHER)))
    with pytest.raises(ExchangeError, match="contains the record of run"):
        validate_run(moved)


@pytest.mark.parametrize(
    "pointer", [b"", b"[]", b'{"run": 5}', b'{"run": "../../x"}', b'{"run": "00000000000"}']
)
def test_a_damaged_pointer_is_an_error_and_is_repaired(pointer: bytes, tmp_path: Path) -> None:
    run_dir = make_run(tmp_path)
    (run_dir.parent / "current.json").write_bytes(pointer)
    with pytest.raises(ExchangeError, match="score"):
        current_run(tmp_path, IMAGE)
    assert find_run(tmp_path, IMAGE, HASH) == run_dir == current_run(tmp_path, IMAGE)


# --- all or nothing


def test_an_exception_leaves_the_previous_run(tmp_path: Path) -> None:
    make_run(tmp_path)
    before = tree(tmp_path)

    def broken(error: type[BaseException]) -> None:
        with lock_image(tmp_path, IMAGE) as lock, new_run(lock, OTHER) as run:
            run.write("score.json", b"{}")
            raise error

    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            broken(error)
        assert tree(tmp_path) == before


def test_a_run_must_be_finished(tmp_path: Path) -> None:
    with (
        pytest.raises(ExchangeError, match="not finished"),
        lock_image(tmp_path, IMAGE) as lock,
        new_run(lock, HASH),
    ):
        pass
    assert tree(tmp_path) == {}


def test_leftovers_of_dead_workers_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "results" / IMAGE
    (folder / f"{run_key(OTHER)}.tmp").mkdir(parents=True)
    (folder / f"{run_key(OTHER)}.tmp" / "cells.npz").write_bytes(b"half")
    (folder / "current.json.1234.tmp").write_bytes(b"half")
    run_dir = make_run(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == sorted([run_dir.name, "current.json"])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_any_line_leaves_the_old_run_or_the_new_one(tmp_path: Path) -> None:
    """A child process is ended without clean-up at its k-th line of our code, for every k."""
    script = textwrap.dedent(
        """
        import os, sys
        from pathlib import Path
        from qupath_her2.project.exchange import runs as exchange
        from qupath_her2.project.exchange.locks import lock_image
        from qupath_her2.project.exchange.run_record import RunRecord
        from qupath_her2.provenance import run_key

        her2, old, new = Path(sys.argv[1]), "ab" * 32, "cd" * 32

        def make(input_hash):
            with lock_image(her2, "7_case") as lock, exchange.new_run(lock, input_hash) as run:
                run.write("score.json", b"{}")
                run.finish(RunRecord(run="", input_hash=input_hash, image={"name": "x"}))

        def killed_at(k):
            left = [k]
            def trace(frame, event, arg):
                if "/project/" not in frame.f_code.co_filename:
                    return None
                left[0] -= event == "line"
                if left[0] < 0:
                    os._exit(9)
                return trace
            sys.settrace(trace)
            make(new)
            os._exit(0)

        make(old)
        outcomes, k, code = set(), 0, 9
        while code:
            child = os.fork()
            if child == 0:
                killed_at(k)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            current = exchange.current_run(her2, "7_case")
            record = exchange.validate_run(current)
            assert record.input_hash in (old, new), k
            outcomes.add(record.input_hash)
            for path in current.parent.iterdir():
                if exchange._RUN_ID.fullmatch(path.name):
                    exchange.validate_run(path)
            # an empty lock (killed between making and filling it) is given ten seconds; let them pass
            for path in her2.rglob("*.lock"):
                if not path.read_bytes():
                    os.utime(path, (0, 0))
            # the next worker finds its way, whatever was left
            make(old)
            assert not list(her2.rglob("*.tmp")) and not list(her2.rglob("*.lock")), k
            with lock_image(her2, "7_case") as lock:
                exchange.remove_old_runs(lock)
            k += 3
        print("steps", k, "outcomes", len(outcomes))
        """
    )
    source = Path(exchange.__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(source)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "outcomes 2" in done.stdout
    assert int(done.stdout.split()[1]) > 60


# --- failing disks


def fail_after(monkeypatch: pytest.MonkeyPatch, n: int, error: int) -> None:
    """Let the n-th flush to the disk fail, as a full disk does."""
    left = [n]
    real = os.fsync

    def fsync(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(error, os.strerror(error))
        real(handle)

    monkeypatch.setattr(writing.os, "fsync", fsync)


@pytest.mark.parametrize("step", range(6))
@pytest.mark.parametrize(
    ("error", "message"),
    [(errno.ENOSPC, "No space left"), (errno.EROFS, "read-only"), (errno.EIO, "Cannot write")],
)
def test_a_failing_disk_leaves_the_previous_run(
    step: int, error: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path)
    before = tree(tmp_path)
    with monkeypatch.context() as patch:
        fail_after(patch, step, error)
        with pytest.raises(OutputError, match=message) as caught:
            make_run(tmp_path, OTHER)
    assert caught.value.errno == error
    assert "--out DIR" in str(caught.value)
    after = tree(tmp_path)
    if step < 4:
        assert after == before
    else:
        # The run was renamed already: it is complete, whether or not the pointer was replaced.
        assert {name: data for name, data in after.items() if name in before and "current" not in name} == {
            name: data for name, data in before.items() if "current" not in name
        }
        validate_run(current_run(tmp_path, IMAGE))
    assert not list(tmp_path.rglob("*.tmp"))
    make_run(tmp_path, OTHER)


def test_a_really_full_disk(tmp_path: Path, cells: CellTable) -> None:
    """A limit on the size of files, set in a child process, makes the system itself refuse the write."""
    resource = pytest.importorskip("resource")
    script = textwrap.dedent(
        """
        import resource, sys
        from pathlib import Path
        from qupath_her2.errors import OutputError
        from qupath_her2.project.exchange.runs import new_run
        from qupath_her2.project.exchange.locks import lock_image
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            with lock_image(Path(sys.argv[1]), "7_case") as lock, new_run(lock, "ab" * 32) as run:
                run.write("small.bin", bytes(4000))
                with run.open("large.bin") as file:
                    file.write(bytes(100_000))
        except OutputError as error:
            print(error)
        """
    )
    assert resource.RLIMIT_FSIZE is not None
    source = Path(exchange.__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-B", "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(source)},
        check=False,
    )
    assert "No space left to write" in done.stdout, done.stderr
    assert tree(tmp_path) == {}
    assert not list((tmp_path / "results").iterdir())


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="read-only"):
            make_run(tmp_path / "her2")
    finally:
        tmp_path.chmod(0o700)


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "her2").write_text("a file")
    with pytest.raises(OutputError, match="there is a file where a folder is needed"):
        make_run(tmp_path / "her2")
    assert (tmp_path / "her2").read_text() == "a file"


def test_a_record_keeps_its_run_id(tmp_path: Path) -> None:
    with lock_image(tmp_path, IMAGE) as lock, new_run(lock, HASH) as run:
        run.finish(dataclasses.replace(record(), run="something else"))
    assert validate_run(run.final).run == run_key(HASH)


# --- links


def test_links_among_the_runs_are_removed_without_what_they_lead_to(tmp_path: Path) -> None:
    first = make_run(tmp_path / "her2")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.txt").write_text("mine")
    folder = first.parent
    (folder / f"{run_key(OTHER)}-7").symlink_to(outside, target_is_directory=True)
    (folder / "half.tmp").symlink_to(outside, target_is_directory=True)
    (folder / "gone.tmp").symlink_to(tmp_path / "nothing")
    second = make_run(tmp_path / "her2", OTHER)
    with lock_image(tmp_path / "her2", IMAGE) as lock:
        assert remove_old_runs(lock) == sorted([first.name, f"{run_key(OTHER)}-7"])
    assert sorted(path.name for path in folder.iterdir()) == sorted([second.name, "current.json"])
    assert (outside / "precious.txt").read_text() == "mine"


def test_a_link_in_place_of_a_result_is_a_changed_result(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path)
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_bytes((run_dir / "score.json").read_bytes().replace(b"2+", b"3+"))
    (run_dir / "score.json").unlink()
    (run_dir / "score.json").symlink_to(elsewhere)
    with pytest.raises(ExchangeError, match="was changed after the run"):
        validate_run(run_dir)
