"""Slide-level learning over a cohort: features of all slides, training, cross-validation, comparison."""
