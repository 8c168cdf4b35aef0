"""User texts are rendered as safe HTML; only links to the web and to files are kept."""

from __future__ import annotations

import re

import pytest

from fototeca.analysis.report.html import link
from fototeca.analysis.report.markdown import render_markdown


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("**one *two* three**", "<p><strong>one <em>two</em> three</strong></p>"),
        (
            "**see [it](https://x.org/a) and `b`**",
            '<p><strong>see <a href="https://x.org/a">it</a> and <code>b</code></strong></p>',
        ),
        ("[*all*](https://x.org/*a*/**b**?q=1&r=2)", '<p><a href="https://x.org/*a*/**b**?q=1&amp;r=2"><em>all</em></a></p>'),
        ("`*not* <b>`", "<p><code>*not* &lt;b&gt;</code></p>"),
        ("<b onclick=x>&amp;</b>", "<p>&lt;b onclick=x&gt;&amp;&lt;/b&gt;</p>"),
        ('[x](https://x.org/"onload=y)', '<p><a href="https://x.org/%22onload=y">x</a></p>'),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
        ("![x](https://x.org/track.png)", '<p>!<a href="https://x.org/track.png">x</a></p>'),
        ("1) a\n2) b\n   c", "<ol><li>a</li><li>b\nc</li></ol>"),
        ("- a\n  - _b_\n\n> said", "<ul><li>a<ul><li><em>b</em></li></ul></li></ul><blockquote><p>said</p></blockquote>"),
        ("# Title\ntext", "<h4>Title</h4><p>text</p>"),
        ("```\n## x\n```", "<pre><code>## x</code></pre>"),
        (
            "|a|\n|-|\n|1|",
            "<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>",
        ),
    ],
)
def test_markdown_is_rendered_as_safe_html(text: str, html: str) -> None:
    """Emphasis, links and code are rendered; HTML, scripts and images are not."""
    assert re.sub(r"(?<=>)\n|\n(?=<[/ou])", "", render_markdown(text)) == html


@pytest.mark.parametrize(
    "href", ["javascript:alert(1)", "JAVASCRIPT:alert(1)", "data:text/html,x", "file:///etc/passwd", " vbscript:x"]
)
def test_unsafe_addresses_are_not_linked(href: str) -> None:
    """The text remains, escaped."""
    assert link("<words>", href) == "&lt;words&gt;"


@pytest.mark.parametrize(
    "href", ["https://x.org/a:b", "http://x.org", "figures-en/a.csv#row=2", "../v001.csv", "#task", "a/b:c.csv"]
)
def test_web_and_relative_addresses_are_linked(href: str) -> None:
    """The address is unchanged."""
    assert link("words", href) == f'<a href="{href}">words</a>'
