"""A small whole slide image in DICOM: one file per pyramid level, uncompressed tiles (DICOM PS3.3, A.32.8)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, VLWholeSlideMicroscopyImageStorage

TILE = 256


def write_dicom_slide(
    folder: Path,
    pixels: NDArray[np.uint8],
    *,
    series: str = "2.25.1",
    pixel_size_um: float = 0.5,
    names: tuple[str, ...] = ("a.dcm", "b.dcm"),
    label: str | None = None,
) -> None:
    """Write a slide with one level per name, each half as wide as the one before.

    Parameters
    ----------
    folder
        Written to; made if need be.
    pixels
        Level 0, uint8 (H, W, 3), RGB.
    series
        SeriesInstanceUID, which all files of a slide share.
    pixel_size_um
        Of level 0, µm.
    names
        File names of the levels, finest first.
    label
        File name of a picture of the slide's label; None writes none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for level, name in enumerate(names):
        step = 2**level
        kind = "NONE" if level == 0 else "RESAMPLED"
        image_type = ["ORIGINAL" if level == 0 else "DERIVED", "PRIMARY", "VOLUME", kind]
        _write(folder / name, pixels[::step, ::step], series, pixel_size_um * step, image_type, level)
    if label is not None:
        image_type = ["ORIGINAL", "PRIMARY", "LABEL", "NONE"]
        _write(folder / label, np.full((64, 64, 3), 200, np.uint8), series, 20.0, image_type, 90)


def _write(
    path: Path,
    pixels: NDArray[np.uint8],
    series: str,
    pixel_size_um: float,
    image_type: list[str],
    number: int,
) -> None:
    height, width = pixels.shape[:2]
    rows, columns = -(-height // TILE), -(-width // TILE)
    padded = np.full((rows * TILE, columns * TILE, 3), 255, np.uint8)
    padded[:height, :width] = pixels
    tiles = padded.reshape(rows, TILE, columns, TILE, 3).swapaxes(1, 2)

    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = VLWholeSlideMicroscopyImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = f"{series}.{number + 1}"
    data.SOPClassUID = VLWholeSlideMicroscopyImageStorage
    data.SOPInstanceUID = f"{series}.{number + 1}"
    data.ImageType = image_type
    data.Modality = "SM"
    data.StudyInstanceUID = "2.25.99"
    data.SeriesInstanceUID = series
    data.FrameOfReferenceUID = "2.25.98"
    data.InstanceNumber = str(number + 1)
    data.DimensionOrganizationType = "TILED_FULL"
    data.TotalPixelMatrixColumns, data.TotalPixelMatrixRows = width, height
    data.TotalPixelMatrixFocalPlanes = 1
    data.NumberOfOpticalPaths = 1
    data.NumberOfFrames = str(rows * columns)
    data.Rows = data.Columns = TILE
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation = 7, 0
    data.ImagedVolumeWidth = width * pixel_size_um / 1000
    data.ImagedVolumeHeight = height * pixel_size_um / 1000
    measures = Dataset()
    measures.PixelSpacing = [pixel_size_um / 1000] * 2
    measures.SliceThickness = 0.001
    shared = Dataset()
    shared.PixelMeasuresSequence = [measures]
    data.SharedFunctionalGroupsSequence = [shared]
    data.PixelData = np.ascontiguousarray(tiles).tobytes()
    data.save_as(path, enforce_file_format=True)
