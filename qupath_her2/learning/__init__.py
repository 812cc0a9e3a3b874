"""ROOM 5: learning from labels and from drawn truth: training, prediction, calibration, and looking at why.

Names are resolved on first use. torch is imported inside the functions that need it.
"""
