"""Keys of services: read from the environment when they are needed, and never written anywhere."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote, quote_plus

from fototeca.core.errors import EXIT_OUTSIDE, FototecaError
from fototeca.vision.checks import Check

_SHORTEST = 8
"""Letters of a key; what has fewer would be found in any text."""


@dataclass(frozen=True)
class Key:
    """Where a service's key is looked for, and where a person gets one."""

    variable: str
    page: str
    files: tuple[str, ...] = ()
    """Files that the service's own client reads, in the home folder (~) or where a variable ($) says."""

    others: tuple[str, ...] = ()
    """Other variables that will do."""

    use: str = ""
    """What it is for, where that is less than all of the service."""

    @property
    def found(self) -> str:
        """The variable or file that holds the key, or nothing; the key itself is not shown and not tried."""
        for name in (self.variable, *self.others):
            if os.environ.get(name):
                return f"{name} is set"
        return next((file for file, path in self._paths() if path.is_file()), "")

    def cleaner(self) -> Callable[[str], str]:
        """What leaves the key out of a text, in whatever spelling a service may repeat it in what it answers."""
        spelled = {form for value in self._values() for form in (value, json.dumps(value)[1:-1], quote(value), quote_plus(value))}
        if not spelled:
            return str
        any_case = "|".join(map(re.escape, sorted(spelled, key=len, reverse=True)))  # escapes may have small letters
        return partial(re.compile(any_case, re.IGNORECASE).sub, "(key)")

    def _paths(self) -> list[tuple[str, Path]]:
        """The files, as they are told and where they are; those whose variable is not set are nowhere."""
        places = ((file, os.path.expandvars(file)) for file in self.files)
        return [(file, Path(place).expanduser()) for file, place in places if "$" not in place]

    def _values(self) -> list[str]:
        """The key, from wherever a client may take it; what is too short to be one is none."""
        found = [os.environ.get(name, "").strip() for name in (self.variable, *self.others)]
        for path in (*(path for _, path in self._paths()), *map(Path, filter(None, found))):  # a variable may name a file
            with suppress(OSError, ValueError, LookupError, TypeError):
                text = path.read_text(encoding="utf-8").strip()
                found.append(str(json.loads(text)["key"]) if text.startswith("{") else text)
        return [value for value in found if len(value) >= _SHORTEST]


_KAGGLE_FILES = (
    "$KAGGLE_CONFIG_DIR/kaggle.json",
    "~/.kaggle/kaggle.json",
    "~/.kaggle/access_token",
    "~/.kaggle/access_token.txt",
    "$XDG_CONFIG_HOME/kaggle/kaggle.json",
    "~/.config/kaggle/kaggle.json",
)
_HUGGINGFACE_FILES = ("$HF_TOKEN_PATH", "$HF_HOME/token", "$XDG_CACHE_HOME/huggingface/token", "~/.cache/huggingface/token")

KEYS = {
    "kaggle": Key(
        "KAGGLE_KEY",
        "https://www.kaggle.com/settings",
        _KAGGLE_FILES,
        ("KAGGLE_API_TOKEN",),
        "for discover and what is not public (KAGGLE_KEY beside KAGGLE_USERNAME)",
    ),
    "roboflow": Key("ROBOFLOW_API_KEY", "https://app.roboflow.com/settings/api"),
    "huggingface": Key(
        "HF_TOKEN",
        "https://huggingface.co/settings/tokens",
        _HUGGINGFACE_FILES,
        ("HUGGING_FACE_HUB_TOKEN",),
        "for gated datasets",
    ),
}
"""The hubs that want a key (huggingface: only for datasets that are gated); a source says it in its own file."""


def get_key(source: str, key: Key) -> str:
    """The key's value. FototecaError (exit 4) says which variable to set and where keys are given."""
    value = os.environ.get(key.variable, "").strip()
    if not value:
        raise FototecaError(f"{source} needs a key", f"set {key.variable}; get one at {key.page}", EXIT_OUTSIDE)
    return value


def key_checks(keys: Mapping[str, Key]) -> list[Check]:
    """For `fototeca doctor`: which keys are set."""
    return [
        Check(
            f"key {name}",
            bool(key.found),
            key.found or "no key",
            f"{key.use or f'only for {name}'}: set {' or '.join((key.variable, *key.others))}; get one at {key.page}",
        )
        for name, key in keys.items()
    ]
