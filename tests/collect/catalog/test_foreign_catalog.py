"""A catalog that somebody else made: every row is checked as it is read, before a path is made from an id."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from fototeca.collect.catalog import Actor, Catalog, Edit, ImageRow, Provenance
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace, create_workspace

ID = "ab" * 32
ROW = ImageRow(ID, f"data/images/ab/{ID}.png", "PNG", 64, 48, "RGB", 9, "0" * 16)

Read = Callable[[Catalog], object]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace whose catalog has one image, with a place and a decision."""
    workspace = create_workspace(tmp_path / "w", ["cat", "dog"])
    with Catalog.open(workspace) as catalog, catalog.transaction():
        candidate = catalog.candidates.add(Provenance("https://example.org/x.png", "site", "cat"), "x")
        catalog.candidates.record(candidate.candidate_id, "accepted", image=ROW)
        catalog.decisions.add(ID, Edit.relabel("cat"), by=Actor.person("ana"))
    return workspace


def edit(workspace: Workspace, *statements: str) -> None:
    """Change the catalog file as a stranger would, without its checks."""
    connection = sqlite3.connect(workspace.catalog)
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    ("statement", "field", "read"),
    [
        ("UPDATE images SET image_id = '../../escaped'", "image_id", lambda c: c.images.all()),
        ("UPDATE images SET image_id = upper(image_id)", "image_id", lambda c: c.images.all("accepted")),
        ("UPDATE images SET path = '../secret.png'", "path", lambda c: c.images.get(ID)),
        ("UPDATE images SET path = 'data/images/ab/other.png'", "path", lambda c: c.images.all()),
        ("UPDATE images SET path = '/etc/passwd'", "path", lambda c: c.provenance.names()),
        ("UPDATE images SET format = 'EXE'", "format", lambda c: c.images.all()),
        ("UPDATE images SET width = -1", "width", lambda c: c.images.all()),
        ("UPDATE images SET height = 1 << 60", "height", lambda c: c.images.all()),
        ("UPDATE images SET phash = 'x'", "phash", lambda c: c.images.all()),
        ("UPDATE images SET label = '../x'", "label", lambda c: c.images.all()),
        ("UPDATE images SET added = 'soon'", "added", lambda c: c.images.all()),
        ("UPDATE candidates SET image_id = '../x'", "image_id", lambda c: c.candidates.all()),
        ("UPDATE candidates SET image_id = '../x'", "image_id", lambda c: c.provenance.file_names()),
        ("UPDATE decisions SET image_id = '../x'", "image_id", lambda c: c.decisions.all()),
        ("UPDATE decisions SET other_image_id = '../x'", "other_image_id", lambda c: c.decisions.all()),
        ("UPDATE decisions SET new_label = 'a/b'", "new_label", lambda c: c.decisions.all()),
        ("UPDATE decisions SET time = '9999-12-31T23:59:59.999999+00:00'", "time", lambda c: c.decisions.all()),
        ("UPDATE provenance SET split = '../../x'", "split", lambda c: c.provenance.of_image(ID)),
        (f"INSERT INTO groups VALUES ('{ID}', '../x', 1, '', 0, 'copy')", "group_id", lambda c: c.images.all()),
        (f"INSERT INTO groups VALUES ('{ID}', '../x', 1, '', 0, 'copy')", "group_id", lambda c: c.groups.all()),
        (f"INSERT INTO components VALUES ('{ID}', '../x')", "component", lambda c: c.images.all()),
        ("INSERT INTO signatures VALUES ('../x', 1, x'00')", "image_id", lambda c: c.duplicate_cache.signed_ids()),
        (f"INSERT INTO label_issues VALUES ('{ID}', 'cat', 'dog', 1, 'x', '../x')", "neighbors", lambda c: c.label_issues.all()),
        ("INSERT INTO quality VALUES ('../x', 'blur', 1)", "image_id", lambda c: c.quality.all()),
        ("INSERT INTO app_samples VALUES ('../x', 'd', '')", "image_id", lambda c: c.app_samples.of("d")),
        ("INSERT INTO metadata VALUES ('after-the-last-version', 'never')", "after-the-last", lambda c: c.metadata.next_time()),
    ],
)
def test_every_value_is_checked(workspace: Workspace, statement: str, field: str, read: Read) -> None:
    """Whatever statement reads the value, the error is one line with file, field, value and a hint."""
    edit(workspace, "PRAGMA foreign_keys = OFF", statement)
    with Catalog.open(workspace) as catalog, pytest.raises(FototecaError) as error:
        read(catalog)
    assert f"catalog.sqlite holds an invalid value: {field}" in error.value.message
    assert "\n" not in str(error.value)
    assert "recover" in error.value.hint


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER UPDATE ON images BEGIN DELETE FROM decisions; END",
        "CREATE VIEW v AS SELECT 1",
        "ALTER TABLE images DROP COLUMN phash",
        "ALTER TABLE images ADD COLUMN more TEXT",
        "DROP TABLE attempts",
        "CREATE TABLE more (x)",
    ],
)
def test_other_tables_are_refused(workspace: Workspace, statement: str) -> None:
    """A trigger, a view, and tables or columns that no release made are refused when the file is opened."""
    edit(workspace, statement)
    with pytest.raises(FototecaError, match=r"catalog\.sqlite is not a catalog of this fototeca: see its "):
        Catalog.open(workspace)


def test_types_of_columns_are_enforced(workspace: Workspace) -> None:
    """Tables without STRICT, which may hold any type in any column, are refused."""
    with sqlite3.connect(workspace.catalog) as connection:
        (sql,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'quality'").fetchone()
        connection.execute("DROP TABLE quality")
        connection.execute(sql.replace("STRICT, ", ""))
    connection.close()
    with pytest.raises(FototecaError, match="see its table quality"):
        Catalog.open(workspace)


def test_damaged_pages_are_one_line(workspace: Workspace) -> None:
    """Bytes overwritten in the middle of the file, and text that is not UTF-8, are one line, not a traceback."""
    edit(workspace, "UPDATE images SET mode = CAST(x'ff' AS TEXT)")
    with Catalog.open(workspace) as catalog, pytest.raises(FototecaError, match=r"catalog\.sqlite cannot be read"):
        catalog.images.all()
    with sqlite3.connect(workspace.catalog) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    content = bytearray(workspace.catalog.read_bytes())
    for start in range(4096, len(content), 4096):
        content[start : start + 64] = b"\xff" * 64
    workspace.catalog.write_bytes(content)
    with pytest.raises(FototecaError, match=r"catalog\.sqlite cannot be read"), Catalog.open(workspace) as catalog:
        catalog.images.all()


def test_catalog_of_an_older_schema_with_other_tables_is_one_line(workspace: Workspace) -> None:
    """A file that claims an older schema, whose tables are not those of it, is not migrated and not a traceback."""
    edit(workspace, "PRAGMA user_version = 3")
    with pytest.raises(FototecaError, match=r"catalog\.sqlite cannot be read"):
        Catalog.open(workspace)
