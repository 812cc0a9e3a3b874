"""Damaged and hostile input by the thousand, seeded: ``python -m tests.fuzz geojson --n 10000 --seed 1``.

Each module draws cases of one kind of input and runs them in a process of its own, which is ended where a case takes
too long. A short run of each stands among the ordinary tests.
"""
