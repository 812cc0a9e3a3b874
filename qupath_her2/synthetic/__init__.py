"""Synthetic HER2 fields with known ground truth, for tests, examples, the doctor command and accuracy checks.

A field is rendered as a microscope would image it: amounts of stain on a grid finer than the picture, summed by
Beer–Lambert, blurred and integrated as light, then sensor noise and JPEG. No assumption of a detector enters.
"""
