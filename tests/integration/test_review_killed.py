"""Fifty real kills in collecting, calibrating, signing and scoring with a profile: no correction is lost.

Each is certain: the process kills itself at a chosen change of the disk. A few more come at a random moment, also while
a file is being written.
"""

from __future__ import annotations

import random
import sys
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
from tests.helpers.killed_command import count_steps, kill_at_step
from tests.helpers.labelled_project import drawn_labels, labelled_image, write_labels
from tests.unit.cli.commands import call, start

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="NOT TESTED: processes cannot kill themselves there"),
]

SEED = 20_261


COLLECT = ("--no-qupath", "--reviewer", "Anna")


def kill_after(seconds: float, *command: object) -> None:
    """Start a command and kill it after some time; it may be done by then."""
    process = start(*command)
    time.sleep(seconds)
    process.kill()
    process.communicate()


def test_no_correction_is_lost_in_collecting_calibrating_and_signing(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    her2 = tmp_path / "study" / "her2"
    images = [labelled_image(her2, f"{n}_case", scale=1.8) for n in (1, 2, 3, 4)]
    first = images[0][0]
    write_labels(her2 / "review" / "labels" / "anna.csv", drawn_labels(images[1:]))
    study = her2.parent
    commands = {
        "collect": COLLECT,
        "calibrate": ("--name", "lab-a"),
        "sign": ("case.svs", "--state", "draft", "--reviewer", "Anna"),
    }
    first.correct({0: "Tumor: 3+"})
    # The first collection also keeps the regions as they were scored.
    code, _, err = call("review", "collect", study, *COLLECT)
    assert code == 0, err
    first.correct({0: "Tumor: 3+"}, shift={0: 0.9})
    steps = {verb: count_steps(study, "review", verb, study, *more) for verb, more in commands.items()}
    assert min(steps.values()) >= 3, steps
    signed = 1
    for number in range(40):
        verb = rng.choice(list(commands))
        given = {0: "Tumor: 3+", **dict.fromkeys(range(1, 2 + number // 2), "Tumor: 2+")}
        # Every collection has something new.
        first.correct(given, shift={0: float(1 + number)})
        if verb == "calibrate":
            profile_path(her2, "lab-a").unlink()
        kill_at_step(study, rng.randrange(steps[verb]), "review", verb, study, *commands[verb])
        rounds, problems = read_rounds(her2)
        assert problems == []
        assert {first.uuid(0)} <= {one.uuid for one in rounds[-1].changes}
        if verb == "calibrate" and not profile_path(her2, "lab-a").is_file():
            code, _, err = call("review", "calibrate", study, "--name", "lab-a")
            assert code == 0, err
        assert read_profile(profile_path(her2, "lab-a")).origin["labelled_by"]["Anna"] >= 120
        trail = read_trail(signed_path(her2, "case.svs"))
        assert not trail.problems
        assert signed <= len(trail.steps) <= signed + (verb == "sign")
        signed = len(trail.steps)
    code, _, err = call("review", "collect", study, *COLLECT)
    assert code == 0, err
    labels = [one for one in known_changes(her2).changes if one.aspect == "label"]
    assert {one.uuid for one in labels} == {first.uuid(row) for row in given}


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
    begin = time.monotonic()
    steps = count_steps(her2, "run", study, "--profile", profile, "--workers", 1)
    whole_s = time.monotonic() - begin
    (ref,) = select_images(study)
    for number in range(14):
        name = ("none", profile)[number % 2]
        command = ("run", study, "--profile", name, "--force", "--workers", 1)
        if number < 10:
            kill_at_step(her2, rng.randrange(steps), *command)
        else:
            kill_after(rng.uniform(0.3, 1.1) * whole_s, *command)
        run = current_run(her2, ref.id)
        assert run is not None
        record, _, score = read_run(run)
        assert ("profile" in record.settings["used"]) == ("lab-a" in score.reason)
