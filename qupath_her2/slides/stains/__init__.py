"""Stain vectors, optical density, stain estimation and stain normalisation."""
