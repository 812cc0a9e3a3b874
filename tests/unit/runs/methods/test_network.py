from __future__ import annotations

from pathlib import Path

import pytest

from qupath_her2.runs.methods.bags import BagsMethod
from qupath_her2.runs.methods.network import NetworkMethod
from qupath_her2.runs.methods.patches import PatchesMethod


@pytest.mark.parametrize(
    "method", [PatchesMethod(Path("net/best")), BagsMethod(Path("net/best"), Path("features"))]
)
def test_networks_are_recorded_alike_and_count_no_cells(method: NetworkMethod) -> None:
    assert method.record(0.5) == {"method": "network", "network": Path("net/best"), "cells": "detect"}
    assert not method.is_ihc_only
    assert not method.pools_stains
    assert not method.uses_existing_cells
    assert not method.counts_cells
    assert method.tumour_search == "never"
    assert method.scale_refusal("case.svs", 0.5, None) is None
