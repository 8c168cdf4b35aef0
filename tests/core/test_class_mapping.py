"""Categories of names that are spelled otherwise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fototeca.core.class_mapping import match_category
from fototeca.core.settings import Category, Settings


def settings_of(*names: str, **queries: tuple[str, ...]) -> Settings:
    """Return settings with these categories; `queries` by category."""
    return Settings("d", "single", 10, "", tuple(Category(name, queries.get(name, ())) for name in names))


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("Foxes", "fox"),
        ("fox", "fox"),
        ("flores", "flor"),
        ("PECES", "pez"),
        ("cherries", "cherry"),
        ("León", "leon"),
        ("leones", "leon"),
        ("Niños", "niño"),
        ("n02121620_foxes", "fox"),
        ("red_foxes", ""),
        ("es", ""),
        ("ies", ""),
        ("", ""),
        ("...", ""),
    ],
)
def test_plurals_case_and_accents(name: str, category: str) -> None:
    """English and Spanish plurals, in either direction of accents."""
    assert match_category(name, settings_of("fox", "flor", "pez", "cherry", "leon", "niño")) == category


def test_spelling_of_two_categories_names_neither() -> None:
    """`CATS` could be `cat` or `Cats`; an exact name is not looked up by its spelling."""
    assert match_category("CATS", settings_of("cat", "Cats")) == ""
    assert match_category("pet", settings_of("cat", "dog", cat=("pet",), dog=("pet",))) == ""
    assert match_category("cat", settings_of("cat", "dog", dog=("cat",))) == "cat"


@pytest.mark.parametrize(
    ("name", "categories", "category"),
    [
        ("1 euro", ("2 euro",), ""),
        ("1_euro", ("1 euro", "2 euro"), "1 euro"),
        ("01_euros", ("euro",), "euro"),
        ("C#", ("C++",), ""),
        ("c++", ("C", "C++"), "C++"),
        ("\u0915\u0940", ("\u0915\u093f",), ""),
        ("Black & White", ("black-white",), ""),
        ("cat (domestic)", ("cat-domestic",), "cat-domestic"),
    ],
)
def test_numbers_and_signs_distinguish_names(name: str, categories: tuple[str, ...], category: str) -> None:
    """Names that differ in a number, a sign or a vowel mark are other names; a leading number may be left out."""
    assert match_category(name, settings_of(*categories)) == category


@given(st.text(max_size=12))
def test_any_text_matches_itself(name: str) -> None:
    """A category is found by its own name, whatever its letters."""
    assert match_category(name, settings_of(name)) == name
