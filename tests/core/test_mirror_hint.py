"""Categories that a mirror would exchange or make wrong."""

from __future__ import annotations

import pytest

from fototeca.core.mirror_hint import mirror_hint


@pytest.mark.parametrize(
    ("names", "part"),
    [
        (["turn left", "turn-right", "stop"], "left and right"),
        (["Mano izquierda", "mano_derecha"], "izquierda and derecha"),
        (["0", "1", "2"], "0, 1, 2 look like digits or letters"),
        (["letra a", "letra b", "letra c"], "look like digits or letters"),
        (["digit-3", "digit-four", "digit-5"], "look like digits or letters"),
        (["tres", "cuatro", "cinco"], "look like digits or letters"),
    ],
)
def test_sides_and_characters_are_recognized(names: list[str], part: str) -> None:
    """In English and Spanish, inside of longer names too."""
    assert part in (hint := mirror_hint(names)) and "mirror = false" in hint


@pytest.mark.parametrize("names", [["beagle", "pug"], ["left", "middle"], ["type a", "type b", "type o"], ["a", "b"]])
def test_other_categories_are_not(names: list[str]) -> None:
    """One side alone and letters in other names say nothing."""
    assert not mirror_hint(names)
