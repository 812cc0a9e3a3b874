"""The prediction of an image by a service, until it is saved."""

from __future__ import annotations

import io
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qupath_her2.api.tables import patch_frame
from qupath_her2.errors import PatchError
from qupath_her2.project.exchange.images import PREDICTIONS
from qupath_her2.project.exchange.patch_files import patches_of_run
from qupath_her2.project.exchange.runs import read_run
from qupath_her2.records import ImageResult

if TYPE_CHECKING:
    from qupath_her2.api.project import ProjectImage
    from qupath_her2.records import PatchTable, SlideScore
    from qupath_her2.server.discovery import RunningService

__all__ = ["ServedPrediction", "frame_or_reason", "served_prediction"]


def frame_or_reason(patches: PatchTable | None, score: SlideScore) -> Any:
    """Return patches as a pandas DataFrame, or raise PatchError with the reason why there are none."""
    # The reason of the refusal, not an empty frame that looks like a slide without tumour.
    if patches is None:
        raise PatchError(score.reason)
    return patch_frame(patches)


@dataclass(frozen=True, slots=True, eq=False)
class ServedPrediction:
    """Prediction of one image by a service, not yet saved.

    Attributes
    ----------
    image
        The image.
    archive
        Its run, as `save` puts it into the exchange folder.
    patches
        Boxes and class probabilities of the patches; None where the image was refused.
    score
        The class of image and regions, or the reason why there is none.
    seconds
        Time it took.
    """

    image: ProjectImage
    archive: bytes
    patches: PatchTable | None
    score: SlideScore
    seconds: float

    @property
    def table(self) -> Any:
        """The patches as a pandas DataFrame, see `patch_frame`."""
        return frame_or_reason(self.patches, self.score)

    def save(self) -> ImageResult:
        """Put the run into ``her2/predictions``, from where `push` takes it into QuPath."""
        from qupath_her2.server.run_archive import install_run

        run_dir = install_run(io.BytesIO(self.archive), self.image.her2 / PREDICTIONS)
        return ImageResult(
            self.image.ref.id,
            self.image.name,
            self.score.status,
            run_dir=run_dir,
            score=self.score,
            n_cells=self.score.n_cells,
            seconds=self.seconds,
        )


def served_prediction(
    image: ProjectImage, network: str, service: bool | str | RunningService, *, whole_tissue: bool
) -> ServedPrediction:
    """Predict an image by a network of a service.

    Parameters
    ----------
    image
        Of an opened project.
    network
        Id of the network, as the service lists them.
    service
        As for `predict`.
    whole_tissue
        Predict all tissue where there is no tumour region.

    Returns
    -------
    ServedPrediction
        A refusal is a result too.

    Raises
    ------
    ServiceError
        No service answers, or it has no such network.
    """
    from qupath_her2.server.predict_remotely import predict_by_service
    from qupath_her2.server.run_archive import install_run

    start = time.monotonic()
    archive = predict_by_service(image.ref, network, service, whole_tissue=whole_tissue)
    with tempfile.TemporaryDirectory() as folder:
        run_dir = install_run(archive, Path(folder) / PREDICTIONS)
        record, _, score = read_run(run_dir)
        patches = patches_of_run(run_dir, record)
    return ServedPrediction(image, archive.getvalue(), patches, score, time.monotonic() - start)
