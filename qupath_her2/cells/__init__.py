"""Cells and their membranes: detection, outlines, measurements, and what must not be measured."""

from __future__ import annotations

from qupath_her2.cells.detection import CellDetector, ClassicalDetector, DetectionSettings, Nuclei, Tile
from qupath_her2.cells.grading import Estimates, GradingSettings, grade
from qupath_her2.cells.grid import GridSettings
from qupath_her2.cells.measure import CellSettings, MeasuredCells, Progress, measure_cells
from qupath_her2.cells.membrane import MEASUREMENT_NAMES, stored_estimates
from qupath_her2.cells.network_cells import ClassMap, NetworkCellSettings
from qupath_her2.cells.outlines import OutlineSettings
from qupath_her2.cells.planes import PlaneSettings
from qupath_her2.cells.quality import QualitySettings
from qupath_her2.cells.sectors import SectorSettings

__all__ = [
    "MEASUREMENT_NAMES",
    "CellDetector",
    "CellSettings",
    "ClassMap",
    "ClassicalDetector",
    "DetectionSettings",
    "Estimates",
    "GradingSettings",
    "GridSettings",
    "MeasuredCells",
    "NetworkCellSettings",
    "Nuclei",
    "OutlineSettings",
    "PlaneSettings",
    "Progress",
    "QualitySettings",
    "SectorSettings",
    "Tile",
    "grade",
    "measure_cells",
    "stored_estimates",
]
