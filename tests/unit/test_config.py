from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qupath_her2.config import Settings, load_settings, settings_as_dict
from qupath_her2.errors import SettingsError
from tests.fuzz import settings as fuzzed_settings
from tests.fuzz.report import run_check


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "her2.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_no_file_gives_the_defaults() -> None:
    assert load_settings() == Settings()


def test_file_changes_what_it_names(tmp_path: Path) -> None:
    path = write(tmp_path, '[scoring]\nmin_cells = 50\n[regions]\ntumour = ["Tumor", "Invasief"]\n')
    settings = load_settings(path)
    assert settings.scoring.min_cells == 50
    assert settings.regions.tumour == ("Tumor", "Invasief")
    assert settings.cells == Settings().cells


def test_flags_override_the_file_and_none_changes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, '[scoring]\nguideline = "breast-2013"\nmin_cells = 50\n')
    assert load_settings(path, {"scoring": {"guideline": "csco-2021"}}).scoring.guideline == "csco-2021"
    assert load_settings(path, {"scoring": {"guideline": None}}).scoring.guideline == "breast-2013"
    assert load_settings(path, {"scoring": {"guideline": "csco-2021"}}).scoring.min_cells == 50


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[scoring]\nmin_cels = 5\n", ["scoring.min_cels", "did you mean 'scoring.min_cells'", "her2.toml"]),
        ("[scorin]\n", ["'scorin'", "did you mean 'scoring'"]),
        ("[scoring]\nzzzzzz = 5\n", ["scoring.zzzzzz", "known settings: ", "min_cells"]),
        ('[scoring]\nmin_cells = "5"\n', ["scoring.min_cells is '5'", "a whole number, 1 to"]),
        ("[scoring]\nmin_cells = 0\n", ["scoring.min_cells is 0", "1 to 1,000,000"]),
        (
            "[scoring]\nnoise_floor = nan\n",
            ["Invalid settings in", "her2.toml", "scoring.noise_floor is nan", "0 to 0.05"],
        ),
        ("scoring = 5\n", ["scoring"]),
        ("[scoring\n", ["not valid TOML"]),
        ("[regions]\ntumour = [5]\n", ["regions.tumour"]),
    ],
)
def test_mistakes_say_where_and_what(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(write(tmp_path, text))
    for word in words:
        assert word in str(caught.value)


def test_a_wrong_flag_is_not_blamed_on_the_file_alone(tmp_path: Path) -> None:
    path = write(tmp_path, "[scoring]\nmin_cells = 50\n")
    with pytest.raises(
        SettingsError, match=r"Invalid settings in '.*her2.toml' and the flags: .*min_cells is 0"
    ):
        load_settings(path, {"scoring": {"min_cells": 0}})
    path = write(tmp_path, "[scoring]\nmin_cells = 0\n")
    with pytest.raises(SettingsError, match=r"Invalid settings in '.*her2.toml': "):
        load_settings(path, {"scoring": {"guideline": None}, "patches": {}})


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path / "none.toml")
    path = tmp_path / "her2.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="not valid TOML"):
        load_settings(path)


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "her2.toml"
    path.write_bytes(b"\xef\xbb\xbf[scoring]\nmin_cells = 7\n")
    assert load_settings(path).scoring.min_cells == 7


def test_stain_vectors_of_the_user(tmp_path: Path) -> None:
    path = write(tmp_path, "[stain_vectors]\nhematoxylin = [0.65, 0.7, 0.29]\ndab = [0.27, 0.57, 0.78]\n")
    vectors = load_settings(path).stain_vectors
    assert vectors is not None
    assert vectors.source == "user"
    assert sum(value**2 for value in vectors.dab) == pytest.approx(1)
    with pytest.raises(SettingsError, match="dab"):
        load_settings(write(tmp_path, "[stain_vectors]\nhematoxylin = [1, 0, 0]\ndab = [0, 0, 0]\n"))


def test_every_default_survives_being_written_as_a_file() -> None:
    plain = settings_as_dict(Settings())
    assert set(plain) == {one.name for one in dataclasses.fields(Settings)}

    def without_none(value: object) -> object:
        if isinstance(value, dict):
            return {key: without_none(below) for key, below in value.items() if below is not None}
        return value

    assert load_settings(None, without_none(plain)) == Settings()  # type: ignore[arg-type]


@given(st.dictionaries(st.text(min_size=1, max_size=12), st.integers() | st.text(max_size=5), max_size=3))
def test_any_table_is_read_or_refused_in_words(table: dict[str, object]) -> None:
    known = {"min_cells", "guideline", "noise_floor", "cluster_distance_um", "cut_shift", "pool_regions"}
    if set(table) - known:
        with pytest.raises(SettingsError, match="Unknown setting"):
            load_settings(None, {"scoring": table})


def test_nonsense_in_each_key_is_refused_by_name_or_lies_in_range(tmp_path: Path) -> None:
    wrong = []
    for case in range(2 * len(fuzzed_settings.KEYS)):
        folder = tmp_path / str(case)
        folder.mkdir()
        kind = fuzzed_settings.draw(random.Random(case), folder)
        outcome = run_check(fuzzed_settings.check, folder)
        if outcome.losses or outcome.verdict == "traceback":
            wrong.append((kind, outcome.losses, outcome.detail))
    assert wrong == []


@pytest.mark.parametrize("text", ["x = " + "[" * 5000, "[scoring]\nmin_cells = " + "9" * 5000])
def test_text_that_no_parser_takes_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match="thousands of digits or thousands of nested brackets"):
        load_settings(write(tmp_path, text))


def test_dates_and_integers_beyond_json_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"scoring\.min_cells is datetime\.date\(2026, 1, 1\); it must be a whole"
    ):
        load_settings(write(tmp_path, "[scoring]\nmin_cells = 2026-01-01\n"))
    with pytest.raises(SettingsError, match="min_cells is an integer of 333 bits"):
        load_settings(None, {"scoring": {"min_cells": 10**100}})
    with pytest.raises(SettingsError, match="guideline is"):
        load_settings(None, {"scoring": {"guideline": "\udcff"}})
