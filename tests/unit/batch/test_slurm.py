from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from qupath_her2.batch import slurm
from qupath_her2.batch.slurm import SlurmExecutor, array_script, finish_script, requeue_task
from qupath_her2.cli import app
from qupath_her2.errors import BatchError
from tests.unit.batch.test_drive import ignore, jobs
from tests.unit.batch.test_progress import plan_of

FLAGS = ("--out", "/data/o ut", "--what", "score")


def command_of(script: str) -> list[str]:
    """Return the words that the script runs as task 2."""
    (line,) = [line for line in script.splitlines() if line.startswith("exec ")]
    shell = f"SLURM_ARRAY_TASK_ID=2; printf '%s\\n' {line.removeprefix('exec ')}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.skipif(sys.platform == "win32", reason="the script is for bash")
def test_the_script_asks_for_what_a_task_needs_and_runs_its_shard() -> None:
    executor = SlurmExecutor(Path("/data/my slides"), 40, 8, 24.0, ("--partition=long",), flags=FLAGS)
    script = array_script(executor, Path("/data/out"))
    asked = [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH ")]
    for option in ("--array=0-39", "--cpus-per-task=8", "--mem=24000M", "--requeue", "--partition=long"):
        assert option in asked
    # Warned in time for what runs to finish.
    assert "--signal=B:USR1@300" in asked
    words = command_of(script)
    assert words[:5] == [sys.executable, "-m", "qupath_her2", "batch", "/data/my slides"]
    assert words[-2:] == ["--shard", "3/40"]
    assert words[words.index("--out") + 1] == "/data/o ut"
    assert words[words.index("--memory-gb") + 1] == "21.6"
    assert executor.workers == 320


@pytest.mark.skipif(sys.platform == "win32", reason="the script is for bash")
def test_every_flag_of_the_scripts_exists() -> None:
    import typer

    known = {flag for one in typer.main.get_command(app).commands["batch"].params for flag in one.opts}  # type: ignore[attr-defined]
    executor = SlurmExecutor(Path("/s"), 2, 1, 4.0, ("--array=9", "--time=1"), flags=FLAGS)
    for script in (array_script(executor, Path("/o")), finish_script(executor, Path("/o"))):
        assert {word for word in command_of(script) if word.startswith("--")} <= known
    # Time limit and array are those of the tasks.
    assert "--time" not in finish_script(executor, Path("/o"))
    assert "--array" not in finish_script(executor, Path("/o"))


def test_without_slurm_the_error_says_where_to_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    executor = SlurmExecutor(tmp_path, flags=FLAGS)
    with pytest.raises(BatchError, match="'sbatch' was not found"):
        executor.run(plan_of(tmp_path), jobs("a"), listen=ignore)
    # What would be submitted is there to be read.
    assert (tmp_path / "slurm" / "array.sh").is_file()
    assert executor.run(plan_of(tmp_path), [], listen=ignore)


@pytest.mark.skipif(sys.platform == "win32", reason="a simulated sbatch is a shell script")
def test_what_sbatch_refuses_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulated = tmp_path / "sbatch"
    simulated.write_text("#!/bin/sh\necho 'invalid partition' >&2\nexit 1\n")
    simulated.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(BatchError, match="invalid partition"):
        SlurmExecutor(tmp_path, flags=FLAGS).run(plan_of(tmp_path), jobs("a"), listen=ignore)


def test_only_tasks_of_slurm_are_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(slurm, "_slurm", lambda *words: said.append(shlex.join(words)) or "")
    for name in ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    assert not requeue_task()
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "17")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert requeue_task()
    assert said == ["scontrol requeue 17_3"]
