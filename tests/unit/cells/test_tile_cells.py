from __future__ import annotations

import numpy as np

from qupath_her2.cells.membrane.radial_profiles import RadialProfiles
from qupath_her2.cells.tile_cells import TileCells, join


def test_joined_cells_do_not_depend_on_the_parts(tile_cells) -> None:
    whole = tile_cells(3, 40)

    def part(chosen: np.ndarray) -> TileCells:
        def take(name: str) -> object:
            value = getattr(whole, name)
            if isinstance(value, RadialProfiles):
                return RadialProfiles(*(getattr(value, s)[chosen] for s in RadialProfiles.__slots__))
            return value[chosen]

        return TileCells(**{name: take(name) for name in TileCells.__slots__})

    order = np.random.default_rng(3).permutation(40)
    one, two = join([whole]), join([part(order[:11]), TileCells.none(), part(order[11:])])
    assert (np.diff(one.centre_xy[:, 1]) >= 0).all()
    for name in ("centre_xy", "cell_xy", "features", "region", "ridge_share"):
        assert (getattr(one, name) == getattr(two, name)).all()
    assert (one.profiles.peak_od == two.profiles.peak_od).all()
    assert len(join([])) == 0
