from __future__ import annotations

import numpy as np

from qupath_her2.cells.membrane.half_precision import from_half, to_half


def test_every_finite_half_is_widened_as_by_numpy() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)].reshape(-1, 31)
    assert (from_half(halves) == halves.astype(np.float32)).all()
    assert (np.signbit(from_half(halves)) == np.signbit(halves)).all()


def test_numbers_are_rounded_as_by_numpy() -> None:
    rng = np.random.default_rng(6)
    drawn = (rng.normal(size=(500, 40)) * 10.0 ** rng.uniform(-9, 4, (500, 40))).astype(np.float32)
    halves = np.arange(0x7BFF, dtype=np.uint16).view(np.float16).astype(np.float32)
    # Half-way between neighbours, which goes to the even one.
    middle = (halves[:-1] + halves[1:]) / 2
    for values in (drawn, halves, -halves, middle, -middle):
        assert (to_half(values).view(np.uint16) == values.astype(np.float16).view(np.uint16)).all()


def test_shape_and_order_are_kept() -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1)
    assert (to_half(values) == values).all()
    assert (from_half(to_half(values)) == values).all()
