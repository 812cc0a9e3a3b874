"""Helpers shared by tests; nothing here ships."""
