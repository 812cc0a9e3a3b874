"""Targets: the class of each pixel of a window, from masks, annotations, cells or synthetic ground truth."""
