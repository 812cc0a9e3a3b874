"""Accuracy on freshly drawn fields and on real cores; minutes, so outside the ordinary tests."""
