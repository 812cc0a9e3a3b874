from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qupath_her2.errors import ModelError
from qupath_her2.models.card import (
    ModelCard,
    card_bytes,
    card_path,
    check_patch_scale,
    read_card,
    weights_path,
)

CARD = ModelCard(
    model="se-resnet50",
    class_names=("negative", "equivocal", "positive"),
    task="her2-response",
    pixel_size_um=0.25,
    patch_size_px=512,
    mean=(0.5, 0.4, 0.3),
    std=(0.2, 0.2, 0.1),
    metrics={"accuracy": 0.75, "by case": {"a": [1, 2]}},
    weights_sha256="0" * 64,
)


def write(folder: Path, content: object) -> Path:
    path = folder / "best.json"
    path.write_bytes(content if isinstance(content, bytes) else orjson.dumps(content))
    return path


@pytest.mark.parametrize("name", ["best", "best.json", "best.safetensors"])
def test_a_checkpoint_has_three_names(name: str, tmp_path: Path) -> None:
    assert card_path(tmp_path / name) == tmp_path / "best.json"
    assert weights_path(tmp_path / name) == tmp_path / "best.safetensors"


def test_a_dot_in_the_name_stays() -> None:
    assert weights_path(Path("fold1.best")) == Path("fold1.best.safetensors")


def test_a_card_round_trips(tmp_path: Path) -> None:
    write(tmp_path, card_bytes(CARD))
    assert read_card(tmp_path / "best") == CARD


def test_an_unknown_pixel_size_is_null_in_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, card_bytes(dataclasses.replace(CARD, pixel_size_um=math.nan)))
    assert orjson.loads(path.read_bytes())["pixel_size_um"] is None
    assert math.isnan(read_card(path).pixel_size_um)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", ""),
        ("class_names", ["a"]),
        ("class_names", ["a", "a"]),
        ("class_names", "ab"),
        ("pixel_size_um", 0),
        ("pixel_size_um", True),
        ("patch_size_px", 512.0),
        ("patch_size_px", -1),
        ("mean", [0.5, 0.5]),
        ("std", [0.1, 0.1, 0.0]),
        ("options", []),
        ("stain", 3),
        ("temperature", 0),
        ("abstain_below", 1.1),
        ("versions", {"torch": 2}),
        ("weights_sha256", "xyz"),
        ("format", 2),
        ("format", True),
        ("more", 1),
    ],
)
def test_a_wrong_field_is_named(field: str, value: object, tmp_path: Path) -> None:
    content = {**orjson.loads(card_bytes(CARD)), field: value}
    with pytest.raises(ModelError, match=field):
        read_card(write(tmp_path, content))


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    content = orjson.loads(card_bytes(CARD))
    del content["temperature"]
    with pytest.raises(ModelError, match="'temperature' is missing"):
        read_card(write(tmp_path, content))


def test_a_missing_card_is_an_error_that_names_both_files(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"best\.json' is not there.*copy both"):
        read_card(tmp_path / "best.safetensors")


def test_a_card_that_could_not_be_read_is_not_written() -> None:
    with pytest.raises(ModelError, match="temperature"):
        card_bytes(dataclasses.replace(CARD, temperature=math.nan))
    with pytest.raises(ModelError, match="JSON"):
        card_bytes(dataclasses.replace(CARD, metrics={"a": object()}))


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        _JSON.map(orjson.dumps),
        st.tuples(st.sampled_from([f.name for f in dataclasses.fields(ModelCard)]), _JSON).map(
            lambda pair: orjson.dumps({**orjson.loads(card_bytes(CARD)), pair[0]: pair[1]})
        ),
    )
)
def test_any_file_is_a_card_or_a_clear_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = write(tmp_path_factory.getbasetemp(), data)
    try:
        card = read_card(path)
    except ModelError:
        return
    # An accepted card can be written, and is read as the same card.
    again = read_card(write(tmp_path_factory.getbasetemp(), card_bytes(card)))
    assert card_bytes(again) == card_bytes(card)


class TestPatchScale:
    def test_matching_scale_and_size_pass(self) -> None:
        check_patch_scale(CARD, 0.2525, 512, where="slide.svs")
        check_patch_scale(dataclasses.replace(CARD, pixel_size_um=math.nan), 0.5, 512, where="slide.svs")

    @pytest.mark.parametrize(
        ("scale", "side", "words"),
        [
            (0.5, 512, r"slide\.svs: patches have 0\.5 µm/px.*trained at 0\.25.*patches --um-px 0\.25"),
            (math.nan, 512, "pixel size is unknown.*Set it in QuPath"),
            (0.25, 256, "patches have 256 px.*patches --size 512"),
        ],
    )
    def test_another_scale_or_size_is_refused_with_the_remedy(
        self, scale: float, side: int, words: str
    ) -> None:
        with pytest.raises(ModelError, match=words):
            check_patch_scale(CARD, scale, side, where="slide.svs")
