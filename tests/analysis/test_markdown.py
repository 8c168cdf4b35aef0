"""A person's words become safe HTML, and links lead to the web or to files alone."""

from __future__ import annotations

import pytest

from analysis.report.html import link
from analysis.report.markdown import render


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("**one *two* three**", "<p><strong>one <em>two</em> three</strong></p>"),
        (
            "**see [it](https://x.org/a) and `b`**",
            '<p><strong>see <a href="https://x.org/a">it</a> and <code>b</code></strong></p>',
        ),
        ("[*all*](https://x.org/*a*/**b**?q=1&r=2)", '<p><a href="https://x.org/*a*/**b**?q=1&amp;r=2"><em>all</em></a></p>'),
        ("[x](https://x.org/`a`)", "<p>[x](https://x.org/<code>a</code>)</p>"),
        ("`*not* <b>`", "<p><code>*not* &lt;b&gt;</code></p>"),
        ('[x](https://x.org/"onload=y)', '<p><a href="https://x.org/&#34;onload=y">x</a></p>'),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
        ("1. a\n2. b\n   c", "<ol><li>a</li><li>b c</li></ol>"),
        ("### Title\ntext", "<h4>Title</h4><p>text</p>"),
    ],
)
def test_what_people_write(text: str, html: str) -> None:
    """Emphasis around links and code, none inside them; nothing but the web is linked, and quotation marks end no attribute."""
    assert render(text) == html


@pytest.mark.parametrize(
    "href", ["javascript:alert(1)", "JAVASCRIPT:alert(1)", "data:text/html,x", "file:///etc/passwd", " vbscript:x"]
)
def test_other_addresses_are_no_links(href: str) -> None:
    """The words stay."""
    assert link("<words>", href) == "&lt;words&gt;"


@pytest.mark.parametrize(
    "href", ["https://x.org/a:b", "http://x.org", "figures-en/a.csv#row=2", "../v001.csv", "#task", "a/b:c.csv"]
)
def test_the_web_and_files_are_links(href: str) -> None:
    """As they are given."""
    assert link("words", href) == f'<a href="{href}">words</a>'
