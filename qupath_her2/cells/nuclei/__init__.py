"""Nuclei: seeds, contours, candidates, suppression, and the detectors built from them."""
