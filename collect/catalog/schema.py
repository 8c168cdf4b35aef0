"""Tables of the catalog, as the steps that migrate a file of any earlier schema.

`MIGRATIONS[n]` migrates a file from `user_version` n to n + 1: a script of SQL, then an optional function. Never change a step
that has shipped; add another.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from fototeca.collect.catalog.legacy import migrate_decisions
from fototeca.core.errors import FototecaError

MIGRATIONS = (
    """
    CREATE TABLE images (              -- one row per distinct file ever accepted; nothing is deleted
        image_id TEXT PRIMARY KEY,     -- SHA-256 hex of the file
        path TEXT NOT NULL,            -- relative to the workspace
        format TEXT NOT NULL,          -- Pillow's name: JPEG, PNG, WEBP...
        width INTEGER NOT NULL,        -- pixels after EXIF orientation
        height INTEGER NOT NULL,
        mode TEXT NOT NULL,            -- Pillow's mode as stored in the file
        bytes INTEGER NOT NULL,
        phash TEXT NOT NULL,           -- exactly imagehash.phash
        added TEXT NOT NULL,           -- UTC, ISO 8601
        label TEXT NOT NULL DEFAULT '',        -- current label, as the last decision left it
        rejected TEXT NOT NULL DEFAULT '',     -- reason, or empty
        reviewed INTEGER NOT NULL DEFAULT 0,   -- a person has decided
        keep INTEGER NOT NULL DEFAULT 0        -- a person restored it: dedup must not set it aside
    ) STRICT;
    CREATE TABLE candidates (          -- one row per normalised URL or file
        candidate_id INTEGER PRIMARY KEY,
        url_key TEXT NOT NULL UNIQUE,
        url TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'found' CHECK (state IN ('found', 'fetched', 'accepted', 'rejected', 'failed')),
        reason TEXT NOT NULL DEFAULT '',
        image_id TEXT REFERENCES images,
        attempts INTEGER NOT NULL DEFAULT 0,
        updated TEXT NOT NULL
    ) STRICT;
    CREATE INDEX candidates_state ON candidates (state, reason);
    CREATE INDEX candidates_image ON candidates (image_id);
    CREATE TABLE findings (            -- every place a candidate was found
        finding_id INTEGER PRIMARY KEY,
        candidate_id INTEGER NOT NULL REFERENCES candidates,
        source TEXT NOT NULL,
        category TEXT NOT NULL,        -- empty when the source cannot say
        query TEXT NOT NULL,
        rank INTEGER NOT NULL,
        page_url TEXT NOT NULL,
        author TEXT NOT NULL,
        license TEXT NOT NULL,         -- SPDX id or unknown
        license_found TEXT NOT NULL,   -- as the source wrote it
        width INTEGER,                 -- as the source announced it
        height INTEGER,
        thumbnail INTEGER NOT NULL,    -- only a thumbnail was to be had
        original TEXT NOT NULL,        -- id of the original of an augmented copy, or empty
        found TEXT NOT NULL,
        UNIQUE (candidate_id, source, category, query, page_url)
    ) STRICT;
    CREATE INDEX findings_category ON findings (category);
    CREATE TABLE attempts (            -- every try at a candidate, with its outcome
        attempt_id INTEGER PRIMARY KEY,
        candidate_id INTEGER NOT NULL REFERENCES candidates,
        time TEXT NOT NULL,
        state TEXT NOT NULL,
        reason TEXT NOT NULL,
        status INTEGER,                -- HTTP status
        bytes INTEGER NOT NULL,
        seconds REAL NOT NULL
    ) STRICT;
    CREATE INDEX attempts_candidate ON attempts (candidate_id);
    CREATE TABLE decisions (           -- label decisions, append-only
        decision_id INTEGER PRIMARY KEY,
        image_id TEXT NOT NULL REFERENCES images,
        time TEXT NOT NULL,
        who TEXT NOT NULL,             -- person:NAME, rename:NAME, or the machine's part: collect:SOURCE, curate:NAME
        old TEXT NOT NULL,
        new TEXT NOT NULL,             -- a label, or reject:REASON, or restore
        why TEXT NOT NULL
    ) STRICT;
    CREATE INDEX decisions_image ON decisions (image_id);
    CREATE TABLE groups (              -- near-duplicate groups; an image in none has no row
        image_id TEXT PRIMARY KEY REFERENCES images,
        group_id TEXT NOT NULL,
        kept INTEGER NOT NULL,
        reason TEXT NOT NULL,          -- how it is tied to its group
        distance REAL NOT NULL
    ) STRICT;
    CREATE INDEX groups_group ON groups (group_id);
    CREATE TABLE components (          -- images that the last search for duplicates looked at; one that came later has no row
        image_id TEXT PRIMARY KEY REFERENCES images,
        component TEXT NOT NULL        -- the smallest id of those that verified pairs tie it to, itself included
    ) STRICT;
    CREATE TABLE signatures (          -- what the duplicate search compares, per image
        image_id TEXT PRIMARY KEY REFERENCES images,
        version INTEGER NOT NULL,
        signature BLOB NOT NULL
    ) STRICT;
    CREATE TABLE quality (             -- continuous quality scores
        image_id TEXT NOT NULL REFERENCES images,
        measure TEXT NOT NULL,
        value REAL NOT NULL,
        PRIMARY KEY (image_id, measure)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE suggestions (         -- the last `curate suggest`
        image_id TEXT PRIMARY KEY REFERENCES images,
        label TEXT NOT NULL,           -- the label it has
        suggested TEXT NOT NULL,
        score REAL NOT NULL,           -- higher is more suspicious
        kind TEXT NOT NULL,            -- label-error, outlier, boundary
        neighbours TEXT NOT NULL       -- image ids, joined by spaces
    ) STRICT;
    """,
    """
    CREATE TABLE frozen_groups (       -- groups and components as they were when a version was frozen
        version TEXT NOT NULL,
        image_id TEXT NOT NULL REFERENCES images,
        group_id TEXT NOT NULL,        -- empty: in none
        kept INTEGER NOT NULL,
        component TEXT NOT NULL,       -- empty: never looked at
        PRIMARY KEY (version, image_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE facts (               -- single values, such as the threshold of the last search for duplicates
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    """,
    """
    CREATE TABLE searched (            -- images whose copies were looked for among all the others here
        digest BLOB PRIMARY KEY,       -- of their pixels
        looks BLOB NOT NULL            -- hashes of all their views
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE copies (              -- verified pairs: enough of them to tie together what belongs together
        a BLOB NOT NULL,               -- digests of pixels, the smaller first
        b BLOB NOT NULL,
        reason TEXT NOT NULL,          -- how they were seen to be one image
        distance REAL NOT NULL,        -- bits in which their hashes differ
        PRIMARY KEY (a, b)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE ties (                -- how an image is alike to the best of its group, as far as anybody asked
        a BLOB NOT NULL,
        b BLOB NOT NULL,
        reason TEXT NOT NULL,          -- empty: not alike
        distance REAL NOT NULL,
        PRIMARY KEY (a, b)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    ALTER TABLE attempts ADD COLUMN declared TEXT NOT NULL DEFAULT '';  -- content type as the site declared it
    ALTER TABLE attempts ADD COLUMN announced INTEGER;                  -- length that it announced, in bytes
    """,
    """
    ALTER TABLE attempts RENAME COLUMN declared TO content_type;      -- Content-Type header
    ALTER TABLE attempts RENAME COLUMN announced TO content_length;   -- Content-Length header, bytes
    ALTER TABLE images RENAME COLUMN keep TO restored;                -- a person restored it: dedup must not set it aside
    ALTER TABLE groups RENAME COLUMN kept TO is_representative;       -- dedup did not set it aside
    ALTER TABLE frozen_groups RENAME COLUMN kept TO is_representative;
    ALTER TABLE facts RENAME TO metadata;
    UPDATE metadata SET name = 'quality-thresholds' WHERE name = 'check-limits';
    UPDATE metadata SET name = 'label-issues-after' WHERE name = 'suggested-after';
    UPDATE metadata SET name = 'conflict-reported:' || substr(name, 15) WHERE name LIKE 'conflict-told:%';
    UPDATE metadata SET name = 'label-issue-answered:' || substr(name, 21) WHERE name LIKE 'suggestion-answered:%';
    ALTER TABLE findings RENAME TO provenance;
    ALTER TABLE provenance RENAME COLUMN finding_id TO provenance_id;
    ALTER TABLE searched RENAME TO searched_images;
    ALTER TABLE searched_images RENAME COLUMN looks TO view_hashes;
    ALTER TABLE copies RENAME TO duplicate_pairs;
    ALTER TABLE ties RENAME TO matches;
    ALTER TABLE suggestions RENAME TO label_issues;
    ALTER TABLE label_issues RENAME COLUMN neighbours TO neighbors;
    ALTER TABLE provenance ADD COLUMN file_name TEXT NOT NULL DEFAULT '';   -- original name, relative to the folder or archive
    ALTER TABLE provenance ADD COLUMN split TEXT NOT NULL DEFAULT '';       -- train, val or test as the source gives it, or empty
    ALTER TABLE provenance ADD COLUMN split_group TEXT NOT NULL DEFAULT ''; -- images with one value share a split, or empty
    CREATE TABLE provenance_updates (  -- later statements about a place, append-only; the last one counts
        update_id INTEGER PRIMARY KEY,
        provenance_id INTEGER NOT NULL REFERENCES provenance,
        author TEXT NOT NULL,
        license TEXT NOT NULL,
        license_found TEXT NOT NULL,
        original TEXT NOT NULL,
        file_name TEXT NOT NULL,
        split TEXT NOT NULL,
        split_group TEXT NOT NULL,
        time TEXT NOT NULL             -- UTC, ISO 8601
    ) STRICT;
    CREATE INDEX provenance_updates_place ON provenance_updates (provenance_id);
    ALTER TABLE images ADD COLUMN taken TEXT NOT NULL DEFAULT '';           -- time of the photograph in EXIF, ISO 8601, or empty
    ALTER TABLE images ADD COLUMN background TEXT NOT NULL DEFAULT '';      -- color under transparent pixels, or empty
    ALTER TABLE images ADD COLUMN frame INTEGER NOT NULL DEFAULT 0;         -- frame of an animation that is read
    ALTER TABLE images ADD COLUMN normalized TEXT NOT NULL DEFAULT '';      -- how reading changes it, comma-separated, or empty
    ALTER TABLE duplicate_pairs ADD COLUMN kind TEXT NOT NULL DEFAULT 'copy';  -- kind of tie, see curate.duplicates
    ALTER TABLE matches ADD COLUMN kind TEXT NOT NULL DEFAULT 'copy';
    ALTER TABLE groups ADD COLUMN kind TEXT NOT NULL DEFAULT 'copy';
    CREATE TABLE image_ties (          -- images that are alike without one being set aside for the other
        a TEXT NOT NULL REFERENCES images,
        b TEXT NOT NULL REFERENCES images,
        kind TEXT NOT NULL,
        is_linked INTEGER NOT NULL,    -- whether the two must share a split
        PRIMARY KEY (a, b)
    ) STRICT, WITHOUT ROWID;
    DROP INDEX decisions_image;
    ALTER TABLE decisions RENAME TO legacy_decisions;
    CREATE TABLE decisions (           -- decision log, append-only
        decision_id INTEGER PRIMARY KEY,
        image_id TEXT NOT NULL REFERENCES images,
        time TEXT NOT NULL,            -- UTC, ISO 8601
        action TEXT NOT NULL CHECK (action IN ('label', 'reject', 'restore', 'rename', 'apart')),
        actor_kind TEXT NOT NULL CHECK (actor_kind IN ('person', 'source', 'rule')),
        actor TEXT NOT NULL,
        old_label TEXT NOT NULL,       -- label before; of a rename, the old name of the category
        old_rejected TEXT NOT NULL,    -- reason for which it was rejected before, or empty
        new_label TEXT NOT NULL,       -- label after; of a rename, the new name of the category
        new_rejected TEXT NOT NULL,    -- reason for which it is rejected after, or empty
        reason TEXT NOT NULL,          -- remark
        undoes TEXT NOT NULL,          -- time of the earlier decision by this actor on this image that it undoes, or empty
        other_image_id TEXT NOT NULL DEFAULT '' -- of `apart`, the image of which it is no copy
    ) STRICT;
    CREATE INDEX decisions_image ON decisions (image_id);
    ALTER TABLE frozen_groups ADD COLUMN scene TEXT NOT NULL DEFAULT '';    -- name of the scene, where scenes share a split
    CREATE TABLE scene_pairs (         -- pairs that were compared for the question of one scene
        a TEXT NOT NULL REFERENCES images,
        b TEXT NOT NULL REFERENCES images,
        version INTEGER NOT NULL,      -- of the comparison
        agreeing INTEGER NOT NULL,     -- local matches that agree on one affine map
        PRIMARY KEY (a, b)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE app_samples (         -- samples that the FiftyOne App shows; one that is missing there was deleted in the App
        image_id TEXT PRIMARY KEY REFERENCES images,
        dataset TEXT NOT NULL,         -- random id of the FiftyOne dataset
        state TEXT NOT NULL            -- review state that was pushed last, see curate.labels.review_state
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE erasures (            -- tombstones of images that were erased on request; is_complete: no copy is left
        image_id TEXT PRIMARY KEY, phash TEXT NOT NULL, time TEXT NOT NULL, actor TEXT NOT NULL, reason TEXT NOT NULL,
        is_complete INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    """,
)

_AFTER = {4: migrate_decisions}
"""Functions that complete a step."""


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the tables of a catalog to the last schema. FototecaError if a newer fototeca wrote it."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise FototecaError(
            f"{path} has schema {version}; this fototeca supports up to {len(MIGRATIONS)}", "install a newer fototeca"
        )
    for number in range(version, len(MIGRATIONS)):
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("PRAGMA user_version").fetchone()[0] > number:  # another process has migrated it
            connection.execute("ROLLBACK")
            continue
        for statement in _statements(MIGRATIONS[number]):
            connection.execute(statement)
        if number in _AFTER:
            _AFTER[number](connection)
        connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute("COMMIT")


def _statements(script: str) -> list[str]:
    """Split a script into statements; executescript() would commit each, so that a kill could leave half a step."""
    lines = [line.partition("--")[0] for line in script.splitlines()]
    return [statement for statement in "\n".join(lines).split(";") if statement.strip()]
