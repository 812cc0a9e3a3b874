from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import qupath_her2 as qh
from qupath_her2.errors import ServiceError
from qupath_her2.project.exchange.patch_files import patches_of_run
from qupath_her2.project.exchange.runs import current_run, read_run
from qupath_her2.server.discovery import STATE_VARIABLE
from qupath_her2.server.predict_remotely import predict_by_service
from qupath_her2.training.types import TrainedNetwork
from tests.unit.server.test_serve import start

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="the service is started as by a shell"),
]


def test_a_service_predicts_as_here(
    count_study: Path, count_network: TrainedNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = shutil.copytree(count_study, tmp_path / "study")
    image = qh.open_project(study).images[0]
    here = qh.predict(image, model=count_network.checkpoint, whole_tissue=True)
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))
    models = count_network.checkpoint.parent
    process, _ = start(tmp_path / "state", "--models", str(models))
    with process:
        network = f"{models.name}/{count_network.checkpoint.name}"
        there = qh.predict(image, model=network, whole_tissue=True, service=True)
        assert not (study / "her2" / "predictions").exists()
        with pytest.raises(ServiceError, match="no network 'models/other'"):
            qh.predict(image, model="models/other", service=True)
        with pytest.raises(ServiceError, match="settings of its own"):
            qh.predict(image, model=network, settings={"predict": {}}, service=True)
        with pytest.raises(ServiceError, match="of a QuPath project"):
            predict_by_service(replace(image.ref, entry_id="1"), network, True)
        process.kill()
    assert here.patches is not None
    assert there.patches is not None
    assert np.array_equal(there.patches.box_xywh, here.patches.box_xywh)
    assert np.allclose(there.patches.probabilities, here.patches.probabilities, atol=1e-5)
    # The service has the classifier of patch counts that was fitted with the network, as the command has it.
    assert there.score.prediction is not None
    assert here.score.prediction is not None
    assert there.score.prediction.class_name == here.score.prediction.class_name
    saved = qh.save_result(there)
    assert (saved.state, saved.run_dir) == (
        "predicted",
        current_run(study / "her2" / "predictions", image.ref.id),
    )
    assert saved.run_dir is not None
    stored = patches_of_run(saved.run_dir, read_run(saved.run_dir)[0])
    assert stored is not None
    assert np.array_equal(stored.box_xywh, there.patches.box_xywh)
