"""Drawn cohorts of feature bags whose label depends on a few patches: what attention finds and a mean does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qupath_her2.learning.bags.feature_files import FeatureInfo, SlideFeatures, write_features
from qupath_her2.patches.manifest import ManifestImage, PatchManifest

__all__ = ["draw_cohort"]


def draw_cohort(
    folder: Path,
    *,
    cases: int = 48,
    classes: tuple[str, ...] = ("negative", "positive"),
    n_patches: int = 60,
    n_features: int = 16,
    key_patches: int = 4,
    slides_a_case: int = 1,
    seed: int = 0,
    encoder: str = "drawn",
) -> tuple[PatchManifest, tuple[Path, ...]]:
    """Write a feature file for each slide, and return a manifest with a row a slide, and the files.

    Each slide has an offset of its own in every feature, so that a mean tells nothing. In class c > 0, `key_patches` of
    its patches lie apart in feature c; every slide has as many patches apart in a feature that says nothing.
    """
    rng = np.random.default_rng(seed)
    images, labels, paths = [], [], []
    for case in range(cases):
        label = case % len(classes)
        for slide in range(slides_a_case):
            n = int(n_patches * rng.uniform(0.6, 1.4))
            features = rng.normal(size=(n, n_features)) + rng.normal(0, 0.7, n_features)
            features[:key_patches, len(classes)] += 6
            if label:
                features[key_patches : 2 * key_patches, label] += 6
            features = rng.permutation(features).astype(np.float32)
            name = f"c{case:03d}_{slide}"
            info = FeatureInfo(
                n, n_features, encoder, "ab" * 32, 0.5, 224, 448, name, name, "", f"{name}{seed}"
            )
            left_top = np.stack([448 * np.arange(n), np.zeros(n, np.int64)], 1)
            write_features(folder / f"{name}.h5", SlideFeatures(features, left_top, info))
            images.append(ManifestImage(name, f"{name}.svs", Path(f"{name}.svs"), f"P{case}", 0.25, 99, 99))
            labels.append(label)
            paths.append(folder / f"{name}.h5")
    n = len(images)
    manifest = PatchManifest(
        image=np.arange(n, dtype=np.int32),
        box_xywh=np.tile(np.array([[0, 0, 99, 99]], np.int32), (n, 1)),
        label=np.array(labels, np.int16),
        overlap=np.ones(n, np.float32),
        region_uuid=np.zeros((n, 16), np.uint8),
        split=np.full(n, -1, np.int8),
        images=tuple(images),
        class_names=classes,
        patch_size_px=224,
        pixel_size_um=float("nan"),
        task="her2-binary" if len(classes) == 2 else "her2-3",
    )
    return manifest, tuple(paths)
