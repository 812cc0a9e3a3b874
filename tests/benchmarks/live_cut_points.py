"""Time from a slider's movement to the new score in the review window, in a running QuPath on a virtual screen.

``python -m tests.benchmarks.live_cut_points --cells 10000 100000 1000000`` prints a line for each number of cells: time
to read the cells when the tab opens, median and slowest of the movements of a drag, and the processor time of QuPath
per movement, which other work on the machine hardly changes. All cells lie in the viewer.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import psutil

from tests.groovy.fields import HERE, make_fields, python_program
from tests.gui.screen import Screen
from tests.gui.test_menu_items import choose, opened
from tests.helpers.qupath import QuPath, qupaths_to_test

#: The tab, as an object of Groovy.
PANE = (
    "def stage = javafx.stage.Window.getWindows().find { it instanceof javafx.stage.Stage && "
    "it.getTitle() == 'HER2: review' }; "
    "def tabs = stage.getScene().getRoot().getChildren().find { it.getClass().getSimpleName() == 'TabPane' }; "
    "def pane = tabs.getTabs().find { it.getText() == 'Cut-points' }.getContent().getContent(); "
)
N_MOVES = 60
#: Drags a slider, 20 movements a second, each after the score of the one before; meanwhile nobody watches the window.
DRAG = (
    "System.setProperty('her2.quiet', 'true'); "
    "def moves = []; def line = new javafx.animation.Timeline(); pane.lastMs = 0; "
    "def step = { if (pane.lastMs < 0) return; moves << pane.lastMs; "
    f"if (moves.size() > {N_MOVES}) {{ line.stop(); "
    "System.setProperty('her2.moves', moves.drop(1).join(' ')); System.clearProperty('her2.quiet'); return }; "
    "pane.lastMs = -1; pane.sliders[1].setValue(0.3 + 0.005 * moves.size()) }; "
    "line.getKeyFrames().add(new javafx.animation.KeyFrame(javafx.util.Duration.millis(50), "
    "step as javafx.event.EventHandler)); "
    "line.setCycleCount(javafx.animation.Animation.INDEFINITE); line.play(); true"
)


def add_cells(shown: Screen, n: int) -> None:
    script = f"new File('{HERE / 'add_measured_cells.groovy'}')"
    shown.ask(
        "def parameters = qupath.lib.scripting.ScriptParameters.builder().setProject(qupath.getProject())"
        ".setImageData(qupath.getImageData()).setDefaultImports(qupath.lib.gui.scripting.QPEx.getCoreClasses())"
        ".setDefaultStaticImports([qupath.lib.gui.scripting.QPEx])"
        f".setFile({script}).setArgs(['{n}'] as String[]).build(); "
        "qupath.lib.gui.scripting.languages.GroovyLanguage.getInstance().execute(parameters); true"
    )


def processor_s(shown: Screen) -> float:
    """The processor time that QuPath has used so far."""
    started = psutil.Process(shown.process.pid)
    times = [one.cpu_times() for one in (started, *started.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def measure(shown: Screen, n: int) -> tuple[float, list[float], float]:
    """Return seconds until the tab has read its cells, milliseconds of each movement, and those of the processor."""
    start = time.monotonic()
    shown.click("Cut-points")
    shown.until(lambda: shown.ask(PANE + "pane.live != null && pane.lastMs > 0"), "the cells in the tab")
    read_s = time.monotonic() - start
    before = processor_s(shown)
    shown.ask(PANE + DRAG)
    shown.until(lambda: shown.ask("System.getProperty('her2.moves') != null"), "the end of the drag")
    used_ms = 1000 * (processor_s(shown) - before)
    moves = [float(ms) for ms in str(shown.ask("System.getProperty('her2.moves')")).split()]
    return read_s, moves, used_ms / len(moves)


def bench(qupath: QuPath, folder: Path, n: int) -> str:
    fields = make_fields(qupath, folder / "study", folder / "private", ("2+",))
    assert "HER2_SCORE_IMAGE_OK" in fields.on_image("score_image.groovy", "-s")
    with opened(fields, folder, python_program(folder)) as shown:
        add_cells(shown, n)
        choose(shown, "Review…")
        read_s, moves, used_ms = measure(shown, n)
    return (
        f"QuPath {qupath.version}, {n:>9,} cells: read in {read_s:.1f} s; per movement {statistics.median(moves):.0f} "
        f"ms (slowest {max(moves):.0f} ms), {used_ms:.0f} ms of the processor"
    )


def main() -> None:
    """Print a line for each number of cells and each QuPath."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    asked = parser.parse_args()
    for qupath in qupaths_to_test():
        for n in asked.cells:
            with tempfile.TemporaryDirectory() as folder:
                print(bench(qupath, Path(folder), n), flush=True)


if __name__ == "__main__":
    main()
