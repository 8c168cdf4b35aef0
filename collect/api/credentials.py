"""Keys of services: read from the environment when needed, never stored or shown."""

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

from fototeca.core.errors import ExternalError
from fototeca.vision.checks import Check

_MIN_LENGTH = 8
"""Characters of a key; a shorter value would be redacted in unrelated text."""


@dataclass(frozen=True)
class Key:
    """Places where a service's key is looked up, and the page where a person gets one."""

    variable: str
    page: str
    files: tuple[str, ...] = ()
    """Files that the service's own client reads; `~` and `$VARIABLE` are expanded."""

    alternatives: tuple[str, ...] = ()
    """Other variables that may hold the key."""

    purpose: str = ""
    """Requests that need the key, if not all of them."""

    @property
    def location(self) -> str:
        """The variable or file that holds a key; empty if there is none. The key is neither shown nor tried."""
        for name in (self.variable, *self.alternatives):
            if os.environ.get(name):
                return f"{name} is set"
        return next((file for file, path in self._paths() if path.is_file()), "")

    def redactor(self) -> Callable[[str], str]:
        """Return a function that replaces the key in a text by `(key)`, in every encoding in which a service may repeat it."""
        encodings = {
            text for value in self._values() for text in (value, json.dumps(value)[1:-1], quote(value), quote_plus(value))
        }
        if not encodings:
            return str
        pattern = "|".join(map(re.escape, sorted(encodings, key=len, reverse=True)))
        return partial(re.compile(pattern, re.IGNORECASE).sub, "(key)")  # percent escapes may be in lower case

    def _paths(self) -> list[tuple[str, Path]]:
        """Return the files as written and as expanded paths, without those whose variable is not set."""
        expanded = ((file, os.path.expandvars(file)) for file in self.files)
        return [(file, Path(path).expanduser()) for file, path in expanded if "$" not in path]

    def _values(self) -> list[str]:
        """Return the keys from every place a client may read, without those too short to be one."""
        values = [os.environ.get(name, "").strip() for name in (self.variable, *self.alternatives)]
        for path in (*(path for _, path in self._paths()), *map(Path, filter(None, values))):  # a variable may name a file
            with suppress(OSError, ValueError, LookupError, TypeError):
                text = path.read_text(encoding="utf-8").strip()
                values.append(str(json.loads(text)["key"]) if text.startswith("{") else text)
        return [value for value in values if len(value) >= _MIN_LENGTH]


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
        "for discover and private datasets (KAGGLE_KEY together with KAGGLE_USERNAME)",
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
"""Keys of hubs (Hugging Face: only for gated datasets). A source declares its key in its own module."""


def get_key(source: str, key: Key) -> str:
    """Return the key's value. FototecaError (exit 4) names the variable to set and the page that issues keys."""
    value = os.environ.get(key.variable, "").strip()
    if not value:
        raise ExternalError(f"{source} needs a key", f"set {key.variable}; get one at {key.page}")
    return value


def key_checks(keys: Mapping[str, Key]) -> list[Check]:
    """Return one check per key for `fototeca doctor`: passed if the key is set."""
    return [
        Check(
            f"key {name}",
            bool(key.location),
            key.location or "no key",
            f"{key.purpose or f'only for {name}'}: set {' or '.join((key.variable, *key.alternatives))}; get one at {key.page}",
        )
        for name, key in keys.items()
    ]
