"""ROOM 5: learning from labels and from drawn truth: training, prediction, calibration, and looking at why.

Names are resolved on first use. torch is imported inside the functions that need it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qupath_her2.learning.augment import AugmentSettings
    from qupath_her2.learning.calibrate import abstention_threshold, fit_temperature, temper
    from qupath_her2.learning.cam import CamSettings, explain, heat_overlay
    from qupath_her2.learning.curves import confusion_picture, training_curves
    from qupath_her2.learning.dataset import ReadSettings
    from qupath_her2.learning.instance_metrics import InstanceCounts, match_labels, match_polygons
    from qupath_her2.learning.losses import LossSettings
    from qupath_her2.learning.measures import EpochRecord
    from qupath_her2.learning.pixel_tally import PixelTally
    from qupath_her2.learning.prediction import NO_CLASS, Prediction, PredictSettings, choose_classes, predict
    from qupath_her2.learning.ring_fit import RingCuts, RingFitSettings, RingTruth, fit_rings
    from qupath_her2.learning.running import TrainSettings
    from qupath_her2.learning.schedule import ScheduleSettings
    from qupath_her2.learning.seg_inference import SlideSegmenter
    from qupath_her2.learning.seg_network import PixelMap, PixelNetwork
    from qupath_her2.learning.seg_windows import SegmentSettings
    from qupath_her2.learning.segmentation_metrics import (
        ClassMeasures,
        PooledMeasures,
        class_measures,
        pixel_confusion,
        pooled_measures,
    )
    from qupath_her2.learning.training import TrainProgress, TrainResult, train

_LAZY = {
    "AugmentSettings": "augment",
    "CamSettings": "cam",
    "ClassMeasures": "segmentation_metrics",
    "EpochRecord": "measures",
    "InstanceCounts": "instance_metrics",
    "LossSettings": "losses",
    "NO_CLASS": "prediction",
    "PixelMap": "seg_network",
    "PixelNetwork": "seg_network",
    "PixelTally": "pixel_tally",
    "PooledMeasures": "segmentation_metrics",
    "PredictSettings": "prediction",
    "Prediction": "prediction",
    "ReadSettings": "dataset",
    "RingCuts": "ring_fit",
    "RingFitSettings": "ring_fit",
    "RingTruth": "ring_fit",
    "ScheduleSettings": "schedule",
    "SegmentSettings": "seg_windows",
    "SlideSegmenter": "seg_inference",
    "TrainProgress": "training",
    "TrainResult": "training",
    "TrainSettings": "running",
    "abstention_threshold": "calibrate",
    "choose_classes": "prediction",
    "class_measures": "segmentation_metrics",
    "confusion_picture": "curves",
    "explain": "cam",
    "fit_rings": "ring_fit",
    "fit_temperature": "calibrate",
    "heat_overlay": "cam",
    "match_labels": "instance_metrics",
    "match_polygons": "instance_metrics",
    "pixel_confusion": "segmentation_metrics",
    "pooled_measures": "segmentation_metrics",
    "predict": "prediction",
    "temper": "calibrate",
    "train": "training",
    "training_curves": "curves",
}

__all__ = [
    "NO_CLASS",
    "AugmentSettings",
    "CamSettings",
    "ClassMeasures",
    "EpochRecord",
    "InstanceCounts",
    "LossSettings",
    "PixelMap",
    "PixelNetwork",
    "PixelTally",
    "PooledMeasures",
    "PredictSettings",
    "Prediction",
    "ReadSettings",
    "RingCuts",
    "RingFitSettings",
    "RingTruth",
    "ScheduleSettings",
    "SegmentSettings",
    "SlideSegmenter",
    "TrainProgress",
    "TrainResult",
    "TrainSettings",
    "abstention_threshold",
    "choose_classes",
    "class_measures",
    "confusion_picture",
    "explain",
    "fit_rings",
    "fit_temperature",
    "heat_overlay",
    "match_labels",
    "match_polygons",
    "pixel_confusion",
    "pooled_measures",
    "predict",
    "temper",
    "train",
    "training_curves",
]


def __getattr__(name: str) -> Any:
    """Import the module that `name` lives in."""
    if name not in _LAZY:
        raise AttributeError(f"module 'qupath_her2.learning' has no attribute {name!r}")
    return getattr(importlib.import_module(f"qupath_her2.learning.{_LAZY[name]}"), name)
