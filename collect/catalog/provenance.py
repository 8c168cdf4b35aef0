"""Places where images were found: source, category, page, author and license."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from fototeca.collect.catalog.database import Repository
from fototeca.collect.catalog.models import AnnouncedSize, ImageProvenance, Provenance, SourceCounts, replace_surrogates
from fototeca.collect.http.urls import url_key
from fototeca.core.public_url import public_url

UPDATED_FIELDS = ("author", "license", "license_found", "original", "file_name", "split", "split_group")
"""Fields of a place that a later statement may change."""

_CURRENT = ", ".join(f"coalesce(u.{name}, p.{name}) AS {name}" for name in UPDATED_FIELDS)

_PLACES = (
    " FROM provenance p JOIN candidates c USING (candidate_id) LEFT JOIN provenance_updates u ON u.update_id ="
    " (SELECT max(update_id) FROM provenance_updates WHERE provenance_id = p.provenance_id AND time <= ?)"
)
"""Places with their last statement before a time."""

_END_OF_TIME = "9999"


class Provenances(Repository):
    """Every place of every candidate; one row per candidate, source, category, query and page."""

    def add(self, candidate_id: int, place: Provenance, time: str) -> None:
        """Add a place, or what is new about a known one.

        The row of a known place stays, since versions were frozen with it. Rights, original, split and split group that it did
        not have, or had otherwise, become a later statement; fields that are empty now keep their value. The file name of a URL
        is the last part of its path, unless the source gives another.
        """
        p = place
        if self._update(candidate_id, place, time):
            return
        rights = (p.author, p.license, p.license_found, p.width, p.height, int(p.thumbnail), p.original)
        file = (p.file_name or file_name_of_url(p.url), p.split, p.split_group)
        self._sql.execute(
            "INSERT INTO provenance (candidate_id, source, category, query, rank, page_url, author, license, license_found,"
            " width, height, thumbnail, original, file_name, split, split_group, found)"
            " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
            (candidate_id, p.source, p.category, p.query, p.rank, p.page_url, *rights, *file, time),
        )

    def _update(self, candidate_id: int, place: Provenance, time: str) -> bool:
        """Add a statement about a known place unless it says nothing new. Return False if the place is not known."""
        row = self._sql.execute(
            f"SELECT p.provenance_id, {_CURRENT}{_PLACES} WHERE p.candidate_id = ? AND p.source = ? AND p.category = ?"
            " AND p.query = ? AND p.page_url = ?",
            (_END_OF_TIME, candidate_id, place.source, place.category, place.query, place.page_url),
        ).fetchone()
        if row is None:
            return False
        old = {name: row[name] for name in UPDATED_FIELDS}
        new = {name: getattr(place, name) or old[name] for name in UPDATED_FIELDS}
        if place.license == "unknown" and not place.license_found:
            new |= {name: old[name] for name in ("license", "license_found")}
        if new != old:
            marks = ",".join("?" * (len(new) + 2))
            self._sql.execute(
                f"INSERT INTO provenance_updates (provenance_id, time, {', '.join(new)}) VALUES ({marks})",
                (row["provenance_id"], time, *new.values()),
            )
        return True

    def of_image(self, image_id: str) -> list[Provenance]:
        """Return every place of an image, first found first."""
        return self._select("c.image_id = ?", image_id)

    def of_candidate(self, candidate_id: int) -> list[Provenance]:
        """Return every place of a candidate, first found first."""
        return self._select("c.candidate_id = ?", candidate_id)

    def of_images_until(self, time: str) -> list[ImageProvenance]:
        """Return the places found by `time`, of candidates that had their image by then.

        The first attempt that brought the image gives that time; the candidate's `updated` does not, because a slower process
        that tried the same candidate again moves it.
        """
        rows = self._sql.execute(
            "SELECT c.image_id, c.url, p.provenance_id, p.source, p.page_url, p.thumbnail,"
            " coalesce(u.author, p.author) AS author, coalesce(u.license, p.license) AS license,"
            " coalesce(u.original, p.original) AS original,"
            f" coalesce(u.split, p.split) AS split, coalesce(u.split_group, p.split_group) AS split_group{_PLACES}"
            " WHERE c.image_id IS NOT NULL AND p.found <= ? AND coalesce((SELECT min(time) FROM attempts a"
            " WHERE a.candidate_id = c.candidate_id AND (a.state = 'accepted' OR a.reason = 'duplicate')), c.updated) <= ?",
            (time, time, time),
        )
        return [ImageProvenance(**{**row, "thumbnail": bool(row["thumbnail"])}) for row in rows]

    def find_images(self, urls: Sequence[str], sources: Sequence[str], file_names: Sequence[str]) -> dict[str, set[str]]:
        """Return the ids of the images of each URL (of image or page), source and file name, erased ones included.

        A file name matches the whole original name, its last part, or the part before `#` or `@` (a crop, a frame of a video).
        """
        matches: dict[str, set[str]] = {name: set() for name in (*urls, *sources, *file_names)}
        keys = {public_url(url): url for url in urls} | {_key(url): url for url in urls}
        for row in self._sql.execute(
            "SELECT c.image_id, c.url, c.url_key, p.page_url, p.source, p.file_name FROM provenance p"
            " JOIN candidates c USING (candidate_id) WHERE c.image_id IS NOT NULL"
        ):
            for value in (row["url"], row["url_key"], row["page_url"]):
                if value in keys:
                    matches[keys[value]].add(row["image_id"])
            if row["source"] in sources:
                matches[row["source"]].add(row["image_id"])
            name = row["file_name"] or file_name_of_url(row["url"])
            whole = re.split(r"[#@](?=[^/]*$)", name)[0]
            for part in {name, whole, name.rpartition("/")[2], whole.rpartition("/")[2]} & {*file_names}:
                matches[part].add(row["image_id"])
        return matches

    def file_names(self) -> dict[str, str]:
        """Return the original file name of each image by id: that of the place where it was found first."""
        rows = self._sql.execute(
            "SELECT c.image_id, c.url, p.file_name FROM provenance p JOIN candidates c USING (candidate_id)"
            " WHERE c.image_id IS NOT NULL ORDER BY p.provenance_id DESC"
        )
        return {row["image_id"]: row["file_name"] or file_name_of_url(row["url"]) for row in rows}

    def names(self) -> list[tuple[str, str]]:
        """Return every name of the images not erased, with its id: path in the store, original file names, decoded URLs."""
        rows = self._sql.execute(
            "SELECT i.image_id, i.path, c.url, p.file_name FROM images i LEFT JOIN candidates c USING (image_id)"
            " LEFT JOIN provenance p USING (candidate_id) WHERE i.image_id NOT IN (SELECT image_id FROM erasures)"
        )
        names = {
            (name, row["image_id"]) for row in rows for name in (row["path"], row["file_name"], unquote(row["url"] or "")) if name
        }
        return sorted(names)

    def categories(self) -> list[str]:
        """Return the distinct categories, several in one joined by `|`."""
        return [row["category"] for row in self._sql.execute("SELECT DISTINCT category FROM provenance")]

    def categories_by_image(self) -> dict[str, set[str]]:
        """Return the distinct categories of the places of each image, several in one joined by `|`."""
        categories: dict[str, set[str]] = defaultdict(set)
        for row in self._sql.execute(
            "SELECT DISTINCT image_id, category FROM provenance JOIN candidates USING (candidate_id) WHERE image_id IS NOT NULL"
        ):
            categories[row["image_id"]].add(row["category"])
        return categories

    def replace_category(self, old: str, new: str) -> int:
        """Replace a category; return the number of places.

        A place that exists under both categories keeps its row without category; the old one is appended to its query.
        """
        with self._database.transaction():
            count = self._sql.execute("UPDATE OR IGNORE provenance SET category = ? WHERE category = ?", (new, old)).rowcount
            count += self._sql.execute(
                "UPDATE OR IGNORE provenance SET category = '', query = query || ? WHERE category = ?", (f" ({old})", old)
            ).rowcount
        return count

    def announced_sizes(self) -> list[AnnouncedSize]:
        """Return the size that each place of each image announced."""
        rows = self._sql.execute(
            "SELECT image_id, p.width, p.height, thumbnail FROM provenance p JOIN candidates USING (candidate_id)"
            " WHERE image_id IS NOT NULL"
        )
        return [AnnouncedSize(**{**row, "thumbnail": bool(row["thumbnail"])}) for row in rows]

    def attributed_images(self) -> set[str]:
        """Return the ids of images with a known license, author or page."""
        rows = self._sql.execute(
            f"SELECT DISTINCT image_id{_PLACES} WHERE image_id IS NOT NULL"
            " AND (coalesce(u.license, p.license) != 'unknown' OR coalesce(u.author, p.author) != '' OR page_url != '')",
            (_END_OF_TIME,),
        )
        return {row["image_id"] for row in rows}

    def count_by_source(self) -> list[SourceCounts]:
        """Return the candidates of each source by state, most candidates first."""
        rows = self._sql.execute(
            "SELECT p.source, count(DISTINCT c.candidate_id) AS found,"
            " count(DISTINCT CASE WHEN c.state = 'accepted' THEN c.candidate_id END) AS accepted,"
            " count(DISTINCT CASE WHEN c.state = 'rejected' THEN c.candidate_id END) AS rejected,"
            " count(DISTINCT CASE WHEN c.state = 'failed' THEN c.candidate_id END) AS failed,"
            " substr(min(p.found), 1, 10) AS first, substr(max(p.found), 1, 10) AS last"
            " FROM provenance p JOIN candidates c USING (candidate_id) GROUP BY 1 ORDER BY 2 DESC"
        )
        return [SourceCounts(**row) for row in rows]

    def _select(self, where: str, value: str | int) -> list[Provenance]:
        rows = self._sql.execute(
            "SELECT c.url, p.source, p.category, p.query, p.rank, p.page_url, p.width, p.height, p.thumbnail,"
            f" {_CURRENT}{_PLACES} WHERE {where} ORDER BY p.provenance_id",
            (_END_OF_TIME, value),
        )
        return [Provenance(**{**row, "thumbnail": bool(row["thumbnail"])}) for row in rows]


def _key(url: str) -> str:
    try:
        return url_key(public_url(url))
    except ValueError:
        return url


def file_name_of_url(url: str) -> str:
    """Return the last part of the path of a URL, decoded; empty where the path ends in a slash or the URL is invalid."""
    try:
        path = urlsplit(url).path
    except ValueError:
        return ""
    name = unquote(path.rpartition("/")[2], errors="replace")
    return replace_surrogates("".join(character if character.isprintable() else "_" for character in name))
