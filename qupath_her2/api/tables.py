"""Data frames of results: cells, patches, manifests."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import numpy as np

from qupath_her2.errors import ExchangeError, MissingExtraError
from qupath_her2.patches.manifest import SPLITS
from qupath_her2.project.exchange.runs import read_run
from qupath_her2.records import NOT_MEASURED, ImageResult

if TYPE_CHECKING:
    from qupath_her2.patches.manifest import PatchManifest
    from qupath_her2.records import CellTable, PatchTable

__all__ = ["manifest_frame", "patch_frame", "read_cells"]


def read_cells(result: ImageResult | str | Path, *, frame: Literal["pandas", "geopandas"] = "pandas") -> Any:
    """Return the cells of a finished run as a data frame, one row per cell.

    Parameters
    ----------
    result
        From `run` or `score_image`, or the folder of a run, ``her2/results/<image>/<run>``.
    frame
        ``pandas``, or ``geopandas`` for a GeoDataFrame whose geometry is the cell's outline, with that of the nucleus
        in the column ``nucleus``; level-0 pixels, no coordinate reference system.

    Returns
    -------
    pandas.DataFrame | geopandas.GeoDataFrame
        Index: UUID. Columns: ``x_px``, ``y_px`` (centroid, level-0 pixels), ``region`` (number of the scored region),
        ``class`` (QuPath's name; missing where not measured), and the measurements under their QuPath names.

    Raises
    ------
    ExchangeError
        There is no finished run, or it holds no cells.
    MissingExtraError
        pandas or geopandas is not installed.

    Examples
    --------
    >>> cells = read_cells(results[0])
    >>> cells.groupby("class")["HER2: Membrane completeness"].median().is_monotonic_increasing
    True
    """
    pandas = _need("pandas")
    run_dir = result.run_dir if isinstance(result, ImageResult) else Path(result)
    if run_dir is None:
        assert isinstance(result, ImageResult)
        raise ExchangeError(f"Image '{result.name}' has no finished run: {result.error or result.state}.")
    _, table, _ = read_run(run_dir)
    if table is None:
        raise ExchangeError(f"The run '{run_dir}' holds no cells. Score the image by cells: qupath-her2 run.")
    names = np.array([*table.class_names, None], object)
    # 255 (not measured) becomes the index of the None at the end: a missing value, never a class.
    codes = np.where(table.cell_class == NOT_MEASURED, len(table.class_names), table.cell_class)
    columns: dict[str, Any] = {
        "x_px": table.centroid_xy[:, 0],
        "y_px": table.centroid_xy[:, 1],
        "region": table.region,
        "class": pandas.Categorical(names[codes], categories=list(table.class_names), ordered=True),
    }
    columns |= {name: table.measurements[:, i] for i, name in enumerate(table.measurement_names)}
    index = pandas.Index([str(UUID(bytes=row.tobytes())) for row in table.uuid], name="uuid")
    if frame == "pandas":
        return pandas.DataFrame(columns, index=index)
    geopandas = _need("geopandas")
    columns["nucleus"] = geopandas.GeoSeries(_polygons(table, "nucleus"), index=index)
    return geopandas.GeoDataFrame(columns, geometry=_polygons(table, "cell"), index=index)


def manifest_frame(manifest: PatchManifest) -> Any:
    """Return the patches of a manifest as a pandas DataFrame, one row per patch.

    Columns: ``image``, ``case``, ``label`` and ``split`` (missing where unknown), ``x``, ``y``, ``width``, ``height``
    (level-0 pixels), ``overlap`` (share of the patch in regions of its label).
    """
    pandas = _need("pandas")
    # -1 (unknown) is the index of the None at the end.
    labels = np.array([*manifest.class_names, None], object)[manifest.label]
    splits = np.array([*SPLITS, None], object)[manifest.split]
    x, y, width, height = manifest.box_xywh.T
    return pandas.DataFrame(
        {
            "image": np.array([image.name for image in manifest.images], object)[manifest.image],
            "case": np.array([image.case for image in manifest.images], object)[manifest.image],
            "label": pandas.Categorical(labels, categories=list(manifest.class_names)),
            "split": pandas.Categorical(splits, categories=list(SPLITS)),
            "x": x,
            "y": y,
            "width": width,
            "height": height,
            "overlap": manifest.overlap,
        }
    )


def patch_frame(table: PatchTable) -> Any:
    """Return predicted patches as a pandas DataFrame, one row per patch.

    Columns: ``x``, ``y``, ``width``, ``height`` (level-0 pixels), ``region``, ``class`` (missing where no class was
    assigned), and the probability of each class under its name.
    """
    pandas = _need("pandas")
    names = np.array([*table.class_names, None], object)
    # As for cells: patches that could not be read have a missing class.
    codes = np.where(table.patch_class == NOT_MEASURED, len(table.class_names), table.patch_class)
    x, y, width, height = table.box_xywh.T
    columns = {
        "x": x,
        "y": y,
        "width": width,
        "height": height,
        "region": table.region,
        "class": names[codes],
    }
    columns |= {name: table.probabilities[:, i] for i, name in enumerate(table.class_names)}
    return pandas.DataFrame(columns)


def _polygons(table: CellTable, part: Literal["cell", "nucleus"]) -> list[Any]:
    import shapely

    xy, offsets = getattr(table, f"{part}_xy"), getattr(table, f"{part}_offsets")
    # An empty range is a cell without nucleus; a ring needs three points.
    return [
        shapely.Polygon(xy[start:stop]) if stop - start > 2 else None
        for start, stop in itertools.pairwise(offsets)
    ]


def _need(package: Literal["pandas", "geopandas"]) -> Any:
    # Imported on demand: pandas would double the time of `import qupath_her2`.
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(
            f'Data frames need {package}, which is not installed: pip install "qupath-her2[frames]"'
        ) from error
