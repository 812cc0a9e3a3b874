from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import qupath_her2 as qh
from qupath_her2.server.settings import ServiceSettings
from qupath_her2.training.types import TrainedNetwork
from tests.unit.server.conftest import Caller, call


def test_a_slide_is_scored_as_by_run(caller: Caller, slides: Path, tmp_path: Path) -> None:
    slide, regions = slides / "strong.ome.tif", slides / "strong.geojson"
    created = caller.post_slide(slide, regions)
    assert created.status_code == 201
    job = created.json()
    with caller.http.stream("GET", f"/api/v1/jobs/{job['id']}/events") as events:
        told = [json.loads(line[6:]) for line in events.iter_lines() if line.startswith("data: ")]
    assert told[-1]["state"] == "done"
    assert [one["progress"] for one in told] == sorted(one["progress"] for one in told)
    result = caller.http.get(f"/api/v1/jobs/{job['id']}/result").json()

    for path in (slide, regions):
        shutil.copy(path, tmp_path)
    (by_run,) = qh.run(tmp_path)
    assert by_run.score is not None
    assert (result["score"], result["reason"], result["n_cells"]) == (
        by_run.score.score,
        by_run.score.reason,
        by_run.n_cells,
    )
    assert sum(result["shares"].values()) == pytest.approx(100, abs=0.05)
    assert (result["width_px"], result["height_px"]) == (420, 420)


def test_a_slide_is_named_by_its_path_in_an_allowed_folder_only(
    caller: Caller, slides: Path, tmp_path: Path
) -> None:
    def posted(path: Path | str) -> int:
        answer = caller.http.post("/api/v1/jobs", files={"path": (None, str(path)), "options": (None, "{}")})
        if answer.status_code == 201:
            caller.http.delete(f"/api/v1/jobs/{answer.json()['id']}")
        return int(answer.status_code)

    outside = tmp_path / "secret.png"
    outside.write_bytes(b"x")
    link = slides / "link.png"
    link.symlink_to(outside)
    assert posted(slides / "strong.ome.tif") == 201
    assert posted(outside) == 403
    assert posted(link) == 403
    assert posted(slides / ".." / outside.name) == 403
    assert posted(slides / "missing.svs") == 404
    assert posted("a\x00b") == 422
    link.unlink()


@pytest.mark.parametrize(
    ("name", "content"), [("notes.txt", b"text"), ("empty.svs", b""), ("archive.zip", b"PK")]
)
def test_what_is_no_slide_is_refused_and_removed(idle_caller: Caller, name: str, content: bytes) -> None:
    answer = idle_caller.http.post("/api/v1/jobs", files={"slide": (name, content)})
    assert answer.status_code == 415
    assert name in answer.json()["error"]
    assert list(idle_caller.service.uploads.glob("*")) == []


