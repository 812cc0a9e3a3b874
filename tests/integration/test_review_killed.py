"""Fifty real kills in collecting, calibrating, signing and scoring with a profile: no correction is lost."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from qupath_her2.cells.profiles import profile_path, read_profile
from qupath_her2.project.exchange.runs import current_run, read_run
from qupath_her2.review.known_labels import known_changes
from qupath_her2.review.round_files import read_rounds
from qupath_her2.review.sign_off import read_trail, signed_path
from qupath_her2.runs.plan import select_images
from qupath_her2.synthetic.example_project import write_field
from tests.helpers.labelled_project import drawn_labels, labelled_image, write_labels
from tests.unit.cli.commands import call, start

pytestmark = pytest.mark.slow

SEED = 20_261


def kill_after(share: float, whole_s: float, *command: object) -> bool:
    """Start a command and kill it after a share of the time it takes; return whether it was still running."""
    process = start(*command)
    time.sleep(share * whole_s)
    was_running = process.poll() is None
    process.kill()
    process.communicate()
    return was_running


def timed(*command: object) -> float:
    """Return how long a command takes."""
    begin = time.monotonic()
    process = start(*command)
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    return time.monotonic() - begin


def test_no_correction_is_lost_in_collecting_calibrating_and_signing(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    her2 = tmp_path / "study" / "her2"
    images = [labelled_image(her2, f"{n}_case", scale=1.8) for n in (1, 2, 3, 4)]
    first = images[0][0]
    write_labels(her2 / "review" / "labels" / "anna.csv", drawn_labels(images[1:]))
    first.correct({0: "Tumor: 3+"})
    study = her2.parent
    whole = {
        "collect": timed("review", "collect", study, "--no-qupath", "--reviewer", "Anna"),
        "calibrate": timed("review", "calibrate", study, "--name", "lab-a"),
        "sign": timed("review", "sign", study, "case.svs", "--state", "draft", "--reviewer", "Anna"),
    }
    commands = {
        "collect": ("--no-qupath", "--reviewer", "Anna"),
        "calibrate": ("--name", "lab-a"),
        "sign": ("case.svs", "--state", "draft", "--reviewer", "Anna"),
    }
    kills = 0
    for number in range(40):
        verb = rng.choice(list(commands))
        given = {0: "Tumor: 3+", **dict.fromkeys(range(1, 2 + number // 2), "Tumor: 2+")}
        first.correct(given)
        if verb == "calibrate":
            profile_path(her2, "lab-a").unlink()
        kills += kill_after(rng.uniform(0.3, 1.1), whole[verb], "review", verb, study, *commands[verb])
        rounds, problems = read_rounds(her2)
        assert problems == []
        assert {first.uuid(0)} <= {one.uuid for one in rounds[-1].changes}
        if verb == "calibrate" and not profile_path(her2, "lab-a").is_file():
            code, _, err = call("review", "calibrate", study, "--name", "lab-a")
            assert code == 0, err
        assert read_profile(profile_path(her2, "lab-a")).origin["labelled_by"]["Anna"] >= 120
        assert not [one for one in read_trail(signed_path(her2, "case.svs")).problems if "follow" in one]
    code, _, err = call("review", "collect", study, "--no-qupath", "--reviewer", "Anna")
    assert code == 0, err
    assert {one.uuid for one in known_changes(her2).changes} == {first.uuid(row) for row in given}
    assert kills >= 20


def test_no_result_is_half_there_when_a_profile_is_applied(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    study = tmp_path / "study"
    study.mkdir()
    write_field(study, "case01", score="1+", seed=5, side_px=360)
    her2 = study / "her2"
    images = [labelled_image(tmp_path / "other" / "her2", f"{n}_case", scale=1.8) for n in (1, 2, 3)]
    write_labels(tmp_path / "other" / "her2" / "review" / "labels" / "anna.csv", drawn_labels(images))
    code, _, err = call("review", "calibrate", tmp_path / "other", "--name", "lab-a")
    assert code == 0, err
    profile = profile_path(tmp_path / "other" / "her2", "lab-a")
    whole_s = timed("run", study, "--profile", profile)
    (ref,) = select_images(study)
    for number in range(10):
        name = ("none", profile)[number % 2]
        kill_after(rng.uniform(0.3, 1.1), whole_s, "run", study, "--profile", name, "--force")
        run = current_run(her2, ref.id)
        assert run is not None
        record, _, score = read_run(run)
        assert ("profile" in record.settings["used"]) == ("lab-a" in score.reason)
