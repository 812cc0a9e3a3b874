"""Metrics of classifiers and segmenters during and after training."""
