"""Decision tables as JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from qupath_her2.errors import OutputError, SettingsError
from qupath_her2.scoring.indicators.ranges import PUBLISHED, FittedOn
from qupath_her2.scoring.indicators.ranges_file import load_ranges, save_ranges

OURS = replace(
    PUBLISHED,
    name="ours",
    tested=38,
    right=31,
    fitted_on=FittedOn(("aperio SS1", ""), ("HER2",), (0.25, 0.5), "regions", "ab" * 32, ("one", "two")),
)


@pytest.mark.parametrize("ranges", [PUBLISHED, OURS])
def test_ranges_come_back_from_json(tmp_path, ranges):
    save_ranges(ranges, tmp_path / "new" / "ranges.json")
    assert load_ranges(tmp_path / "new" / "ranges.json") == ranges


@pytest.mark.parametrize(
    "change",
    [{"format": 1}, {"scores": ["0"]}, {"ranges": {}}, {"ranges": [1]}, {"n_cases": None}, {"fitted_on": {}},
     {"ranges": {"intensity": [[0.2, 0.1]] * 4}}],
)  # fmt: skip
def test_damaged_ranges_are_refused(tmp_path, change):
    path = tmp_path / "ranges.json"
    save_ranges(OURS, path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(SettingsError):
        load_ranges(path)


def test_missing_files_are_reported_with_the_way_out(tmp_path):
    with pytest.raises(SettingsError, match=r"Cannot read.*qupath-her2 indicators fit FOLDER"):
        load_ranges(tmp_path / "none.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="Cannot write"):
        save_ranges(PUBLISHED, tmp_path / "file" / "ranges.json")
