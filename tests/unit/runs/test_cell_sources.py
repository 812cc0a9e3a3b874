"""Sources of cells, from the command to the report, with a network that is correct by construction."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from typer.testing import CliRunner

pytest.importorskip("torch")

import cv2

from qupath_her2.cli import app
from qupath_her2.errors import MissingExtraError, ModelError, SettingsError
from qupath_her2.models.card import read_card
from qupath_her2.models.checkpoint import save_checkpoint
from qupath_her2.models.registry import build_model
from qupath_her2.models.shipped import shipped_checkpoint, shipped_checkpoints
from qupath_her2.project.exchange.runs import read_run
from qupath_her2.provenance import are_ours
from qupath_her2.records import ImageResult
from qupath_her2.runs import cell_sources as module
from qupath_her2.runs.cell_sources import CellSource, cell_source, split_source
from qupath_her2.runs.inputs import gather_inputs
from qupath_her2.runs.methods.cells import CellsMethod
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.plan import find_settings, plan_jobs
from qupath_her2.runs.score_image import score_image
from qupath_her2.slides.readers.view import open_image
from qupath_her2.synthetic.field import Field, draw_field
from qupath_her2.synthetic.presets import preset
from tests.helpers.colour_net import CARD, flat_picture, save_colour_net
from tests.helpers.matching import match_nuclei

SIDE_PX = 560
SEED = 840_001


def call(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return done.exit_code, done.output


@pytest.fixture(scope="module")
def field() -> Field:
    settings = preset("score", SEED, score="3+", pixel_size_um=0.25, width_px=SIDE_PX, height_px=SIDE_PX)
    return draw_field(settings)


@pytest.fixture(scope="module")
def drawn(field: Field, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one picture in flat colours, its region, and a checkpoint that segments these colours."""
    folder = tmp_path_factory.mktemp("flat") / "study"
    folder.mkdir()
    # Slightly blurred, as by real optics.
    rgb = cv2.GaussianBlur(flat_picture(field), (0, 0), 0.8)
    cv2.imwrite(str(folder / "flat.png"), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    outline = shapely.geometry.mapping(shapely.box(0, 0, SIDE_PX, SIDE_PX))
    feature = {"type": "Feature", "geometry": outline, "properties": {"classification": {"name": "Tumor"}}}
    (folder / "flat.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    save_colour_net(folder / "models" / "best")
    return folder


@pytest.fixture
def study(drawn: Path, tmp_path: Path) -> Path:
    return shutil.copytree(drawn, tmp_path / "study")


def scored(study: Path, **options: object) -> ImageResult:
    source = cell_source(f"unet:{study / 'models' / 'best'}")
    flags = {"pixel_size_um": 0.25, "method": CellsMethod(source), **options}
    (job,) = plan_jobs(study, RunOptions(**flags), find_settings(study)).jobs  # type: ignore[arg-type]
    return score_image(job)


def test_run_measures_and_scores_a_networks_cells(field: Field, study: Path) -> None:
    code, out = call("run", study, "--pixel-size-um", 0.25, "--cells", f"unet:{study / 'models' / 'best'}")
    assert code == 0, out
    assert "1 scored" in out
    assert (study / "her2" / "report.html").is_file()
    (run_dir,) = (p.parent for p in (study / "her2" / "results").glob("*/*/run.json"))
    record, table, score = read_run(run_dir)
    assert table is not None
    matches = match_nuclei(table.centroid_xy, field.truth.nuclei, 0.25, field.truth.other_nuclei)
    assert matches.f1 > 0.95
    assert are_ours(table.uuid).all()
    assert np.diff(table.nucleus_offsets).min() > 0
    # All membranes are drawn brown and closed here, whatever the field's truth is.
    assert np.nanmedian(table.column("HER2: Membrane completeness")) > 0.9
    assert score.shares["Tumor: 2+"] + score.shares["Tumor: 3+"] > 0.75
    assert record.settings["used"]["cells"] == "network"
    assert record.settings["used"]["network"] == str(study / "models" / "best")
    assert (
        record.inputs["weights"] == json.loads((study / "models" / "best.json").read_text())["weights_sha256"]
    )
    assert (run_dir / "overlay.jpg").is_file()
    code, out = call("run", study, "--pixel-size-um", 0.25, "--cells", f"unet:{study / 'models' / 'best'}")
    assert "up to date" in out
    # Another guideline uses the same cells.
    code, out = call("score", study, "--guideline", "breast-2013")
    assert code == 0, out
    assert len(list((study / "her2" / "results").glob("*/*/run.json"))) >= 1


def test_other_weights_make_another_result_but_another_file_name_does_not(study: Path) -> None:
    first = scored(study)
    assert first.state == "scored"
    for ending in ("json", "safetensors"):
        (study / "models" / f"best.{ending}").rename(study / "models" / f"moved.{ending}")
    moved = cell_source(f"unet:{study / 'models' / 'moved'}").checkpoint
    assert scored_state(study, moved) == "up to date"
    save_colour_net(study / "models" / "moved", sharpness=4.0)
    assert scored_state(study, moved) == "scored"


def scored_state(study: Path, checkpoint: Path | None) -> str:
    options = RunOptions(pixel_size_um=0.25, method=CellsMethod(CellSource("network", checkpoint)))
    return score_image(plan_jobs(study, options).jobs[0]).state


def test_settings_of_the_network_make_another_result_but_batch_size_and_device_do_not(study: Path) -> None:
    toml = study / "her2.toml"
    toml.write_text("[segment]\nbatch_size = 3\n[predict]\ndevice = 'cpu'\n")
    assert scored(study).state == "scored"
    toml.write_text("[segment]\nbatch_size = 1\n")
    assert scored(study).state == "up to date"
    toml.write_text("[network_cells.nuclei]\nmin_area_um2 = 6.0\n")
    assert scored(study).state == "scored"


def test_a_checkpoint_in_her2_toml_is_relative_to_that_file(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (study / "her2.toml").write_text('cell_source = "unet:models/best"\n')
    monkeypatch.chdir("/")
    code, out = call("cells", study, "--pixel-size-um", 0.25)
    assert code == 0, out
    (run_dir,) = (p.parent for p in (study / "her2" / "results").glob("*/*/run.json"))
    assert read_run(run_dir)[0].settings["used"]["cells"] == "network"
    # The flag wins over the file.
    code, out = call("cells", study, "--pixel-size-um", 0.25, "--cells", "detect", "--out", study / "other")
    assert code == 0, out
    (other,) = (p.parent for p in (study / "other" / "results").glob("*/*/run.json"))
    assert read_run(other)[0].settings["used"]["cells"] == "detect"


@pytest.mark.parametrize(
    ("pixel_size_um", "said"), [(0.5, "0.5 µm, and network 'unet'"), (0.3, "0.3 µm, and")]
)
def test_pixels_too_coarse_for_the_network_are_refused_with_the_way_out(
    pixel_size_um: float, said: str, study: Path
) -> None:
    result = scored(study, pixel_size_um=pixel_size_um)
    assert (result.state, result.error) == ("not assessable", None)
    assert result.score is not None
    assert result.score.refusal_code == "pixels_too_coarse"
    assert said in result.score.reason
    assert "leave --cells out for the classical detector" in result.score.reason


def test_tiles_leave_no_trace(study: Path) -> None:
    def cells(tile_px: int) -> np.ndarray:
        (study / "her2.toml").write_text(f"[cells.grid]\ntile_px = {tile_px}\nhalo_px = 64\n")
        result = scored(study)
        assert result.run_dir is not None
        table = read_run(result.run_dir)[1]
        assert table is not None
        return np.concatenate([table.centroid_xy, table.measurements], axis=1)

    small, large = cells(160), cells(2048)
    assert len(large) > 50
    # Another batch rounds a probability to the next of 256 levels here and there.
    assert small.shape == large.shape
    assert np.isclose(small, large, atol=0.02, equal_nan=True).mean() > 0.99


def test_a_network_and_indicators_do_not_go_together(study: Path) -> None:
    network = f"unet:{study / 'models' / 'best'}"
    code, out = call("run", study, "--pixel-size-um", 0.25, "--cells", network, "--method", "indicators")
    assert code == 1
    assert "does not go with --method indicators" in " ".join(out.split())
    (study / "her2.toml").write_text('cell_source = "unet:models/best"\n')
    code, out = call("run", study, "--pixel-size-um", 0.25, "--method", "indicators")
    assert code == 0, out


@pytest.mark.parametrize(
    "text", ["her3net:x", "segnet", "unet:", "detekt", "from-regions:x", "se-resnet50:x", ""]
)
def test_a_mistyped_source_is_a_usage_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="MODEL:CHECKPOINT with MODEL one of her2net, unet"):
        split_source(text)
    code, out = call("run", tmp_path, "--cells", text)
    assert code == 2
    assert "her2net" in out


def test_sources_are_parsed(study: Path) -> None:
    assert cell_source("detect") == CellSource()
    assert cell_source("from-regions") == CellSource("from-regions")
    # A Windows path has a colon of its own.
    assert split_source("unet") == ("unet", "")
    assert cell_source("unet") == CellSource("network", shipped="unet")
    assert split_source(r"unet:C:\models\best") == ("unet", r"C:\models\best")
    assert cell_source(f"unet:{study / 'models' / 'best'}") == CellSource(
        "network", study / "models" / "best"
    )


def test_a_checkpoint_of_another_network_is_named(study: Path) -> None:
    code, out = call("run", study, "--cells", f"her2net:{study / 'models' / 'best'}")
    assert code == 1
    assert "is of model 'unet', not of 'her2net'" in out
    assert "--cells unet:" in out


def test_a_missing_checkpoint_or_a_classifiers_is_an_error(study: Path) -> None:
    code, out = call("run", study, "--cells", f"unet:{study / 'models' / 'none'}")
    assert code == 1
    assert "has no card" in out
    save_colour_net(study / "models" / "patches", task="membrane")
    code, out = call("run", study, "--cells", f"unet:{study / 'models' / 'patches'}")
    assert code == 1
    assert "task 'membrane'" in out
    with pytest.raises(ModelError, match="No network was named"):
        plan_jobs(study, RunOptions(method=CellsMethod(CellSource("network"))))


def test_damaged_weights_fail_the_image(study: Path) -> None:
    weights = study / "models" / "best.safetensors"
    source = cell_source(f"unet:{study / 'models' / 'best'}")
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    module._loaded_network.cache_clear()
    options = RunOptions(pixel_size_um=0.25, method=CellsMethod(source))
    result = score_image(plan_jobs(study, options).jobs[0])
    assert result.state == "failed"
    assert result.error is not None
    assert "do not match their card" in result.error


def test_without_torch_the_pip_line_is_printed(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def need(*packages: str) -> None:
        raise MissingExtraError('pip install "qupath-her2[learn]"')

    monkeypatch.setattr(module, "need", need)
    for source in ("unet", f"unet:{study / 'models' / 'best'}"):
        code, out = call("run", study, "--cells", source)
        assert code == 1
        assert 'pip install "qupath-her2[learn]"' in out


def test_the_shipped_network_needs_no_file_name(study: Path, field: Field) -> None:
    cv2.imwrite(str(study / "flat.png"), cv2.cvtColor(field.rgb, cv2.COLOR_RGB2BGR))
    (study / "her2.toml").write_text('cell_source = "unet"\n')
    code, out = call("run", study, "--pixel-size-um", 0.25)
    assert code == 0, out
    (run_dir,) = (p.parent for p in (study / "her2" / "results").glob("*/*/run.json"))
    record, table, _ = read_run(run_dir)
    assert table is not None
    assert record.inputs["weights"] == read_card(shipped_checkpoint("unet")).weights_sha256
    matches = match_nuclei(table.centroid_xy, field.truth.nuclei, 0.25, field.truth.other_nuclei)
    assert matches.f1 > 0.95


@pytest.mark.parametrize(
    ("pixel_size_um", "name"),
    [
        *((size, "unet") for size in (None, 0.1, 0.22, 0.25, 0.266)),
        *((size, "unet-0.5") for size in (0.267, 0.3, 0.325, 0.4, 0.46, 0.5, 0.53)),
        # Refused, in the name of the coarsest weights.
        *((size, "unet-0.5") for size in (0.54, 1.0)),
    ],
)
def test_weights_of_the_package_are_chosen_by_pixel_size(pixel_size_um: float | None, name: str) -> None:
    method = CellsMethod(cell_source("unet"))
    checkpoint = method.source.checkpoint_for(pixel_size_um)
    assert checkpoint is not None
    assert checkpoint.name == name
    card = method.card(pixel_size_um)
    assert card == read_card(checkpoint)
    assert method.record(pixel_size_um)["network"] == checkpoint
    refusal = method.scale_refusal("x.svs", pixel_size_um, card)
    assert (refusal is None) == (pixel_size_um is None or pixel_size_um < 0.54)
    if refusal is not None:
        assert "finds cells at 0.5 µm/px" in refusal.reason


def test_a_20x_image_is_segmented_at_its_own_scale_and_the_result_says_so(study: Path) -> None:
    side = SIDE_PX // 2
    field = draw_field(
        preset("score", SEED + 1, score="3+", pixel_size_um=0.5, width_px=side, height_px=side)
    )
    cv2.imwrite(str(study / "flat.png"), cv2.cvtColor(field.rgb, cv2.COLOR_RGB2BGR))
    code, out = call("run", study, "--pixel-size-um", 0.5, "--cells", "unet")
    assert code == 0, out
    (run_dir,) = (p.parent for p in (study / "her2" / "results").glob("*/*/run.json"))
    record, table, score = read_run(run_dir)
    assert table is not None
    fine, coarse = (read_card(path) for path in shipped_checkpoints("unet"))
    assert record.inputs["weights"] == coarse.weights_sha256
    assert record.settings["used"]["network"].endswith("unet-0.5")
    assert "cells by unet, 0.5 µm/px" in score.tags
    assert "cells by unet, 0.5 µm/px" in (study / "her2" / "report.html").read_text(encoding="utf-8")
    matches = match_nuclei(table.centroid_xy, field.truth.nuclei, 0.5, field.truth.other_nuclei)
    assert matches.f1 > 0.93
    # Another guideline is applied to the same cells, and says the same of them.
    code, out = call("score", study, "--guideline", "breast-2013")
    assert code == 0, out
    runs = [read_run(p.parent) for p in (study / "her2" / "results").glob("*/*/run.json")]
    assert len(runs) == 2
    assert all("cells by unet, 0.5 µm/px" in score.tags for _, _, score in runs)
    # The weights for 0.25 µm/px would give another result, under another hash.
    plan = plan_jobs(study, RunOptions(pixel_size_um=0.25, method=CellsMethod(cell_source("unet"))))
    with open_image(plan.jobs[0].ref) as slide:
        inputs = gather_inputs(plan.jobs[0], slide)
    assert inputs.card == fine


def test_scoring_without_a_network_loads_no_torch() -> None:
    code = (
        "import sys, qupath_her2.cli.run, qupath_her2.runs.cell_sources, "
        "qupath_her2.runs.score_image, qupath_her2.config;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


@pytest.mark.parametrize("name", ["her2net", "segnet", "bayesian-segnet"])
def test_every_segmenter_runs(name: str, study: Path, tmp_path: Path) -> None:
    """With random weights: whatever they predict, the run ends with a result."""
    (study / "her2.toml").write_text("[segment]\nsamples = 2\n")
    net = build_model(name, 3, weights="random", width=2)
    save_checkpoint(tmp_path / "net", net, replace(CARD, model=name, patch_size_px=64))
    code, out = call(
        "run",
        study,
        "--pixel-size-um",
        0.25,
        "--cells",
        f"{name}:{tmp_path / 'net'}",
        "--out",
        tmp_path / "out",
    )
    assert code == 0, out
    assert "scored" in out or "not assessable" in out
