"""Tests for words written as tags or labels, and for categories in another spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fototeca.collect.catalog import ReviewState
from fototeca.core.settings import Category, Settings, Task
from fototeca.curate.labels.words import SampleMarks, Word, find_category, parse_word, read_marks, resolve_label


def settings(*names: str, task: Task = "single") -> Settings:
    """Return the settings of a workspace with these categories."""
    return Settings("test", task, 100, "", tuple(Category(name, (name,)) for name in names))


PETS = settings("cat", "siberian husky", "pingüino")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("reject", Word("reject", "review")),
        ("Reject", Word("reject", "review")),
        (" REJECT : Blurry ", Word("reject", "blurry")),
        ("reject:", Word("reject", "review")),
        ("Delete", Word("reject", "deleted")),
        ("delete:off-topic", Word("reject", "off-topic")),
        ("Eliminar", Word("reject", "deleted")),
        (" DESCARTADA ", Word("reject", "review")),
        ("REVIEWED", Word("reviewed")),
        ("Restaurar", Word("restore")),
        ("Apart", Word("apart")),
        ("apart:3FA2b7", Word("apart", "3fa2b7")),
        ("rejct", None),
        ("reviewed:twice", None),
        ("blurry", None),
        ("", None),
    ],
)
def test_parse_word(text: str, word: Word | None) -> None:
    """Case, spaces and the language do not matter; other texts are no words."""
    assert parse_word(text) == word


@pytest.mark.parametrize(
    ("text", "category"),
    [
        (" cat ", "cat"),
        ("CATS", "cat"),
        ("Siberian-Husky", "siberian husky"),
        ("siberian  husky", "siberian husky"),
        ("PINGUINO", "pingüino"),
        ("pingu\u0308ino", "pingüino"),
        ("wolf", ""),
        ("!!!", ""),
    ],
)
def test_find_category(text: str, category: str) -> None:
    """Other spellings of one category name it; anything else names none."""
    assert find_category(text, PETS) == category


@pytest.mark.parametrize(
    ("category", "text"), [("2 euro", "1 euro"), ("c++", "c#"), ("\u72ac a", "\u732b a"), ("\u304b", "\u304c")]
)
def test_another_name_is_not_taken_for_a_category(category: str, text: str) -> None:
    """Digits, signs and letters of any script distinguish names."""
    assert find_category(text, settings(category)) == ""


def test_spelling_of_two_categories_names_neither() -> None:
    """Where categories differ in spelling only, only the exact name counts."""
    both = settings("crab", "Crabs")
    assert [find_category(text, both) for text in ("crab", "Crabs", "CRAB")] == ["crab", "Crabs", ""]


def test_resolve_label_of_several_categories() -> None:
    """Each category of a multi-label label is resolved; unknown ones stay, to be reported."""
    assert resolve_label("CAT|Pinguino|wolf", settings("cat", "pingüino", task="multi")) == "cat|pingüino|wolf"


CAT = ReviewState("cat")


@pytest.mark.parametrize(
    ("marks", "state"),
    [
        (SampleMarks(("cat",)), CAT),
        (SampleMarks(("Reject",)), ReviewState("cat", "review")),
        (SampleMarks(("Reject: Blurry",)), ReviewState("cat", "blurry")),
        (SampleMarks(("cat",), (), (("reject",),)), ReviewState("cat", "review")),
        (SampleMarks(("cat",), (), (("Reviewed",),)), ReviewState("cat", reviewed=True)),
        (SampleMarks(("delete",)), ReviewState("cat", "deleted")),
        (SampleMarks(("cat",), ("REVIEWED",)), ReviewState("cat", reviewed=True)),
        (SampleMarks(("CAT",)), ReviewState("cat", reviewed=True)),
        (SampleMarks(("Siberian_Husky",)), ReviewState("siberian husky")),
        (SampleMarks((), ("delete",)), ReviewState("cat", "deleted")),
        (SampleMarks(("wolf",)), ReviewState("wolf")),
    ],
)
def test_marks_of_a_single_label_sample(marks: SampleMarks, state: ReviewState) -> None:
    """A word typed as a label leaves the label; the same label in another spelling confirms it."""
    edit = read_marks(marks, CAT, PETS)
    assert (edit.state, edit.problems, edit.apart) == (state, (), ())


def test_category_named_like_a_word_is_a_category() -> None:
    """A category of the workspace wins over a word."""
    assert read_marks(SampleMarks(("Reject",)), CAT, settings("cat", "reject")).state == ReviewState("reject")


def test_new_tags_win_over_pushed_tags() -> None:
    """Tags that the sample had before do not hide new ones."""
    rejected = ReviewState("cat", "blurry", reviewed=True)
    tags = ("reject:blurry", "reviewed")
    assert read_marks(SampleMarks(("cat",), (*tags, "restore")), rejected, PETS).state == ReviewState("cat", "", True, True)
    assert read_marks(SampleMarks(("cat",), (*tags, "reject:dark")), rejected, PETS).state.rejected == "dark"


def test_marks_that_are_not_understood_are_named() -> None:
    """Contradicting tags and a deleted label are problems, unknown tags are listed; none of them changes the state."""
    unknown = read_marks(SampleMarks(("cat",), ("rejct", "reviewed"), (("Wrong", "Wrong"),)), CAT, PETS)
    assert (unknown.unknown_tags, unknown.unknown_label_tags, unknown.problems) == (("rejct",), ("Wrong",), ())
    assert unknown.state == ReviewState("cat", reviewed=True)
    cases = [
        (SampleMarks(("cat",), ("reject", "restore")), "contradict", CAT),
        (SampleMarks(()), "label was deleted", CAT),
    ]
    for marks, problem, state in cases:
        edit = read_marks(marks, CAT, PETS)
        assert edit.state == state
        assert len(edit.problems) == 1 and problem in edit.problems[0]


def test_marks_of_a_multi_label_sample() -> None:
    """Words among labels leave the other labels; `reject` on one of several label tags is named."""
    multi = settings("cat", "dog", task="multi")
    both = ReviewState("cat|dog")
    assert read_marks(SampleMarks(("Dog", "cat", "Reject")), both, multi).state == ReviewState("cat|dog", "review", True)
    assert read_marks(SampleMarks(("reject",)), both, multi).state == ReviewState("cat|dog", "review")
    all_tagged = SampleMarks(("cat", "dog"), (), (("reject",), ("Reject",)))
    assert read_marks(all_tagged, both, multi).state == ReviewState("cat|dog", "review")
    one_tagged = read_marks(SampleMarks(("cat", "dog"), (), (("reject",), ())), both, multi)
    assert one_tagged.state == both and "one label" in one_tagged.problems[0]
    assert read_marks(SampleMarks(()), both, multi).state == ReviewState("")


def test_apart_names_the_group_or_an_image() -> None:
    """`apart` concerns the group, `apart:ID` one image; the state stays."""
    edit = read_marks(SampleMarks(("cat",), ("Apart", "apart:3FA2")), CAT, PETS)
    assert (edit.state, edit.apart) == (CAT, ("", "3fa2"))


@given(st.text(max_size=12), st.sampled_from(["label", "tag", "label tag"]))
def test_no_mark_is_ignored_in_silence(text: str, place: str) -> None:
    """Any text becomes a changed state, a pair, or a problem."""
    marks = {
        "label": SampleMarks((text,)),
        "tag": SampleMarks(("cat",), (text,)),
        "label tag": SampleMarks(("cat",), (), ((text,),)),
    }[place]
    edit = read_marks(marks, CAT, PETS)
    assert text == "cat" or edit.state != CAT or edit.apart or edit.unknown_tags or edit.unknown_label_tags
