"""ROOM 10: what people read and correct comes back: agreement, rounds of corrections, queues of cells, calibration."""
