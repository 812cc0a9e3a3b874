"""True class of an image: the label that people gave it, and only without one the most frequent label of its patches.

An annotation says what its own tissue shows. Of a slide annotated mostly 1+ the score may still be 3+, for 10 % of the
tumour decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.patches.tasks import TASKS, class_index, knows_label

if TYPE_CHECKING:
    from qupath_her2.patches.manifest import PatchManifest
    from qupath_her2.patches.tasks import Task

__all__ = ["ImageTruth", "image_truth"]


@dataclass(frozen=True, slots=True)
class ImageTruth:
    """True classes of images.

    Attributes
    ----------
    names
        Class of each image; None where its label leaves it open, such as 2+ without an ISH result, or without any.
    by
        Where they come from, in words.
    """

    names: tuple[str | None, ...]
    by: str


def image_truth(manifest: PatchManifest, images: Sequence[int], task: Task | None = None) -> ImageTruth:
    """Return the true classes of images.

    Parameters
    ----------
    manifest
        Patches with their labels.
    images
        Indices into its images.
    task
        The task whose classes are asked for; None takes that of the manifest.

    Returns
    -------
    ImageTruth
        One class per image.
    """
    task = task or TASKS.get(manifest.task)
    names: list[str | None] = []
    n_labelled = 0
    for image in images:
        label = manifest.images[image].label
        if task is not None and label and knows_label(task, label):
            n_labelled += 1
            names.append(_class_name(task, label))
            continue
        own = manifest.label[(manifest.image == image) & (manifest.label >= 0)]
        if len(own) == 0:
            names.append(None)
            continue
        most = manifest.class_names[int(np.bincount(own).argmax())]
        if task is not None and task.class_names != manifest.class_names:
            names.append(_class_name(task, most) if knows_label(task, most) else None)
        else:
            names.append(most)
    if n_labelled == len(names):
        return ImageTruth(tuple(names), "labels of the images")
    by_patches = "most frequent label of the image's patches"
    if n_labelled == 0:
        return ImageTruth(tuple(names), by_patches)
    n = len(names) - n_labelled
    return ImageTruth(tuple(names), f"labels of the images; for {n} without a label, {by_patches}")


def _class_name(task: Task, label: str) -> str | None:
    index = class_index(task, label)
    return None if index is None else task.class_names[index]
