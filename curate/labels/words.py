"""Words that people write as tags or labels instead of a category, and categories in another spelling.

A word is read in any case, with spaces around it and with or without accents: `reject`, `reject:REASON`, `delete`, `reviewed`,
`restore`, `apart` and `apart:IMAGE_ID`, in English or Spanish. A category of the workspace wins over a word.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from fototeca.collect.catalog import ReviewState
from fototeca.core.class_mapping import match_category
from fototeca.core.settings import LABEL_SEPARATOR, Settings, to_nfc
from fototeca.curate.labels.categories import split_label
from fototeca.curate.labels.review_state import DEFAULT_REASON

WordAction = Literal["reject", "reviewed", "restore", "apart"]

DELETED = "deleted"
"""Reason of a rejection by the word `delete` or by the deletion of a sample."""

_DELETE = ("delete", "deleted", "remove", "eliminar", "eliminada", "eliminado", "borrar", "borrada", "borrado")
_DISCARD = ("discard", "discarded", "descartar", "descartada", "descartado")
_SPELLINGS: dict[WordAction, tuple[str, ...]] = {
    "reject": ("reject", "rejected", "rechazar", "rechazada", "rechazado", *_DISCARD, *_DELETE),
    "reviewed": ("reviewed", "revisada", "revisado"),
    "restore": ("restore", "restored", "restaurar", "restaurada", "restaurado"),
    "apart": ("apart", "aparte", "separar", "separada", "separado"),
}
_ACTIONS = {spelling: action for action, spellings in _SPELLINGS.items() for spelling in spellings}

WORDS_HINT = "the tags are reject, reject:REASON, delete, reviewed, restore, apart and apart:IMAGE_ID"


@dataclass(frozen=True)
class Word:
    """A word with its argument: the reason of a rejection, the other image of `apart`, else empty."""

    action: WordAction
    argument: str = ""


@dataclass(frozen=True)
class SampleMarks:
    """Labels, tags of the sample, and tags of each label, as a person left them in the App."""

    labels: tuple[str, ...]
    tags: tuple[str, ...] = ()
    label_tags: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class SampleEdit:
    """Meaning of a sample's marks.

    `apart`: for each image of which it is not a copy, the beginning of the id; empty text: the other images of its group.
    `problems`: one line for each mark that contradicts another or means nothing on this sample. `unknown_tags` and
    `unknown_label_tags`: tags that are no words, to be reported and left as they are.
    """

    state: ReviewState
    apart: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    unknown_tags: tuple[str, ...] = ()
    unknown_label_tags: tuple[str, ...] = ()


def parse_word(text: str) -> Word | None:
    """Return the word that a tag or label is, or None."""
    head, _, argument = text.partition(":")
    letters = unicodedata.normalize("NFKD", head).encode("ascii", "ignore").decode().strip().lower()
    action = _ACTIONS.get(letters)
    if action is None or (argument.strip() and action not in ("reject", "apart")):
        return None
    argument = argument.strip().lower()
    if action == "reject":
        argument = argument or (DELETED if letters in _DELETE else DEFAULT_REASON)
    return Word(action, argument)


def find_rejection(text: str) -> str:
    """Return `reject` or `reject:REASON` for a word that rejects an image, "" for other texts."""
    word = parse_word(text)
    if word is None or word.action != "reject":
        return ""
    return "reject" if word.argument == DEFAULT_REASON else f"reject:{word.argument}"


def find_category(text: str, settings: Settings) -> str:
    """Return the category that `text` names, ignoring case, accents, separators and plural; "" for none or several.

    A leading number counts, unlike in names of folders: a person's label must not become another category.
    """
    name = to_nfc(text.strip())
    if name in settings.names:
        return name
    return match_category(name, settings, has_number=False)


def resolve_label(label: str, settings: Settings) -> str:
    """Return a label with its categories as the workspace spells them; unknown categories stay as they are."""
    names = label.split(LABEL_SEPARATOR) if settings.task == "multi" else [label]
    return LABEL_SEPARATOR.join(find_category(name, settings) or name for name in names)


def read_marks(marks: SampleMarks, pushed: ReviewState, settings: Settings) -> SampleEdit:
    """Return the meaning of a sample's marks. `pushed`: the state that the sample was given last.

    A new tag wins over the tags that were pushed: `restore` beside a pushed rejection ends it, and another reason replaces the
    pushed one.
    """
    label, words = _read_labels(marks.labels, pushed, settings)
    words += [word for tags in marks.label_tags for word in map(parse_word, tags) if word and word.action != "reject"]
    problems = _label_problems(marks, label)
    if not problems:
        words += [word for tags in marks.label_tags for word in map(parse_word, tags) if word and word.action == "reject"]
    words += [word for word in map(parse_word, marks.tags) if word]
    if not marks.labels and pushed.label and settings.task == "single":
        label = pushed.label
        if not any(word.action == "reject" for word in words):
            problems.append("its label was deleted; give it another one, or tag the sample reject")
    state, problem = _state(label, words, pushed)
    apart = tuple(dict.fromkeys(word.argument for word in words if word.action == "apart"))
    unknown = (_unknown(marks.tags), _unknown(tag for tags in marks.label_tags for tag in tags))
    return SampleEdit(state, apart, (*problems, *problem), *unknown)


def _unknown(tags: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tag for tag in tags if parse_word(tag) is None))


def describe_unknown_tag(tag: str) -> str:
    """Return the problem of a tag that is no word."""
    return f"tag {tag!r} is not understood; {WORDS_HINT}"


def _read_labels(labels: Sequence[str], pushed: ReviewState, settings: Settings) -> tuple[str, list[Word]]:
    """Return the label, and the words among the labels; words alone leave the pushed label."""
    names, words = set(), []
    known = split_label(pushed.label)
    for text in labels:
        word = None if text in known or find_category(text, settings) else parse_word(text)
        if word:
            words.append(word)
        else:
            names.add(text if text in known else find_category(text, settings) or text)
    if labels and not names:
        return pushed.label, words
    if {*names} == {*known} and {*labels} != {*known}:
        words.append(Word("reviewed"))  # the same label in another spelling confirms it
    return LABEL_SEPARATOR.join(sorted(names)), words


def _label_problems(marks: SampleMarks, label: str) -> list[str]:
    """Return a problem if `reject` is on some of several labels only."""
    rejecting = [any(word and word.action == "reject" for word in map(parse_word, tags)) for tags in marks.label_tags]
    if any(rejecting) and not all(rejecting):
        return [f"reject is on one label of {label!r} only; tag the sample to reject the image, or delete that label"]
    return []


def _state(label: str, words: Iterable[Word], pushed: ReviewState) -> tuple[ReviewState, list[str]]:
    """Return the state that words describe, and a problem if new words contradict each other."""
    reasons = [word.argument for word in words if word.action == "reject"]
    actions = {word.action for word in words}
    new_reasons = [reason for reason in reasons if reason != pushed.rejected]
    state = ReviewState(label, next(iter([*new_reasons, *reasons]), ""), "reviewed" in actions, "restore" in actions)
    if not (state.rejected and state.restored) or pushed.restored:
        return state, []
    if new_reasons:
        return replace(pushed, label=label), ["reject and restore contradict each other; leave one of the two tags"]
    return replace(state, rejected=""), []
