"""``run.json``: round trip, and damage named by field."""

from __future__ import annotations

from uuid import UUID

import pytest

from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.run_record import RunRecord
from qupath_her2.provenance import run_key
from qupath_her2.records import QuarantinedFeature

HASH = "0123456789abcdef" * 4


def record() -> RunRecord:
    return RunRecord(
        run=run_key(HASH),
        input_hash=HASH,
        image={"name": "Fall 7 ä.svs", "width": 100},
        command=("qupath-her2", "run", "."),
        settings={"scoring": {"guideline": "breast"}},
        timings_s={"cells": 1.5},
        warnings=("pixels over 0.45 µm",),
        regions=({"uuid": str(UUID(int=7)), "name": None, "class": "Tumor", "area_um2": 2.5},),
        cells={"measurements": ["HER2: Membrane completeness"], "classes": ["Tumor: 3+"]},
        quarantined=(QuarantinedFeature(3, None, "is empty"),),
    )


def test_run_record_round_trip() -> None:
    data = record().to_json()
    assert RunRecord.from_json(data) == record()
    assert RunRecord.from_json(data).to_json() == data
    keys = [line.split(b'"')[1] for line in data.splitlines() if line.startswith(b'  "')]
    assert keys == sorted(keys)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"format": 1', b'"format": 2', "format 2"),
        (b'"run":', b'"rum":', "lacks run"),
        (b'"name": "Fall', b'"nome": "Fall', "image.name"),
        (b'"device": "cpu"', b'"device": 4', "'device'"),
        (b'"index": 3', b'"place": 3', "quarantined"),
        (b'"warnings": [', b'"warnings": {', "not JSON"),
    ],
)
def test_damaged_run_record_says_what_is_wrong(old: bytes, new: bytes, message: str) -> None:
    data = record().to_json()
    assert old in data
    with pytest.raises(ExchangeError, match=message):
        RunRecord.from_json(data.replace(old, new))
