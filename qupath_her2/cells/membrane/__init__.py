"""Membranes: cell outlines, radial profiles, the membrane network, grading."""
