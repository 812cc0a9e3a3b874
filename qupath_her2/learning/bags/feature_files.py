"""Feature files: one HDF5 file per slide with the features and places of its patches, as CLAM and TRIDENT write it.

``features`` float32 (N, D) and ``coords`` int64 (N, 2), the left and top of each patch in level-0 pixels. The
attributes of ``coords`` are TRIDENT's (``patch_size``, ``patch_size_level0``, ``level0_magnification``,
``target_magnification``, ``overlap``); those of the file are ours, and say which encoder and which image it was.

Zhang A et al., TRIDENT, 2025, arXiv:2502.06750; Lu MY et al., CLAM, Nat. Biomed. Eng. 5, 2021, doi
10.1038/s41551-020-00682-w.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qupath_her2.errors import ModelError
from qupath_her2.models.optional import need
from qupath_her2.project.exchange.writing import output_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["FeatureInfo", "SlideFeatures", "read_feature_info", "read_features", "write_features"]

_FORMAT = 1
#: Attributes of the file that are ours.
_OWN = ("encoder", "weights_sha256", "image", "name", "fingerprint", "settings_hash")
#: µm per pixel at a nominal magnification of 1: 20x is 0.5 µm/px.
_UM_AT_1X = 10.0
#: Rows of features checked at once for NaN, which bounds the memory.
_ROWS_AT_ONCE = 8192


@dataclass(frozen=True, slots=True)
class FeatureInfo:
    """What a feature file says of itself.

    Attributes
    ----------
    n_patches, n_features
        Shape of the features, N and D.
    encoder
        Name of the encoder; "" where the file does not say, as CLAM's.
    weights_sha256
        Of the encoder's weights; "" where the file does not say.
    pixel_size_um
        Scale of the patches, µm/px; NaN where the file does not say.
    patch_size_px
        Side of a patch as the encoder saw it, px; 0 where the file does not say.
    patch_size_level0
        Side of a patch on the slide, level-0 px; 0 where the file does not say.
    image, name, fingerprint
        The image, see `patches.table.ManifestImage`; "" where the file does not say.
    settings_hash
        Of all that the features depend on; "" in files of other programs.
    """

    n_patches: int
    n_features: int
    encoder: str = ""
    weights_sha256: str = ""
    pixel_size_um: float = math.nan
    patch_size_px: int = 0
    patch_size_level0: int = 0
    image: str = ""
    name: str = ""
    fingerprint: str = ""
    settings_hash: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class SlideFeatures:
    """Features of N patches of one slide.

    Attributes
    ----------
    features
        float32 (N, D).
    left_top
        int64 (N, 2), left and top of each patch, level-0 px.
    info
        What the file says of them.
    """

    features: NDArray[np.float32]
    left_top: NDArray[np.int64]
    info: FeatureInfo


def write_features(path: Path, found: SlideFeatures) -> None:
    """Write a feature file; readers see the whole file or none.

    Parameters
    ----------
    path
        The file; its folder is created.
    found
        Features of a slide.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    need("h5py")
    import h5py

    info = found.info
    draft = path.with_name(f"{path.name}.tmp")
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(draft, "w") as file:
            n = len(found.features)
            # Resizable and in chunks, as CLAM appends to its files batch by batch.
            file.create_dataset(
                "features",
                data=found.features,
                maxshape=(None, info.n_features),
                chunks=_chunks(n, info.n_features),
            )
            coords = file.create_dataset(
                "coords", data=found.left_top, maxshape=(None, 2), chunks=_chunks(n, 2)
            )
            coords.attrs.update(_trident_attributes(info))
            file.attrs["qupath_her2_format"] = _FORMAT
            file.attrs["pixel_size_um"] = info.pixel_size_um
            for name in _OWN:
                file.attrs[name] = getattr(info, name)
        draft.replace(path)


def _chunks(n: int, width: int) -> tuple[int, int]:
    return max(1, min(n, 256)), max(1, width)


