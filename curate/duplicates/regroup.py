"""Group the images around some images again, after a person's word about them changed."""

from __future__ import annotations

from collections.abc import Collection

from fototeca.collect.catalog import Catalog
from fototeca.core.workspace import Workspace
from fototeca.curate.duplicates.dedup import group_images


def regroup(workspace: Workspace, catalog: Catalog, image_ids: Collection[str]) -> None:
    """Group again the images of every group and component that contains one of `image_ids`; the others stay as they are.

    The settings are those of the last search. Only pairs that it has not compared are compared.
    """
    images = catalog.images.all()
    keys = {key for image in images if image.image_id in image_ids for key in (image.group, image.component) if key}
    members = [image for image in images if image.image_id in image_ids or keys & {image.group, image.component}]
    rows, components = group_images(workspace, catalog, members)
    catalog.groups.replace_members([image.image_id for image in members], rows, components)