def test_a_full_queue_says_when_to_come_again(idle_caller: Caller) -> None:
    answers = [idle_caller.http.post("/api/v1/jobs", files={"slide": ("a.png", b"x")}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert len(list(idle_caller.service.uploads.glob("*"))) == 2


def test_a_deleted_job_leaves_nothing_and_shared_files_stay(idle_caller: Caller) -> None:
    http = idle_caller.http
    first = http.post("/api/v1/jobs", files={"slide": ("a.png", b"x")}).json()
    again = http.post(f"/api/v1/jobs/{first['id']}/retry", json={"pixel_size_um": 0.5}).json()
    assert again["options"] == {"pixel_size_um": 0.5}
    for job in (first, again):
        assert http.delete(f"/api/v1/jobs/{job['id']}").status_code == 204
    assert {job["state"] for job in http.get("/api/v1/jobs").json()} == {"cancelled"}
    http.delete(f"/api/v1/jobs/{first['id']}")
    assert len(list(idle_caller.service.uploads.glob("*"))) == 1
    http.delete(f"/api/v1/jobs/{again['id']}")
    assert list(idle_caller.service.uploads.glob("*")) == []
    assert http.get(f"/api/v1/jobs/{first['id']}").status_code == 404


def test_the_cells_of_a_deleted_job_are_dropped_from_memory(caller: Caller, slides: Path) -> None:
    job = caller.post_slide(slides / "strong.ome.tif", slides / "strong.geojson").json()["id"]
    assert caller.until_ended(job)["state"] == "done"
    assert caller.http.get(f"/api/v1/jobs/{job}/result").json()["score"] == "3+"
    (run_dir,) = [path for path in caller.service.runs._runs if job in path.parts]
    caller.http.delete(f"/api/v1/jobs/{job}")
    assert not run_dir.exists()
    assert run_dir not in caller.service.runs._runs


def test_a_job_without_a_result_says_so(idle_caller: Caller) -> None:
    job = idle_caller.http.post("/api/v1/jobs", files={"slide": ("a.png", b"x")}).json()
    answer = idle_caller.http.get(f"/api/v1/jobs/{job['id']}/result")
    assert (answer.status_code, answer.json()["error"]) == (409, "'a.png' has no result yet.")


def test_a_refusal_says_what_is_missing(caller: Caller, slides: Path) -> None:
    job = caller.post_slide(slides / "strong.ome.tif").json()
    ended = caller.until_ended(job["id"])
    assert (ended["state"], ended["needs"]) == ("refused", ["regions"])
    result = caller.http.get(f"/api/v1/jobs/{job['id']}/result").json()
    assert (result["score"], result["reason"]) == (None, ended["message"])


@pytest.mark.slow
def test_a_network_predicts_a_slide(count_study: Path, count_network: TrainedNetwork, tmp_path: Path) -> None:
    """As ``qupath-her2 predict`` does, by the network that the service offers under its id."""
    models = count_network.checkpoint.parent
    slide = qh.open_project(count_study).images[0].ref.path
    for caller in call(ServiceSettings(tmp_path / "state", roots=(count_study,), models=(models,))):
        (network,) = caller.http.get("/api/v1/networks").json()
        options = json.dumps({"verb": "predict", "checkpoint": network["id"], "whole_tissue": True})
        answer = caller.http.post(
            "/api/v1/jobs", files={"path": (None, str(slide)), "options": (None, options)}
        )
        assert answer.status_code == 201, answer.text
        ended = caller.until_ended(answer.json()["id"])
        assert ended["state"] == "done", ended
        result = caller.http.get(f"/api/v1/jobs/{ended['id']}/result").json()
        assert result["score"] is None
        assert sum(result["prediction"]["probabilities"].values()) == pytest.approx(1, abs=0.02)
        unknown = json.dumps({"verb": "predict", "checkpoint": "../best"})
        answer = caller.http.post(
            "/api/v1/jobs", files={"path": (None, str(slide)), "options": (None, unknown)}
        )
        assert (answer.status_code, "no network" in answer.json()["error"]) == (422, True)


@pytest.mark.slow
def test_a_network_on_features_predicts_a_slide_and_shows_its_attention(slides: Path, tmp_path: Path) -> None:
    """The slide is embedded by the encoder that the network's card names, and no regions are asked for."""
    from qupath_her2.models.bag_checkpoint import bag_card
    from qupath_her2.models.bag_networks import build_bag_network
    from qupath_her2.models.bag_settings import BagNetworkSettings
    from qupath_her2.models.checkpoint import save_checkpoint
    from qupath_her2.models.encoders import load_encoder

    encoder = load_encoder("efficientnet-lite0")
    net = build_bag_network("abmil", 1280, 2, BagNetworkSettings(hidden=16, attention=8), seed=1)
    card = bag_card(
        net,
        ("negative", "positive"),
        task="pr",
        recipe="abmil",
        encoder=encoder.name,
        encoder_sha256=encoder.weights_sha256,
        n_features=1280,
        pixel_size_um=0.5,
        patch_size_px=128,
    )
    net.options = dict(card.options)
    save_checkpoint(tmp_path / "models" / "pr", net, card)
    for caller in call(ServiceSettings(tmp_path / "state", models=(tmp_path / "models",))):
        options = json.dumps({"verb": "predict", "checkpoint": "models/pr"})
        job = caller.post_slide(slides / "strong.ome.tif", options=options).json()
        ended = caller.until_ended(job["id"])
        assert ended["state"] == "done", ended
        result = caller.http.get(f"/api/v1/jobs/{job['id']}/result").json()
        assert (result["prediction"]["task"], result["score"]) == ("pr", None)
        assert sum(result["prediction"]["probabilities"].values()) == pytest.approx(1, abs=0.02)
        (layer,) = [one for one in result["layers"] if one["kind"] == "picture"]
        assert layer["name"].startswith("Attention of abmil")
        picture = caller.http.get(f"/api/v1/jobs/{job['id']}/layers/{layer['id']}")
        assert picture.headers["content-type"] == "image/png"
