"""Augmentations of training images."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms import v2

from fototeca.train.config import Augment
from fototeca.train.training.data import augmentation

GREY = torch.full((3, 48, 48), 90, dtype=torch.uint8)

HALVES = GREY.clone()
HALVES[:, :, 24:] = 200


def seen(kind: Augment, erasing: float, image: torch.Tensor) -> list[torch.Tensor]:
    """Return 60 augmentations of an image."""
    torch.manual_seed(0)
    transform = augmentation(kind, 32, erasing)
    assert transform is not None
    return [transform(image) for _ in range(60)]


@pytest.mark.parametrize(
    ("kind", "own"),
    [("basic", None), ("trivial", v2.TrivialAugmentWide), ("rand", v2.RandAugment)],
)
def test_augmentations_use_the_named_policy(kind: Augment, own: type[v2.Transform] | None) -> None:
    """Random crop and mirror, then torchvision's policy of that name."""
    transform = augmentation(kind, 32, 0.0)
    assert isinstance(transform, v2.Compose)
    policies = [type(step) for step in transform.transforms if isinstance(step, (v2.TrivialAugmentWide, v2.RandAugment))]
    assert policies == ([own] if own else [])
    made = seen(kind, 0.0, HALVES)
    assert {tuple(image.shape) for image in made} == {(3, 32, 32)}
    assert {bool(image[0, 16, 0] > image[0, 16, -1]) for image in made} == {True, False}


def test_basic_changes_no_colour_and_the_others_do() -> None:
    """A grey image stays as it is under crops and mirrors."""
    assert all(torch.equal(image, GREY[:, :32, :32]) for image in seen("basic", 0.0, GREY))
    for kind in ("trivial", "rand"):
        assert sum(not torch.equal(image, GREY[:, :32, :32]) for image in seen(kind, 0.0, GREY)) > 10  # type: ignore[arg-type]


def test_augment_none_crops_and_random_erasing_has_its_probability() -> None:
    """Without erasing there is no transform; with it the expected fraction of images has a patch."""
    assert augmentation("none", 32, 0.0) is None
    erased = [bool((image == 124).any()) for image in seen("none", 0.4, GREY)]
    assert 0.2 < sum(erased) / len(erased) < 0.6
    assert not any((image == 124).any() for image in seen("basic", 0.0, GREY))
