"""What images go through while a network learns from them."""

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
    """What comes of an image, 60 times."""
    torch.manual_seed(0)
    transform = augmentation(kind, 32, erasing)
    assert transform is not None
    return [transform(image) for _ in range(60)]


@pytest.mark.parametrize(
    ("kind", "own"),
    [("basic", None), ("trivial", v2.TrivialAugmentWide), ("rand", v2.RandAugment)],
)
def test_each_kind_is_what_it_is_called(kind: Augment, own: type[v2.Transform] | None) -> None:
    """Crops and mirrored ones, then torchvision's policy of that name and no other."""
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


def test_none_is_the_middle_alone_and_erasing_a_share_of_images() -> None:
    """Without erasing nothing is to be done while learning; with it about as many images have a patch as was asked."""
    assert augmentation("none", 32, 0.0) is None
    erased = [bool((image == 124).any()) for image in seen("none", 0.4, GREY)]
    assert 0.2 < sum(erased) / len(erased) < 0.6
    assert not any((image == 124).any() for image in seen("basic", 0.0, GREY))
