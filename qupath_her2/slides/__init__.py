"""Pixels with a physical scale: readers, tissue, stains."""
