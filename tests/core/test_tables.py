"""Tables on the terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from fototeca.core.tables import render_table


def test_columns_align_and_wide_characters_count_two() -> None:
    """Right-aligned numbers end in one column, below names in any script."""
    lines = render_table(["name", "images"], [["beagle", 7], ["柴犬", 120]], right=["images"]).splitlines()
    assert lines[0] == "name    images"
    assert [cell_len(line) for line in lines] == [14, 14, 14]
    assert lines[1].endswith("     7") and lines[2].endswith("   120")


def test_markup_in_cells_is_text() -> None:
    """A category named like a style is printed as it is."""
    assert "[bold]x[/bold]" in render_table(["name"], [["[bold]x[/bold]"]])


@given(st.lists(st.tuples(st.text("abcdef柴", min_size=1, max_size=200), st.integers()), max_size=5))
def test_tables_fit_80_columns_and_lose_nothing(rows: list[tuple[str, int]]) -> None:
    """Long cells wrap inside their column."""
    text = render_table(["name", "count"], rows, indent=2)
    assert all(cell_len(line) <= 80 and line == line.rstrip() for line in text.splitlines())
    for name, _ in rows:
        for character in set(name):
            assert text.count(character) >= name.count(character)
