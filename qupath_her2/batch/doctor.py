"""Checks of this machine for ``doctor``: each one really performs what it reports on."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from qupath_her2.errors import Her2Error, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qupath_her2.records import SlideRef

__all__ = ["Check", "run_checks"]

#: Warn below this: the result of a slide with its overlay takes some tens of MB.
_LOW_DISK_GB = 2.0
#: So many images of a folder are compared with their pixel size: a second or two for each.
_SCALES_CHECKED = 5


@dataclass(frozen=True, slots=True)
class Check:
    """One line of ``doctor``; `fix` gives the remedy if `state` is not ``PASS``."""

    name: str
    state: Literal["PASS", "WARN", "FAIL"]
    text: str = ""
    fix: str = ""


def run_checks(folder: Path, *, inside_qupath: str | None = None) -> Iterator[Check]:
    """Yield all checks of this machine, the slow ones last.

    Parameters
    ----------
    folder
        Folder where results would be written.
    inside_qupath
        Version of the QuPath that asks; None where a terminal does.

    Yields
    ------
    Check
        Each as soon as it is done.
    """
    yield check_python()
    yield check_write(folder)
    yield check_disk(folder)
    yield from check_images(folder)
    yield check_qupath(inside_qupath)
    yield check_gpu()
    yield check_readers()
    yield check_numba()
    yield check_scoring()


def check_python() -> Check:
    """Check that Python is 3.10 or newer, and 64 bit."""
    text = f"{platform.python_version()} on {platform.system()}"
    # 32-bit Python cannot address the memory that a slide needs, and there are no wheels for it.
    if sys.version_info < (3, 10) or sys.maxsize < 2**32:
        return Check("Python", "FAIL", text, "Install a 64-bit Python 3.10 or newer.")
    return Check("Python", "PASS", text)


def check_write(folder: Path) -> Check:
    """Check that a file can be created in `folder`."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix="her2-doctor-"):
            return Check("Write permission", "PASS", str(folder.resolve()))
    except OSError as error:
        text = f"'{folder}': {error.strerror or error}"
        return Check("Write permission", "FAIL", text, "Choose another folder, or run with --out DIR.")


def check_disk(folder: Path) -> Check:
    """Check that there is disk space for results."""
    try:
        free_gb = shutil.disk_usage(folder).free / 1e9
    except OSError as error:
        return Check("Disk", "FAIL", f"'{folder}': {error.strerror or error}", "Name an existing folder.")
    if free_gb < _LOW_DISK_GB:
        return Check("Disk", "WARN", f"{free_gb:.1f} GB free", "Free some space, or use --out DIR.")
    return Check("Disk", "PASS", f"{free_gb:,.0f} GB free")


def check_images(folder: Path) -> Iterator[Check]:
    """Count the images of a folder, and name the files in it that are not read or not used."""
    from qupath_her2.project.folder import folder_notes, project_folder, pulled_images
    from qupath_her2.project.image_files import find_image_files
    from qupath_her2.runs.plan import exchange_folder, select_images

    root, her2 = project_folder(folder), exchange_folder(folder)
    if not root.is_dir():
        return
    try:
        # By default the folder in which the command is typed, which need not hold images.
        has_images = pulled_images(her2) is not None or find_image_files(root, her2).images
        images = select_images(folder) if has_images else []
        notes = folder_notes(root, her2)
    except Her2Error as error:
        yield Check("Images", "FAIL", str(error))
        return
    if images:
        with_regions = sum(image.regions_path is not None for image in images)
        yield Check("Images", "PASS", f"{len(images)} found, {with_regions} with a region file")
    for note in notes:
        yield Check("Images", "WARN", note)
    yield from check_scales(images, folder)


