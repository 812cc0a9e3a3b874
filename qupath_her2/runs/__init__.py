"""ROOM 8: runs, from one image to one finished run."""
