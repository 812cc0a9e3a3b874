"""Inference: predicting patches, calibrating probabilities, Grad-CAM."""
