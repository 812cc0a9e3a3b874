"""ROOM 5: training, prediction, segmentation of slides, calibration, metrics and Grad-CAM.

torch is imported inside the functions that need it.
"""
