"""Cells and their membranes: detection, outlines, measurements, grading and quality checks."""
