from __future__ import annotations

import pytest
import typer

from qupath_her2.cli.batch_options import parse_shard


def test_parts_of_a_batch() -> None:
    assert parse_shard(None) is None
    assert parse_shard("3/40") == (3, 40)
    assert parse_shard("1/1") == (1, 1)


@pytest.mark.parametrize("text", ["0/4", "5/4", "3", "a/b", "3/", "-1/4", "1/2/3"])
def test_what_is_no_part_is_wrong_usage(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="3/40"):
        parse_shard(text)
