"""Jinja environment of the HTML pages in `analysis/pages`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from fototeca.analysis.i18n import PAGES
from fototeca.core.console import escape_text


def _escape(value: object) -> object:
    """Return a value of a template with its control and bidi characters escaped; Markup stays Markup."""
    return type(value)(escape_text(value, lines=True)) if isinstance(value, str) else value


@cache
def environment() -> Environment:
    """Return the environment of `analysis/pages`: values are escaped unless they are Markup, control and bidi characters
    always; undefined names are errors."""
    loader = FileSystemLoader(PAGES)
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True, finalize=_escape)


def render_page(name: str, **values: object) -> str:
    """Render a whole page from `analysis/pages/NAME`."""
    return environment().get_template(name).render(values)


@cache
def macro(template: str, name: str) -> Callable[..., Markup]:
    """Return a macro of a template; it returns Markup."""
    function: Any = getattr(environment().get_template(template).module, name)
    return lambda *arguments: Markup(function(*arguments))
