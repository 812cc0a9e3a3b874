"""ROOM 9: what people look at: the table, the overlay, one HTML page. Research use only, and it says so."""

from __future__ import annotations

from qupath_her2.report.build import WrittenReport, write_report
from qupath_her2.report.pictures import draw_overlay
from qupath_her2.report.registration import registration_picture
from qupath_her2.report.tables import SummaryRow, summary_csv

__all__ = [
    "SummaryRow",
    "WrittenReport",
    "draw_overlay",
    "registration_picture",
    "summary_csv",
    "write_report",
]
