"""Segmentation of whole slides, in bounded memory and without seams."""
