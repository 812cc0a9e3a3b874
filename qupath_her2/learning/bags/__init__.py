"""Bags: the features of all patches of a slide, and networks that learn from the label of the slide alone."""
