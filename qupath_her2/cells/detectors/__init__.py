"""Nucleus detectors of other packages: StarDist, InstanSeg, Cellpose, and any plug-in."""
