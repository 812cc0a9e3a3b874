"""ROOM 9: training of classifiers and segmenters, cross-validation, evaluation."""