def check_scales(images: Sequence[SlideRef], folder: Path) -> Iterator[Check]:
    """Compare the nuclei of some images with the stated pixel size."""
    from qupath_her2.runs.plan import find_settings
    from qupath_her2.runs.scale_doubt import image_scale_sentence

    # Evenly spread over the folder, whose images were mostly scanned in the order of their names.
    for image in images[:: max(1, -(-len(images) // _SCALES_CHECKED))]:
        try:
            doubt = image_scale_sentence(image, find_settings(folder))
        except Her2Error as error:
            yield Check("Images", "WARN", str(error))
            continue
        if doubt is not None:
            yield Check("Pixel size", "WARN", f"{image.name}: {doubt}")


def check_qupath(inside: str | None = None) -> Check:
    """Look for the QuPath that pull and push would start; scoring does not need it.

    Inside a QuPath of version `inside`, no other one is needed: its scripts pull and push.
    """
    if inside is not None:
        return Check("QuPath", "PASS", f"{inside}, this one")
    from qupath_her2.project.qupath.installations import find_qupaths

    named = os.environ.get("PAQUO_QUPATH_DIR")
    try:
        found = find_qupaths()
    except MissingExtraError as error:
        return Check("QuPath", "WARN", "not searched; scoring does not need it", str(error))
    if found:
        how = "by PAQUO_QUPATH_DIR" if named else f"in '{found[0].folder}'"
        others = f"; also {', '.join(qupath.version for qupath in found[1:])}" if found[1:] else ""
        return Check("QuPath", "PASS", f"{found[0].version}, found {how}{others}")
    text = f"PAQUO_QUPATH_DIR names '{named}', which is not a QuPath installation" if named else "none found"
    return Check(
        "QuPath",
        "WARN",
        f"{text}; scoring does not need it",
        "Set PAQUO_QUPATH_DIR to its folder, or use the scripts inside QuPath.",
    )


def check_gpu() -> Check:
    """Look for a GPU; scoring by cells does not need one."""
    # Not by torch: importing it takes seconds, and it may not be installed.
    program = shutil.which("nvidia-smi")
    if program is None:
        return Check("GPU", "WARN", "none; scoring by cells does not need one")
    done = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=20, check=False)
    first = (done.stdout or done.stderr).strip().splitlines()
    return Check("GPU", "PASS" if done.returncode == 0 else "WARN", first[0] if first else "found")


def check_readers() -> Check:
    """Write a tiled TIFF and read it back through OpenSlide and through the fast path."""
    import numpy as np
    import openslide
    import tifffile

    from qupath_her2.slides.readers.slide import open_slide

    # Smooth gradients, which JPEG keeps within a few grey levels: a larger difference is a broken decoder.
    y, x = np.mgrid[0:512, 0:512]
    drawn = np.stack([x // 2, y // 2, np.full_like(x, 200)], axis=2).astype(np.uint8)
    text = f"openslide {openslide.__library_version__}, tifffile {version('tifffile')}"
    with tempfile.TemporaryDirectory(prefix="her2-doctor-") as place:
        path = Path(place) / "drawn.tif"
        tifffile.imwrite(path, drawn, tile=(256, 256), photometric="rgb", compression="jpeg")
        try:
            with open_slide(path) as fast, open_slide(path, reader="openslide") as reference:
                one, other = fast.read(100, 50, 300, 400), reference.read(100, 50, 300, 400)
        except Her2Error as error:
            return Check("Slide readers", "FAIL", str(error), "pip install --force-reinstall openslide-bin")
    # Both readers must agree to the bit, or a result would depend on which one opened the slide.
    if not np.array_equal(one, other) or np.abs(one.astype(int) - drawn[50:450, 100:400]).mean() > 6:
        text = f"{text}: pixels differ"
        return Check("Slide readers", "FAIL", text, "pip install --force-reinstall imagecodecs openslide-bin")
    return Check("Slide readers", "PASS", text)


def check_numba() -> Check:
    """Compile and run a function with numba."""
    import numba

    try:
        doubled = numba.njit(lambda value: 2 * value)(21)
    except (numba.core.errors.NumbaError, OSError, RuntimeError) as error:
        return Check("Compiler", "FAIL", f"numba {numba.__version__}: {error}", "pip install --upgrade numba")
    return Check("Compiler", "PASS" if doubled == 42 else "FAIL", f"numba {numba.__version__}")


def check_scoring() -> Check:
    """Score a drawn 3+ field, from image file to result."""
    from qupath_her2.batch.local import run_jobs
    from qupath_her2.runs.options import RunOptions
    from qupath_her2.runs.plan import plan_jobs
    from qupath_her2.synthetic.example_project import write_field

    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="her2-doctor-") as place:
        try:
            write_field(Path(place), "drawn", score="3+", seed=1)
            (result,) = run_jobs(plan_jobs(Path(place), RunOptions()).jobs)
        except Her2Error as error:
            return Check("Scoring", "FAIL", str(error), "Please report this with the versions above.")
    found = result.score.score if result.score else None
    text = f"a drawn 3+ field scored {found}, {result.n_cells} cells, {time.monotonic() - start:.1f} s"
    # Any other score means a broken installation: the drawn field is far from the cut to 2+.
    if found != "3+":
        why = result.error or (result.score.reason if result.score else "")
        return Check("Scoring", "FAIL", f"{text} {why}", "Please report this with the versions above.")
    return Check("Scoring", "PASS", text)
