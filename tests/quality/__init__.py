"""Accuracy on freshly drawn fields and on real cores. Takes minutes, so it is not part of the ordinary tests."""
