"""Geometries of region files, plain and hostile: spikes, crossings, holes anywhere, thousands of parts."""

from __future__ import annotations

import math
import random
from typing import Any

__all__ = ["SIDE_PX", "draw_geometry"]

#: Width and height of the image that the files belong to.
SIDE_PX = 3000

_Ring = list[list[float]]


def _square(x: float, y: float, side: float) -> _Ring:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


def _corner(rng: random.Random, most: float = 2000.0) -> tuple[float, float]:
    return rng.uniform(0, most), rng.uniform(0, most)


def _random_ring(rng: random.Random, n: int) -> _Ring:
    ring = [list(_corner(rng)) for _ in range(n)]
    return [*ring, ring[0]]


def _walk(rng: random.Random, n: int) -> _Ring:
    x, y = _corner(rng)
    ring = []
    for _ in range(n):
        x, y = x + rng.gauss(0, 5), y + rng.gauss(0, 5)
        ring.append([x, y])
    return [*ring, ring[0]]


def _star(rng: random.Random, n: int) -> _Ring:
    """A star polygon that winds half of `n` times around its centre."""
    x, y = _corner(rng)
    turn = 2 * math.pi * (n // 2) / n
    ring = [[x + 400 * math.cos(i * turn), y + 400 * math.sin(i * turn)] for i in range(n)]
    return [*ring, ring[0]]


def _spikes(rng: random.Random, n: int) -> _Ring:
    x, y = _corner(rng, 100)
    points = [[x, y]]
    for i in range(n):
        points += [[x + i, y], [x + i, y + rng.uniform(1, 500)], [x + i, y]]
    return [*points, [x + n, y], [x + n, y - 50], [x, y - 50], [x, y]]


def _comb(rng: random.Random, n: int) -> _Ring:
    first = [[float(i), float(i % 2 * 1000)] for i in range(n)]
    back = [[n - i + 0.5, i % 2 * 1000 + rng.uniform(200, 400)] for i in range(n)]
    return [*first, *back, first[0]]


def _huge(rng: random.Random) -> _Ring:
    ring = _square(*_corner(rng), 100.0)
    ring[rng.randrange(5)][rng.randrange(2)] = rng.choice(
        (1e308, -1e308, 1e9, 1e10, 2.0**60, 5e-324, float("nan"))
    )
    return ring


def _doubled(rng: random.Random) -> _Ring:
    return [point for point in _walk(rng, 30) for _ in range(rng.choice((1, 2, 50)))]


def _ring(rng: random.Random) -> _Ring:
    # Most sizes stay small: the large ones are what takes time.
    n = rng.choice((3, 4, 5, 8, 20, 50, 120, 300, 1000))
    make = rng.choice((_square, _square, _random_ring, _walk, _star, _spikes, _comb, _huge, _doubled))
    if make is _square:
        ring = _square(*_corner(rng), rng.choice((0.0, 0.01, 1.0, 50.0, 800.0, 5000.0)))
    else:
        ring = make(rng) if make in (_huge, _doubled) else make(rng, n)
    odd = rng.random()
    if odd < 0.05:
        return ring[:-1]
    if odd < 0.08:
        return ring[:-1] * rng.choice((2, 60)) + ring[-1:]
    if odd < 0.1:
        return [[*point, rng.choice((0.0, 0.0, 5.0))] for point in ring]
    if odd < 0.12:
        return ring[::-1]
    return ring


def _polygon(rng: random.Random) -> list[_Ring]:
    rings = [_ring(rng)]
    holes = rng.choice((0, 0, 0, 0, 1, 2, 10, 1000))
    kind = rng.choice(("drawn", "same", "equal", "grid", "inside"))
    if kind == "drawn" and holes <= 10:
        rings += [_ring(rng) for _ in range(holes)]
    elif kind == "same":
        rings += [_square(10, 10, 50)] * holes
    elif kind == "equal":
        rings += [rings[0]] * min(holes, 3)
    elif kind == "grid":
        rings += [_square(20.0 * (i % 40), 20.0 * (i // 40), 10) for i in range(holes)]
    else:
        rings += [_square(*_corner(rng, 700), 200.0) for _ in range(holes)]
    return rings


def draw_geometry(rng: random.Random, depth: int = 0) -> Any:
    """Return a geometry as JSON has it, valid or not."""
    kind = rng.choice(
        ("Polygon",) * 6 + ("MultiPolygon",) * 3 + ("Point", "LineString", "GeometryCollection", "none")
    )
    if kind == "Polygon":
        return {"type": kind, "coordinates": _polygon(rng)}
    if kind == "MultiPolygon":
        n = rng.choice((0, 1, 2, 3, 500))
        if n == 500:
            side = rng.choice((5.0, 20.0, 300.0))
            corner = rng.choice((lambda i: (20.0 * (i % 25), 20.0 * (i // 25)), lambda _: _corner(rng, 700)))
            end = rng.choice((None, None, -1))
            return {"type": kind, "coordinates": [[_square(*corner(i), side)[:end]] for i in range(n)]}
        return {"type": kind, "coordinates": [_polygon(rng) for _ in range(n)]}
    if kind == "GeometryCollection":
        members = [draw_geometry(rng, depth + 1) for _ in range(rng.choice((0, 1, 3)) if depth < 4 else 0)]
        return {"type": kind, "geometries": members}
    if kind == "none":
        return rng.choice(
            (None, {}, {"type": "Polygon"}, {"type": "Circle", "coordinates": [5, 5]}, [], "POLYGON")
        )
    points = [list(_corner(rng)) for _ in range(3)]
    return {"type": kind, "coordinates": points[0] if kind == "Point" else points}
