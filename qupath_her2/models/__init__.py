"""ROOM 4: networks and their checkpoints. torch, timm and scikit-learn are loaded by the function that needs them.

`registry` is the table of models and builds them, `classifiers` and `segmenters` are their layers, `weights` finds
what they were trained with before, `card` and `checkpoint` keep what they have learnt, `counts` turns the classes of
a slide's patches into the slide's class.
"""

from __future__ import annotations

from qupath_her2.models.card import ModelCard, check_picture, read_card
from qupath_her2.models.checkpoint import load_checkpoint, save_checkpoint
from qupath_her2.models.registry import MODELS, ModelSpec, build_model, check_input, find_model, model_names

__all__ = [
    "MODELS",
    "ModelCard",
    "ModelSpec",
    "build_model",
    "check_input",
    "check_picture",
    "find_model",
    "load_checkpoint",
    "model_names",
    "read_card",
    "save_checkpoint",
]
