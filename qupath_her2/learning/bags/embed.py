"""Embedding of a slide: threads read its patches, an encoder turns each into a row of features.

Rows are appended to a draft file as they come, so that a slide that was interrupted goes on where it was. Reading,
preparation and computing overlap as in `learning.inference.predict`.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from qupath_her2.learning.bags.feature_files import FeatureInfo, SlideFeatures, write_features
from qupath_her2.learning.dataset import PatchReader, batch_rows, read_batches
from qupath_her2.learning.device import choose_device, half_dtype, memory_layout
from qupath_her2.learning.inference.forward import Forward
from qupath_her2.learning.inference.pipeline import upload_batches
from qupath_her2.learning.preprocessing import Preparation
from qupath_her2.models.batch_norm_folding import fold_batch_norm
from qupath_her2.models.settings import PredictSettings
from qupath_her2.patches.pixels.patch_pixels import reading_order
from qupath_her2.project.exchange.writing import output_errors

if TYPE_CHECKING:
    from qupath_her2.models.encoders import Encoder
    from qupath_her2.patches.manifest import PatchManifest

__all__ = ["EmbeddedSlide", "Embedder", "embed_slide", "features_hash"]


@dataclass(frozen=True, slots=True)
class EmbeddedSlide:
    """A slide whose features were written.

    Attributes
    ----------
    path
        The feature file.
    n_patches
        Rows in it.
    unread
        A sentence for each patch that could not be read and is not among them.
    """

    path: Path
    n_patches: int
    unread: tuple[str, ...]


class Embedder:
    """An encoder on its device, prepared for many slides.

    Parameters
    ----------
    encoder
        From `models.encoders.load_encoder`; its network is moved to the device and changed for speed.
    settings
        Batch size, device, precision, reader threads.
    side_px
        Side of the patches, px.
    """

    def __init__(self, encoder: Encoder, settings: PredictSettings, side_px: int) -> None:
        import torch

        self.encoder = encoder
        self.settings = settings
        self.device = choose_device(settings.device)
        self.half = half_dtype(self.device, settings.precision)
        net = encoder.net.to(self.device).eval()
        fold_batch_norm(net, torch.zeros(1, 3, side_px, side_px, device=self.device))
        # Channels last halves the time of a convolutional encoder on a CPU too; a transformer has no such layout.
        self.net = net.to(memory_format=memory_layout(self.device, is_dense=True))

    def forward(self, manifest: PatchManifest) -> Forward:
        """Return the forward pass for the patches of a manifest."""
        prepare = Preparation(manifest, self.encoder.mean, self.encoder.std)
        return Forward(self.net, prepare, self.device, self.half, self.settings.batch_size)


def features_hash(manifest: PatchManifest, encoder: Encoder, tissue: str) -> str:
    """Return a SHA-256 of all that the features of a slide depend on.

    Parameters
    ----------
    manifest
        Patches of one image.
    encoder
        The encoder.
    tissue
        How tissue was found, which decides where patches lie.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    (image,) = manifest.images
    content = {
        "fingerprint": image.fingerprint,
        "chain": image.chain,
        "boxes": hashlib.sha256(manifest.box_xywh.tobytes()).hexdigest(),
        "patch_size_px": manifest.patch_size_px,
        "clahe": manifest.settings.get("clahe"),
        "encoder": encoder.name,
        "weights": encoder.weights_sha256 or encoder.weights,
        "normalisation": [encoder.mean, encoder.std],
        "tissue": tissue,
    }
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def embed_slide(
    embedder: Embedder,
    manifest: PatchManifest,
    pixels: PatchReader,
    path: Path,
    settings_hash: str,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> EmbeddedSlide:
    """Embed the patches of one slide and write its feature file.

    Parameters
    ----------
    embedder
        The encoder.
    manifest, pixels
        Patches of one image, and their reader.
    path
        The feature file.
    settings_hash
        From `features_hash`; a draft of the same hash is continued.
    progress
        Called with (patches done, patches); may raise KeyboardInterrupt, which keeps the draft.

    Returns
    -------
    EmbeddedSlide
        Features lie in the file in the order of the manifest.

    Raises
    ------
    ModelError
        A single patch exceeds the device's memory.
    OutputError
        The file cannot be written.
    """
    order = reading_order(manifest)
    draft = _Draft(path.with_name(f"{path.stem}.{settings_hash[:12]}.rows"), embedder.encoder.n_features)
    with draft:
        done = min(draft.n_rows, len(order))
        rows_left = order[done:]
        _embed_rows(embedder, manifest, pixels, rows_left, draft, len(order), progress)
        unread = draft.unread()
        features = draft.read(len(order))
    out = np.empty_like(features)
    out[order] = features
    # A patch that could not be read is a row of NaN in the draft alone: no file holds it.
    known = np.isfinite(out[:, 0]) if out.shape[1] else np.ones(len(out), bool)
    info = _info(embedder.encoder, manifest, settings_hash, int(known.sum()))
    write_features(path, SlideFeatures(out[known], manifest.box_xywh[known, :2].astype(np.int64), info))
    draft.remove()
    return EmbeddedSlide(path, int(known.sum()), unread)


def _embed_rows(
    embedder: Embedder,
    manifest: PatchManifest,
    pixels: PatchReader,
    rows: Any,
    draft: _Draft,
    total: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    import torch

    s = embedder.settings
    forward = embedder.forward(manifest)
    batches = read_batches(
        pixels,
        batch_rows(rows, s.batch_size),
        manifest.patch_size_px,
        s.read,
        pinned=embedder.device.type == "cuda",
    )
    done = total - len(rows)
    with torch.inference_mode(), contextlib.closing(batches):
        for batch, patches in upload_batches(batches, embedder.device):
            wanted = rows[: len(batch.rows) + len(batch.unread)]
            rows = rows[len(wanted) :]
            features = np.full((len(wanted), embedder.encoder.n_features), np.nan, np.float32)
            if len(batch.rows):
                features[np.isin(wanted, batch.rows)] = forward(patches, batch.rows).cpu().numpy()
            draft.append(features, tuple(str(error) for error in batch.unread))
            done += len(wanted)
            if progress is not None:
                progress(done, total)


def _info(encoder: Encoder, manifest: PatchManifest, settings_hash: str, n: int) -> FeatureInfo:
    (image,) = manifest.images
    return FeatureInfo(
        n_patches=n,
        n_features=encoder.n_features,
        encoder=encoder.name,
        weights_sha256=encoder.weights_sha256,
        pixel_size_um=manifest.pixel_size_um if math.isfinite(manifest.pixel_size_um) else math.nan,
        patch_size_px=manifest.patch_size_px,
        patch_size_level0=int(manifest.box_xywh[0, 2]) if len(manifest) else 0,
        image=image.id,
        name=image.name,
        fingerprint=image.fingerprint,
        settings_hash=settings_hash,
    )


class _Draft:
    """Rows of features on disk, appended batch by batch: a killed process leaves whole rows and perhaps a part of one.

    The reasons of unread patches stand in a text file beside it.
    """

    def __init__(self, path: Path, n_features: int) -> None:
        self._path = path
        self._reasons = path.with_suffix(".unread")
        self._row_bytes = max(1, 4 * n_features)
        self._n_features = n_features

    @property
    def n_rows(self) -> int:
        """Whole rows in the file."""
        return self._path.stat().st_size // self._row_bytes

    def __enter__(self) -> _Draft:
        with output_errors(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab")
            # A part of a row at the end is cut off.
            self._file.truncate(self.n_rows * self._row_bytes)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, features: Any, reasons: tuple[str, ...]) -> None:
        with output_errors(self._path):
            if reasons:
                with self._reasons.open("a", encoding="utf-8") as file:
                    file.writelines(f"{reason}\n" for reason in reasons)
            self._file.write(features.tobytes())
            self._file.flush()

    def read(self, n: int) -> Any:
        return np.fromfile(self._path, np.float32, n * self._n_features).reshape(n, self._n_features)

    def unread(self) -> tuple[str, ...]:
        if not self._reasons.is_file():
            return ()
        return tuple(dict.fromkeys(self._reasons.read_text(encoding="utf-8").splitlines()))

    def remove(self) -> None:
        for path in (self._path, self._reasons):
            with output_errors(path):
                path.unlink(missing_ok=True)
