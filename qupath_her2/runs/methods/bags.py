"""The method ``network`` for networks on bags: the class of a slide, and the attention of its patches as tiles."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from qupath_her2.errors import ModelError
from qupath_her2.learning.bags.attention import slide_attention
from qupath_her2.learning.bags.feature_files import SlideFeatures, read_features
from qupath_her2.models.bag_checkpoint import check_features, is_bag_card, load_bag_checkpoint
from qupath_her2.models.card import ModelCard, identity, read_card
from qupath_her2.project.class_names import PATCH_CLASS
from qupath_her2.provenance import object_uuids
from qupath_her2.records import NOT_MEASURED, PatchTable, Prediction, Score, SlideScore
from qupath_her2.runs.methods.network import NetworkMethod
from qupath_her2.runs.methods.patch_maps import overlay_files
from qupath_her2.runs.methods.patch_score import NOT_A_SCORE
from qupath_her2.runs.refused_image import empty_table
from qupath_her2.runs.types import FinishedImage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qupath_her2.config import Settings
    from qupath_her2.models.bag_base import BagNetwork
    from qupath_her2.records import Region
    from qupath_her2.runs.types import ImageSetup, Progress

__all__ = ["ATTENTION", "BagsMethod", "TOP_PATCHES"]

#: Class of the most attended tiles; groovy/lib/Her2Patches.groovy names the measurement of all tiles by it.
ATTENTION = f"{PATCH_CLASS}attention"
#: Tiles of that class: as many as a person looks at one by one.
TOP_PATCHES = 12
_RULE = "attention over the features of its patches"


@dataclass(frozen=True, slots=True)
class BagsMethod(NetworkMethod):
    """Classification of images by a network on bags.

    Attributes
    ----------
    checkpoint
        Of the network, path without ending.
    features
        Folder of the images' feature files, each named by the image's id or its file name.
    """

    checkpoint: Path
    features: Path

    def check(self) -> None:
        """Raise ModelError where the checkpoint is not a network on bags."""
        self.card()

    def card(self, pixel_size_um: float | None = None) -> ModelCard:
        """Return the card of the network, the same for every pixel size."""
        card = read_card(self.checkpoint)
        if not is_bag_card(card):
            raise ModelError(
                f"Network '{self.checkpoint}' does not learn from bags of features, but from pixels."
            )
        return card

    def measurement_settings(self, settings: Settings, card: ModelCard | None) -> dict[str, Any]:
        """Return everything the prediction depends on besides image and regions."""
        return {} if card is None else {**identity(card), "bags": True}

    def measure(self, setup: ImageSetup, *, progress: Progress | None, threads: int) -> FinishedImage:
        """Classify an image by its features, and show where the network looked; see `Method.measure`.

        Raises
        ------
        ModelError
            The features are missing, damaged, or of another encoder or scale.
        """
        start = time.monotonic()
        # A method with a checkpoint always has a card among its inputs.
        assert setup.inputs.card is not None
        net, card = _loaded(self.checkpoint, setup.inputs.card.weights_sha256)
        found = self._features(setup)
        info = found.info
        where = f"Image '{setup.ref.name}'"
        check_features(
            card, info.encoder, info.weights_sha256, info.n_features, info.pixel_size_um, where=where
        )
        if info.patch_size_level0 < 1:
            raise ModelError(f"{where}: its features do not say how large a patch is, so none can be shown.")
        regions = tuple(region for region in setup.context.regions if region.role == "tumour")
        table, score = _predicted(net, card, found, regions, setup)
        size = (setup.slide.width, setup.slide.height)
        said = score.prediction.class_name if score.prediction is not None else ""
        if progress is not None:
            progress(1, 1, 0)
        return FinishedImage(
            setup.context,
            score,
            empty_table(),
            regions,
            timings_s={"network": round(time.monotonic() - start, 3)},
            extra_files=overlay_files(
                table, size, setup.inputs.pixel_size_um, None, title=f"Attention of {card.model} for {said}"
            ),
            patches=table,
        )

    def _features(self, setup: ImageSetup) -> SlideFeatures:
        name = Path(setup.ref.name)
        for stem in (setup.ref.id, name.stem, name.name):
            path = self.features / f"{stem}.h5"
            if path.is_file():
                return read_features(path)
        raise ModelError(f"Image '{setup.ref.name}' has no features in '{self.features}'. Embed it first.")


@functools.lru_cache(maxsize=1)
def _loaded(checkpoint: Path, weights_sha256: str) -> tuple[BagNetwork, ModelCard]:
    """Load a network once for all images of a process; the hash notices new weights under the same file name."""
    return load_bag_checkpoint(checkpoint)


def _predicted(
    net: BagNetwork, card: ModelCard, found: SlideFeatures, regions: tuple[Region, ...], setup: ImageSetup
) -> tuple[PatchTable, SlideScore]:
    side = found.info.patch_size_level0
    boxes = np.concatenate([found.left_top, np.full((len(found.left_top), 2), side)], axis=1).astype(np.int32)
    centres = found.left_top + side / 2
    inside = [shapely.contains_xy(region.geometry, centres[:, 0], centres[:, 1]) for region in regions]
    whole = slide_attention(net, found.features)
    top = np.argsort(-np.nan_to_num(whole.rank, nan=-1.0), kind="stable")[:TOP_PATCHES]
    code = np.full(len(boxes), NOT_MEASURED, np.uint8)
    code[top[np.isfinite(whole.rank[top])]] = 0
    table = PatchTable(
        uuid=object_uuids(setup.inputs.hash, len(boxes)),
        box_xywh=boxes,
        region=_owners(inside, len(boxes)),
        probabilities=whole.rank[:, None],
        patch_class=code,
        class_names=(ATTENTION,),
    )
    of_regions = {
        # A region is a bag of its own; without a patch it has what the slide has.
        str(region.uuid): _score(
            card,
            slide_attention(net, found.features[rows] if rows.any() else found.features).probabilities,
            rows.sum(),
        )
        for region, rows in zip(regions, inside, strict=True)
    }
    score = _score(card, whole.probabilities, len(boxes), setup.context.warnings)
    return table, SlideScore(
        **{name: getattr(score, name) for name in Score.__dataclass_fields__}, regions=of_regions
    )


def _owners(inside: list[NDArray[np.bool_]], n: int) -> NDArray[np.int32]:
    """Return the region that each patch's tile is put under, int32 (n,); tissue outside all counts to the first."""
    owner = np.zeros(n, np.int32)
    for number, rows in enumerate(inside):
        owner[rows] = number
    return owner


def _score(
    card: ModelCard, probabilities: NDArray[np.float32], n: int, warnings: tuple[str, ...] = ()
) -> Score:
    shares = dict(zip(card.class_names, map(float, probabilities), strict=True))
    name = card.class_names[int(probabilities.argmax())]
    patches = f"{n:,} patch{'' if n == 1 else 'es'}"
    return Score(
        "predicted",
        None,
        f"{patches} by '{card.recipe or card.model}': '{name}' ({_RULE}, {shares[name]:.2f}). {NOT_A_SCORE}",
        "none",
        warnings=warnings,
        prediction=Prediction(card.recipe or card.model, card.task, name, shares, int(n), _RULE),
    )