def _trident_attributes(info: FeatureInfo) -> dict[str, Any]:
    level0 = max(1, info.patch_size_level0)
    # A magnification is µm per pixel in other words, where the pixel size is known.
    target = _UM_AT_1X / info.pixel_size_um
    return {
        "name": Path(info.name).stem,
        "patch_size": info.patch_size_px,
        "patch_size_level0": info.patch_size_level0,
        "target_magnification": target,
        "level0_magnification": target * level0 / max(1, info.patch_size_px),
        "overlap": 0,
    }


def read_feature_info(path: Path) -> FeatureInfo:
    """Read what a feature file says of itself, without its features.

    Raises
    ------
    ModelError
        The file is damaged or no feature file; the message names what it lacks.
    """
    need("h5py")
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return _info(file, path)
    except OSError as error:
        raise _unreadable(path, error) from error


def read_features(path: Path) -> SlideFeatures:
    """Read the features of a slide, written by this package, by CLAM or by TRIDENT.

    Parameters
    ----------
    path
        The HDF5 file.

    Returns
    -------
    SlideFeatures
        float32 features without NaN, and the places of the patches.

    Raises
    ------
    ModelError
        The file is damaged, is no feature file, holds no patch, or has rows of NaN.
    """
    need("h5py")
    import h5py

    try:
        with h5py.File(path, "r") as file:
            info = _info(file, path)
            shape = (info.n_patches, info.n_features)
            # TRIDENT may write 16-bit floats, and some versions a leading axis of one.
            features = np.asarray(file["features"], np.float32).reshape(shape)
            left_top = np.asarray(file["coords"], np.int64).reshape(-1, 2)
    except OSError as error:
        raise _unreadable(path, error) from error
    if info.n_patches == 0:
        raise ModelError(
            f"Features '{path}' hold no patch: a bag of nothing has no class. Leave the slide out."
        )
    if len(left_top) != len(features):
        raise ModelError(
            f"Features '{path}' are damaged: {len(features)} rows, but {len(left_top)} places. Embed the slide again."
        )
    bad = [
        row + start
        for start in range(0, len(features), _ROWS_AT_ONCE)
        for row in np.flatnonzero(~np.isfinite(features[start : start + _ROWS_AT_ONCE].sum(axis=1))).tolist()
    ]
    if bad:
        raise ModelError(
            f"Features '{path}' have {len(bad)} rows with NaN or infinity, the first is row {bad[0]}. Embed the slide "
            "again."
        )
    return SlideFeatures(features, left_top, info)


def _unreadable(path: Path, error: OSError) -> ModelError:
    what = "does not exist" if not path.exists() else f"cannot be read as HDF5 ({str(error).split(',')[0]})"
    return ModelError(f"Features '{path}': the file {what}. Embed the slide again.")


def _info(file: Any, path: Path) -> FeatureInfo:
    missing = [name for name in ("features", "coords") if name not in file]
    if missing:
        raise ModelError(
            f"'{path}' is no feature file: it lacks {' and '.join(missing)}. CLAM and TRIDENT write both."
        )
    full = file["features"].shape
    if len(full) == 3 and full[0] == 1:
        full = full[1:]
    if len(full) != 2:
        raise ModelError(f"Features '{path}' have the shape {tuple(full)}; they must be (patches, features).")
    own, of_coords = dict(file.attrs), dict(file["coords"].attrs)
    target = _number(of_coords.get("target_magnification"))
    size_um = _number(own.get("pixel_size_um"))
    if not math.isfinite(size_um) and target > 0:
        size_um = _UM_AT_1X / target
    return FeatureInfo(
        n_patches=int(full[0]),
        n_features=int(full[1]),
        pixel_size_um=size_um,
        patch_size_px=_whole(of_coords.get("patch_size")),
        patch_size_level0=_whole(of_coords.get("patch_size_level0")),
        **{name: _text(own, name) for name in _OWN},
    )


def _text(attributes: Mapping[str, Any], name: str) -> str:
    value = attributes.get(name, "")
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _whole(value: Any) -> int:
    number = _number(value)
    return int(number) if math.isfinite(number) else 0
