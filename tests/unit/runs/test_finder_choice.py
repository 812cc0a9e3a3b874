"""Which finder a run uses, by name or file, and what its results say of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qupath_her2.cells.tumour.finder_file import TumourFinder, finder_path, write_finder
from qupath_her2.cells.tumour.search import FindTumourSettings
from qupath_her2.config import Settings
from qupath_her2.errors import SettingsError
from qupath_her2.runs.finder_choice import (
    finder_digest,
    finder_note,
    finder_trees,
    with_chosen_finder,
    with_finder_file,
)
from qupath_her2.runs.plan import find_settings
from tests.helpers.small_finder import small_finder


def asked(name):
    return replace(Settings(), find_tumour=FindTumourSettings(finder=name))


def finder(her2, name="lab-a", cases=("K-01", "K-02")):
    return write_finder(finder_path(her2, name), TumourFinder(name, small_finder(), {"cases": list(cases)}))


def test_the_package_has_its_own(tmp_path):
    settings = with_chosen_finder(Settings(), (tmp_path,))
    assert settings == Settings()
    assert (finder_trees(settings), finder_digest(settings), finder_note(settings)) == (None, {}, [])


def test_a_name_is_looked_for_in_the_exchange_folders_in_turn(tmp_path):
    finder(tmp_path / "project" / "her2")
    settings = with_chosen_finder(asked("lab-a"), (tmp_path / "out", tmp_path / "project" / "her2"))
    assert settings.find_tumour.finder == str(finder_path(tmp_path / "project" / "her2", "lab-a").absolute())
    trees = finder_trees(settings)
    assert trees is not None
    assert set(trees) == {"first", "second"}
    assert finder_digest(settings) == {"finder": TumourFinder("x", small_finder()).digest}
    assert finder_note(settings) == [
        "Tumour was searched for by the finder lab-a, which learned from 2 reviewed cases."
    ]


def test_a_file_beside_the_settings_is_found_from_anywhere(tmp_path, monkeypatch):
    path = finder(tmp_path / "finders" / "..", cases=["K-01"])
    (tmp_path / "her2.toml").write_text('find_tumour.finder = "finders/lab-a.npz"\n', encoding="utf-8")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    settings = with_chosen_finder(find_settings(tmp_path), (tmp_path / "her2",))
    assert finder_note(settings)[0].endswith("from 1 reviewed case.")
    assert with_finder_file(asked("lab-a"), tmp_path).find_tumour.finder == "lab-a"
    assert with_finder_file(asked(str(path)), tmp_path).find_tumour.finder == str(path)


@pytest.mark.parametrize("name", ["lab-b", "../lab-a", "nowhere/lab-b.npz"])
def test_one_that_is_not_there_is_refused_with_those_that_are(tmp_path, name):
    with pytest.raises(SettingsError, match="There is none in"):
        with_chosen_finder(asked(name), (tmp_path / "her2",))
    finder(tmp_path / "her2")
    with pytest.raises(SettingsError, match=r"no tumour finder .* There are: lab-a\."):
        with_chosen_finder(asked(name), (tmp_path / "her2",))


def test_a_damaged_one_stops_the_run_before_it_begins(tmp_path):
    finder(tmp_path).write_bytes(b"torn")
    with pytest.raises(SettingsError, match="is damaged"):
        with_chosen_finder(asked("lab-a"), (tmp_path,))
