"""ROOM 5: learning from labels and from drawn truth. torch is imported inside the functions that need it."""

from __future__ import annotations

from qupath_her2.learning.ring_fit import RingFitSettings, RingTruth, fit_rings

__all__ = ["RingFitSettings", "RingTruth", "fit_rings"]
