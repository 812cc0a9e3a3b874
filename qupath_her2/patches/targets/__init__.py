"""Targets: the class of every pixel of a window, from masks, annotations, cells or drawn truth."""
