"""Drawn HER2 fields with known truth: tests, examples, doctor, accuracy checks.

A field is drawn from its optics: amounts of stain on a grid finer than the picture, summed by Beer–Lambert,
blurred and integrated as light, then sensor noise and JPEG. No detector's assumption enters.
"""
