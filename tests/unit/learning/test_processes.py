"""Trainings in separate processes: killed and resumed, and shared by two."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from qupath_her2.learning.inference.predict import predict
from qupath_her2.models.checkpoint import load_checkpoint
from qupath_her2.models.settings import PredictSettings
from qupath_her2.patches.manifest import PatchManifest, read_manifest, write_manifest
from qupath_her2.patches.pixels.patch_pixels import PatchPixels

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="NOT TESTED: ends processes the POSIX way"),
]

REPOSITORY = Path(__file__).parents[3]
SCRIPT = Path(__file__).with_name("train_script.py")
#: Twenty seconds on a free machine.
TIMEOUT_S = 900
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.fixture(scope="module")
def patches(drawn: PatchManifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of six cases with 16 patches per split, on disk."""
    folder = tmp_path_factory.mktemp("patches")
    split = np.where((drawn.image < 6) & (np.arange(len(drawn)) % 2 == 0), drawn.split, -1)
    write_manifest(folder, dataclasses.replace(drawn, split=split.astype(np.int8)))
    return folder


def start(
    patches: Path, out: Path, *launcher: str, model: str = "timm:test_convnext"
) -> subprocess.Popen[str]:
    command = [sys.executable, *launcher, str(SCRIPT), str(patches), str(out), model]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def finish(process: subprocess.Popen[str]) -> None:
    with process:
        try:
            _, errors = process.communicate(timeout=TIMEOUT_S)
        finally:
            # The launcher's workers are of its session, and outlive it otherwise.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, errors


@pytest.fixture(scope="module")
def whole(patches: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output of a training that was not interrupted."""
    out = tmp_path_factory.mktemp("whole") / "run"
    runpy.run_path(str(SCRIPT))["main"](str(patches), str(out))
    return out


def kill_after(process: subprocess.Popen[str], state: Path, changes: int) -> None:
    """Kill the process (SIGKILL) as soon as its state file has been replaced `changes` times."""
    seen: set[int] = {state.stat().st_mtime_ns} if state.exists() else set()
    before = len(seen)
    deadline = time.monotonic() + TIMEOUT_S
    with process:
        try:
            while len(seen) < before + changes and process.poll() is None and time.monotonic() < deadline:
                if state.exists():
                    seen.add(state.stat().st_mtime_ns)
                time.sleep(0.002)
        finally:
            process.kill()
        errors = process.communicate()[1]
    assert len(seen) == before + changes, f"it ended before it could be killed: {errors}"
    assert process.returncode != 0


def test_killed_twice_a_training_ends_with_the_same_bytes(patches: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    for changes in (2, 3):
        kill_after(start(patches, out), out / "state.safetensors", changes)
    assert (
        not (out / "history.json").exists()
        or (out / "history.json").read_bytes() != (whole / "history.json").read_bytes()
    )
    finish(start(patches, out))
    for name in ("history.json", "best.safetensors", "best.json"):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name


def test_two_processes_learn_the_same_as_one(patches: Path, whole: Path, tmp_path: Path) -> None:
    """The same batch of eight, four patches in each of two processes, gradients averaged by torch (gloo)."""
    out = tmp_path / "run"
    finish(start(patches, out, *TORCHRUN))
    one, two = (load_file(folder / "best.safetensors") for folder in (whole, out))
    largest = max(float(np.abs(one[name]).max()) for name in one)
    assert largest > 0.1
    assert max(float(np.abs(one[name] - two[name]).max()) for name in one) < 1e-5


def test_two_processes_validate_the_weights_that_are_saved(patches: Path, tmp_path: Path) -> None:
    """Each process has batch statistics of its own, so this fails if each validates with them."""
    out = tmp_path / "run"
    finish(start(patches, out, *TORCHRUN, model="timm:test_resnet"))
    model, card = load_checkpoint(out / "best")
    manifest = read_manifest(patches)
    with PatchPixels(manifest) as pixels:
        prediction = predict(model, card, manifest, pixels, PredictSettings(device="cpu"))
    rows = np.flatnonzero(manifest.split == 1)
    loss = -np.log(prediction.probabilities[rows, manifest.label[rows]]).mean()
    assert card.metrics["validation_loss"] == pytest.approx(loss, rel=1e-4)
