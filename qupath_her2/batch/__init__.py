"""ROOM 12: many images: one job per image, and the executors that launch jobs."""
