"""UUIDs, fingerprints and input hashes."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from qupath_her2.errors import ExchangeError
from qupath_her2.provenance import (
    are_ours,
    canonical_geometry,
    image_fingerprint,
    input_hash,
    is_made_region,
    is_ours,
    object_uuids,
    run_key,
    run_key_of,
    sha256_file,
)
from qupath_her2.records import PROPOSED_CLASS, CaseInfo, Region

HASH = "0123456789abcdef" * 4
SQUARE = shapely.box(10, 10, 110, 110)


def region(shape=SQUARE, **changes) -> Region:
    return replace(Region(UUID(int=7), shape, "tumour", "Tumor"), **changes)


def hashed(*regions: Region, **changes) -> str:
    inputs = {"image_fingerprint": "f", "pixel_size_um": 0.25, "stains": None, "settings": {"a": 1}}
    return input_hash(regions, **{**inputs, **changes})


@given(st.text("0123456789abcdef", min_size=64, max_size=64), st.integers(0, 2**32 - 3))
def test_uuids_are_version_8_and_contain_the_run_key(run_hash: str, start: int) -> None:
    uuids = [UUID(bytes=row.tobytes()) for row in object_uuids(run_hash, 3, start=start)]
    assert len(set(uuids)) == 3
    for number, uuid in enumerate(uuids, start):
        assert uuid.version == 8
        assert uuid.variant == "specified in RFC 4122"
        assert uuid.bytes[:6] == b"QPHER2"
        assert int.from_bytes(uuid.bytes[12:], "big") == number
        assert run_key_of(uuid) == run_key(run_hash)
        # the first 42 bits of the hash, counted independently of the packing
        assert int(run_key_of(uuid), 16) == int(run_hash, 16) >> (256 - 42)


def test_uuids_of_other_programs_are_not_ours() -> None:
    mine = object_uuids(HASH, 1)
    assert are_ours(mine).all()
    wrong_version, wrong_variant = mine.copy(), mine.copy()
    wrong_version[0, 6] = 0x41
    wrong_variant[0, 8] ^= 0x80
    both = np.concatenate([wrong_version, wrong_variant])
    assert not are_ours(both).any()
    for data in (*both, np.frombuffer(uuid4().bytes, np.uint8)):
        assert not is_ours(UUID(bytes=data.tobytes()))
        assert run_key_of(UUID(bytes=data.tobytes())) is None


def test_a_million_uuids_in_well_under_a_second() -> None:
    object_uuids(HASH, 10)
    started = time.perf_counter()
    uuids = object_uuids(HASH, 1_000_000)
    assert (
        time.perf_counter() - started < 5
    )  # a loop over UUID objects takes longer than this on a slow machine
    assert uuids.shape == (1_000_000, 16)
    assert len(np.unique(uuids[:, 12:].copy().view(">u4"))) == 1_000_000


@pytest.mark.parametrize(("n", "start"), [(-1, 0), (2, 2**32 - 1)])
def test_too_many_objects_are_refused(n: int, start: int) -> None:
    with pytest.raises(ExchangeError, match="at most"):
        object_uuids(HASH, n, start=start)


def test_a_run_hash_must_be_hexadecimal() -> None:
    with pytest.raises(ExchangeError, match="not hexadecimal"):
        run_key("run seven")


@given(st.integers(0, 4), st.booleans())
def test_canonical_geometry_ignores_start_and_direction(shift: int, turn: bool) -> None:
    ring = [(0.0, 0.0), (50.0, 0.0), (60.004, 40.0), (20.0, 70.0), (-0.0, 30.0)]
    other = ring[shift:] + ring[:shift]
    other = other[::-1] if turn else other
    assert canonical_geometry(shapely.Polygon(ring)) == canonical_geometry(shapely.Polygon(other))


def test_canonical_geometry_sees_a_moved_vertex_and_a_hole() -> None:
    hole = shapely.box(40, 40, 60, 60)
    shapes = [SQUARE, shapely.box(10, 10, 110, 110.01), SQUARE.difference(hole)]
    assert len({canonical_geometry(shape) for shape in shapes}) == 3


def test_input_hash_ignores_order_names_and_our_own_objects() -> None:
    one, two = region(), region(shapely.box(0, 0, 5, 5), uuid=UUID(int=8))
    own = region(uuid=UUID(bytes=object_uuids(HASH, 1)[0].tobytes()), class_name=None)
    proposed = replace(own, class_name=PROPOSED_CLASS)
    assert hashed(one, two) == hashed(two, one) == hashed(two, one, own) == hashed(two, one, proposed)
    assert hashed(replace(one, name="my favourite"), two) == hashed(one, two)


def test_a_proposal_that_a_person_accepted_is_an_input() -> None:
    accepted = region(uuid=UUID(bytes=object_uuids(HASH, 1)[0].tobytes()))
    assert accepted.class_name == "Tumor"
    assert not is_made_region(accepted)
    assert hashed(region(), accepted) != hashed(region())


def test_input_hash_sees_every_input() -> None:
    base = hashed(region())
    others = [
        hashed(region(shapely.box(10, 10, 111, 110))),
        hashed(region(class_name="Tumour")),
        hashed(region(is_locked=True)),
        hashed(region(), region(uuid=UUID(int=9))),
        hashed(region(), pixel_size_um=0.5),
        hashed(region(), stains=np.eye(3)),
        hashed(region(), image_fingerprint="g"),
        hashed(region(), settings={"a": 2}),
        hashed(region(), weights={"m": "ff"}),
        hashed(region(), case=CaseInfo(site="gastric")),
        hashed(region(), existing_cells="ab"),
        hashed(region(), version="9.9"),
    ]
    assert len({base, *others}) == len(others) + 1
    assert hashed(region(), settings={"b": 2, "a": 1}) == hashed(region(), settings={"a": 1, "b": 2})


def test_fingerprint_follows_content_not_name(tmp_path: Path) -> None:
    first, copy = tmp_path / "a.png", tmp_path / "b.png"
    first.write_bytes(b"pixels")
    copy.write_bytes(b"pixels")
    assert image_fingerprint(first) == image_fingerprint(copy)
    copy.write_bytes(b"pixelt")
    assert image_fingerprint(first) != image_fingerprint(copy)


@pytest.mark.parametrize("size", [1, 100, 70_000, 3_000_000])
def test_fingerprints_see_every_kind_of_change(tmp_path: Path, size: int) -> None:
    content = bytearray(np.random.default_rng(1).bytes(size))
    path = tmp_path / "slide.bin"
    path.write_bytes(content)
    original = image_fingerprint(path)
    copy = tmp_path / "copy.bin"
    copy.write_bytes(content)
    assert image_fingerprint(copy) == original
    for at in {0, size - 1, size // 2 if size < 2**20 else 65_000}:
        changed = bytearray(content)
        changed[at] ^= 1
        path.write_bytes(changed)
        assert image_fingerprint(path) != original, at
    path.write_bytes(content + b"\0")
    assert image_fingerprint(path) != original


def test_fingerprint_of_a_large_file_sees_head_and_tail(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    prints = set()
    for head, tail in ((b"a", b"z"), (b"b", b"z"), (b"a", b"y")):
        with path.open("wb") as file:
            file.write(head)
            file.seek(70 << 20)  # sparse
            file.write(tail)
        prints.add(image_fingerprint(path))
    assert len(prints) == 3


def test_sha256_file_agrees_with_the_standard_vector(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")  # FIPS 180-4 example
    assert sha256_file(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
