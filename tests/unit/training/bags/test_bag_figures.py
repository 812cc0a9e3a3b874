"""Drawn cohorts whose label depends on a few patches: attention finds them, a mean does not, shuffled labels nobody."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")
pytest.importorskip("h5py", reason="feature files are NOT TESTED: pip install 'qupath-her2[learn]'")

from qupath_her2.config import Settings
from qupath_her2.models.bag_settings import BagNetworkSettings, BagTrainSettings
from qupath_her2.models.settings import PredictSettings
from qupath_her2.patches.splits import split_by_case
from qupath_her2.recipes import BAG_RECIPES
from qupath_her2.training.bags.bag_figures import cross_validate_bags, train_one_split
from qupath_her2.training.bags.bag_job import BagJob
from tests.helpers.drawn_bags import draw_cohort

SETTINGS = Settings(
    bags=BagTrainSettings(
        BagNetworkSettings(hidden=32, attention=16),
        epochs=30,
        least_epochs=15,
        patience=8,
        learning_rate=2e-3,
    ),
    predict=PredictSettings(device="cpu"),
)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> BagJob:
    folder = tmp_path_factory.mktemp("cohort")
    manifest, paths = draw_cohort(folder / "features", cases=60, n_patches=40)
    return BagJob(manifest, paths, BAG_RECIPES["clam-sb"], SETTINGS, "clam-sb", folder / "net")


def area(job: BagJob, model: str, out: Path, *, is_control: bool = False) -> float:
    done = cross_validate_bags(replace(job, model=model, out=out, is_control=is_control), 4)
    return done.intervals["AUC positive (DeLong)"].value


@pytest.mark.slow
@pytest.mark.parametrize("model", ["clam-sb", "clam-mb", "dtfd-afs"])
def test_attention_finds_the_few_patches(cohort: BagJob, model: str, tmp_path: Path) -> None:
    assert area(cohort, model, tmp_path) >= 0.9


def test_a_mean_does_not(cohort: BagJob, tmp_path: Path) -> None:
    assert area(cohort, "mean-pool", tmp_path) < 0.75


@pytest.mark.parametrize("model", ["clam-sb", "dtfd-afs"])
def test_shuffled_labels_teach_nothing(cohort: BagJob, model: str, tmp_path: Path) -> None:
    # 60 slides: three standard errors of an area at chance are 0.22.
    assert abs(area(cohort, model, tmp_path, is_control=True) - 0.5) < 0.25


def test_folds_are_written_and_a_killed_run_ends_at_the_same_numbers(cohort: BagJob, tmp_path: Path) -> None:
    few = replace(cohort.settings.bags, epochs=3)
    job = replace(cohort, settings=replace(SETTINGS, bags=few), out=tmp_path / "whole")
    whole = cross_validate_bags(job, 3)

    def kill(number: int) -> None:
        if number == 3:
            raise KeyboardInterrupt

    killed = replace(job, out=tmp_path / "killed")
    with pytest.raises(KeyboardInterrupt):
        cross_validate_bags(killed, 3, on_fold=kill)
    again = cross_validate_bags(killed, 3)
    assert [one.was_there for one in again.predictions] == [True, True, False]
    for one, other in zip(whole.predictions, again.predictions, strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)
    for name in ("folds.csv", "predictions.csv", "folds.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()
    lines = (tmp_path / "whole" / "predictions.csv").read_text(encoding="utf-8-sig").splitlines()
    assert lines[0].replace(";", ",") == "image,case,fold,truth,answer,negative,positive"
    assert len(lines) == 61


def test_one_split_has_figures_and_none_without_test_slides(cohort: BagJob, tmp_path: Path) -> None:
    few = replace(SETTINGS, bags=replace(SETTINGS.bags, epochs=2))
    job = replace(
        cohort, settings=few, out=tmp_path / "a", manifest=split_by_case(cohort.manifest, (0.6, 0.2, 0.2))
    )
    done = train_one_split(job)
    assert done is not None
    assert done.folds == ()
    assert done.parts[0].n == 12
    content = json.loads((tmp_path / "a" / "folds.json").read_text())
    assert set(content["intervals"]) >= {"macro AUC (bootstrap)", "AUC positive (DeLong)"}
    untested = split_by_case(cohort.manifest, (0.8, 0.2, 0.0))
    assert train_one_split(replace(job, manifest=untested, out=tmp_path / "b")) is None
