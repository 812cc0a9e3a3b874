"""Cells and their membranes: detection, outlines, measurements, and what must not be measured."""
