"""Jinja environment of the HTML pages in `analysis/pages`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from fototeca.analysis.i18n import PAGES


@cache
def environment() -> Environment:
    """Return the environment of `analysis/pages`: values are escaped unless they are Markup, undefined names are errors."""
    loader = FileSystemLoader(PAGES)
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)


def render_page(name: str, **values: object) -> str:
    """Render a whole page from `analysis/pages/NAME`."""
    return environment().get_template(name).render(values)


@cache
def macro(template: str, name: str) -> Callable[..., Markup]:
    """Return a macro of a template; it returns Markup."""
    function: Any = getattr(environment().get_template(template).module, name)
    return lambda *arguments: Markup(function(*arguments))
