"""Choose the frame of an animation: the first that shows something, since many fade in from one color."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from fototeca.vision.alpha import is_flat

MAX_FRAMES = 50
"""Frames looked at; if all are flat, the first is read."""

MAX_FRAME_PIXELS = 30_000_000
"""Pixels of all frames looked at after the first: about a second."""

MAX_SEARCHED_PIXELS = 12_000_000
"""Pixels of the largest animation that is searched; of a larger one the first frame is read. Several frames are held at once."""

_SINGLE = frozenset(("MPO", "HEIF"))
"""Formats whose further images are previews, depth maps or other shots, not frames."""


def is_animated(image: Image.Image) -> bool:
    """Return True if the file has more than one frame or page."""
    return image.format not in _SINGLE and bool(getattr(image, "is_animated", False))


def find_frame(image: Image.Image, read: Callable[[Image.Image], Image.Image]) -> int:
    """Return the number of the first frame that is not flat, 0 if there is none or a frame before it is damaged.

    Frames of another size than the first (previews of a TIFF) are passed over.

    Args:
        image: an open animation, at its first frame.
        read: renders the current frame of `image` as RGB.
    """
    size = image.size
    left = MAX_FRAME_PIXELS
    try:
        for number in range(MAX_FRAMES):
            image.seek(number)
            if image.size != size:
                continue
            if not is_flat(read(image)):
                return number
            left -= size[0] * size[1]
            if left < 0:
                return 0
    except Exception:  # the end of the file, or a damaged frame, for which Pillow's plugins raise anything
        return 0
    return 0
