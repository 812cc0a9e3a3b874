"""One part of a training on bags: its files, its resumption, its refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")
pytest.importorskip("h5py", reason="feature files are NOT TESTED: pip install 'qupath-her2[learn]'")

from qupath_her2.config import Settings
from qupath_her2.errors import ModelError, TrainingError
from qupath_her2.learning.bags.bag_source import Bags
from qupath_her2.models.bag_checkpoint import load_bag_checkpoint
from qupath_her2.models.bag_settings import BagNetworkSettings, BagTrainSettings
from qupath_her2.models.settings import PredictSettings
from qupath_her2.patches.splits import split_by_case, split_by_patch
from qupath_her2.recipes import BAG_RECIPES
from qupath_her2.training.bags.bag_job import BagJob, check_no_leak, feature_paths, train_part
from tests.helpers.drawn_bags import draw_cohort

SETTINGS = Settings(
    bags=BagTrainSettings(
        BagNetworkSettings(hidden=16, attention=8), epochs=3, least_epochs=0, learning_rate=3e-3
    ),
    predict=PredictSettings(device="cpu"),
)


def job(folder: Path, **changed: Any) -> BagJob:
    manifest, paths = draw_cohort(folder / "features", cases=20)
    manifest = split_by_case(manifest, (0.6, 0.2, 0.2))
    return replace(
        BagJob(manifest, paths, BAG_RECIPES["clam-sb"], SETTINGS, "clam-sb", folder / "net"), **changed
    )


def test_a_part_is_trained_saved_and_read_back(tmp_path: Path) -> None:
    one = job(tmp_path)
    found = train_part(one, one.manifest, one.out, Bags(one.features))
    assert found.rows.tolist() == np.flatnonzero(one.manifest.split == 2).tolist()
    net, card = load_bag_checkpoint(one.out / "best")
    assert (card.recipe, card.options["encoder"], card.patch_size_px) == ("clam-sb", "drawn", 224)
    again = train_part(one, one.manifest, one.out, Bags(one.features))
    assert (found.was_there, again.was_there) == (False, True)
    np.testing.assert_array_equal(again.probabilities, found.probabilities)
    assert net.n_classes == 2
    # Another setting, or --restart, trains again; the same training ends at the same numbers.
    once_more = train_part(replace(one, resume=False), one.manifest, one.out, Bags(one.features))
    assert not once_more.was_there
    np.testing.assert_array_equal(once_more.probabilities, found.probabilities)
    longer = replace(one, settings=replace(SETTINGS, bags=replace(SETTINGS.bags, epochs=4)))
    assert not train_part(longer, one.manifest, one.out, Bags(one.features)).was_there


def test_a_patient_in_two_parts_is_caught(tmp_path: Path) -> None:
    one = job(tmp_path)
    images = tuple(replace(image, case=f"P{number // 2}") for number, image in enumerate(one.manifest.images))
    leaking = replace(one.manifest, images=images)
    with pytest.raises(TrainingError, match=r"has \d+ cases in more than one part: P\d.*Split by case"):
        train_part(one, leaking, one.out, Bags(one.features))
    # A split by patch says itself that it leaks.
    check_no_leak(split_by_patch(leaking), "The split")


def test_features_are_found_by_id_or_name_and_their_absence_named(tmp_path: Path) -> None:
    one = job(tmp_path)
    assert feature_paths(one.manifest, tmp_path / "features") == one.features
    renamed = tuple(replace(image, id=f"x{number}") for number, image in enumerate(one.manifest.images))
    assert feature_paths(replace(one.manifest, images=renamed), tmp_path / "features") == one.features
    one.features[3].unlink()
    with pytest.raises(
        ModelError, match=r"1 of 20 slides have no features in '.*': c003_0.svs. Embed them first"
    ):
        feature_paths(one.manifest, tmp_path / "features")


def test_features_of_a_file_that_changed_are_refused(tmp_path: Path) -> None:
    from qupath_her2.learning.bags.feature_files import read_features, write_features

    one = job(tmp_path)
    found = read_features(one.features[0])
    write_features(one.features[0], replace(found, info=replace(found.info, fingerprint="ab")))
    images = (replace(one.manifest.images[0], fingerprint="cd"), *one.manifest.images[1:])
    with pytest.raises(ModelError, match=r"are of another file than image 'c000_0\.svs' is now"):
        feature_paths(replace(one.manifest, images=images), tmp_path / "features")
