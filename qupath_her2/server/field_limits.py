"""The largest field that a caller waits for."""

from __future__ import annotations

__all__ = ["MOST_AREA_PX2", "too_large"]

#: Larger areas take seconds: they are a job. groovy/lib/Her2Service.groovy has the same number.
MOST_AREA_PX2 = 25_000_000


def too_large(area_px2: float) -> str:
    """Return the sentence on a field that is too large."""
    return f"The field has {area_px2 / 1e6:.0f} megapixels."
