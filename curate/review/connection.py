"""Import FiftyOne on use and connect it to its database: that of FIFTYONE_DATABASE_URI, else fototeca's own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from typing import Any
from urllib.parse import unquote

from fototeca.core.errors import ExternalError, FototecaError
from fototeca.curate.review.doctor import FIX
from fototeca.curate.review.mongod import start_mongod

FiftyOne = Any
"""The module; it has no type hints."""

URI = "FIFTYONE_DATABASE_URI"
_WITHOUT = "or review without it: fototeca curate review --web"


@contextmanager
def connect_fiftyone(uri: str = "") -> Iterator[FiftyOne]:
    """Yield FiftyOne, connected, quiet and without telemetry.

    Args:
        uri: a database that runs; by default that of FIFTYONE_DATABASE_URI, else fototeca's own, which is started.

    Raises:
        ExternalError: (exit 4) FiftyOne cannot be imported, or its database does not start or stops answering.
        FototecaError: this process uses FiftyOne with another database already.
    """
    from pymongo.errors import PyMongoError

    with redirect_stdout(sys.stderr):
        fo = _import_fiftyone()
        try:
            _connect(fo, uri or os.environ.get(URI, "") or start_mongod())
            fo.list_datasets()
        except FototecaError as error:
            raise type(error)(error.message, f"{error.hint}; {_WITHOUT}") from None
        except Exception as error:  # FiftyOne, pymongo and the operating system each raise their own
            raise _database_error(error, f"{FIX}; {_WITHOUT}") from None
        try:
            yield fo
        except PyMongoError as error:
            raise _database_error(error, "saved edits are kept: start it and run the same command again") from None


def _import_fiftyone() -> FiftyOne:
    os.environ.setdefault("FIFTYONE_DO_NOT_TRACK", "true")
    os.environ.setdefault("FIFTYONE_DATABASE_VALIDATION", "false")
    os.environ.setdefault("FIFTYONE_LOGGING_LEVEL", "WARNING")  # it would print how to reach this machine from another one
    try:
        return import_module("fiftyone")
    except Exception as error:  # a broken installation raises anything
        hint = f"run: fototeca doctor; {_WITHOUT}"
        raise ExternalError(f"FiftyOne cannot be imported: {_first_line(error)}", hint) from None


def _connect(fo: FiftyOne, uri: str) -> None:
    """Give FiftyOne its database. It connects on first use, so it may have been imported before."""
    fo.config.database_uri = uri
    path = unquote(uri.removeprefix("mongodb://"))
    if path.startswith("/") and fo.core.odm.get_db_client().address[0] != path:
        hint = f"restart Python, or set {URI} to the other database"
        raise FototecaError("FiftyOne is connected to another database in this process", hint)


def _database_error(error: Exception, hint: str) -> FototecaError:
    return ExternalError(f"FiftyOne's database does not answer: {_first_line(error)}", hint)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
