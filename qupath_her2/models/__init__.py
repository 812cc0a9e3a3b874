"""ROOM 4: networks and their checkpoints. torch, timm and scikit-learn are loaded by the function that needs them.

`registry` is the table of models and builds them, `classifiers` and `segmenters` are their layers, `weights` finds
what they were trained with before, `card` and `checkpoint` keep what they have learnt, `counts` turns the classes of
a slide's patches into the slide's class.
"""
