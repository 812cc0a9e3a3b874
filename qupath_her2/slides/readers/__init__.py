"""Readers of whole slide images and flat images, all in level-0 pixels."""
