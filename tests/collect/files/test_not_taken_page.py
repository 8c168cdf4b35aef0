"""docs/not-taken.md lists every reason for which a file, member or row is passed over."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from fototeca.vision.image_files import KIND_BY_ENDING

ROOT = Path(__file__).parents[3]
PACKAGES = ("core", "vision", "collect", "curate", "analysis")
REASON_FUNCTIONS = {"_fault", "_extract", "_write"}
"""Functions that return a reason, beside those with the word in their name."""


def words(node: ast.expr, constants: dict[str, ast.expr]) -> Iterator[str]:
    """Yield the strings that an expression may give; names stand for the constants of their module."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value
        elif isinstance(part, ast.Name) and part.id in constants:
            value = constants[part.id]
            values = value.values if isinstance(value, ast.Dict) else [value]
            yield from (item.value for item in values if is_text(item))


def is_text(node: ast.AST) -> bool:
    """Return True for a string constant."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def reasons_in(path: Path) -> Iterator[str]:
    """Yield the reasons that a module counts or returns."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    targets = [(node.targets[0], node.value) for node in tree.body if isinstance(node, ast.Assign)]
    targets += [(node.target, node.value) for node in tree.body if isinstance(node, ast.AnnAssign) and node.value]
    constants = {target.id: value for target, value in targets if isinstance(target, ast.Name) and target.id.isupper()}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and len(node.args) == 2:
            if node.func.attr == "add" and "passed_over" in ast.unparse(node.func.value):
                yield from words(node.args[0], constants)
            elif node.func.attr == "_pass_over":
                yield from words(node.args[1], constants)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "Member":
            yield from (word for keyword in node.keywords if keyword.arg == "reason" for word in words(keyword.value, {}))
        elif isinstance(node, ast.FunctionDef) and ("reason" in node.name or node.name in REASON_FUNCTIONS):
            returned = [part.value for part in ast.walk(node) if isinstance(part, ast.Return) and part.value]
            yield from (value.value for value in returned if is_text(value))
            yield from (
                item.value for value in returned if isinstance(value, ast.IfExp) for item in ast.walk(value) if is_text(item)
            )


def test_every_reason_is_explained() -> None:
    """The code's words are found in its source, so that no new one can be forgotten."""
    page = (ROOT / "docs" / "not-taken.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]*) \|", page, re.MULTILINE)
    explained = {word for row in rows for word in re.findall(r"`([^`]+)`", row)}
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    used = {word for file in files for word in reasons_in(file) if re.fullmatch(r"[a-z]+(-[a-z]+)*", word)}
    assert {"excluded", "junk", "encrypted", "link-outside", "damaged-archive", "row-without-image"} <= used
    assert (used | set(KIND_BY_ENDING.values())) - explained == set()
