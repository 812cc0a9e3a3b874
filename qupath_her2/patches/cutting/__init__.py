"""Patch extraction: positions, labels and drop rules, for one image and for a whole source."""
