"""One photograph-like image of a traffic sign, with its truth: where the sign is."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from fototeca.demo.camera import corners, develop, lit, warp, weather, worn
from fototeca.demo.scenes import colour, draw_scene, shade, tree
from fototeca.demo.signs import OTHERS, draw_sign

SHAPES = ((440, 330), (432, 288), (400, 300), (360, 360), (330, 440), (320, 400), (448, 252))
"""Image sizes, width and height in pixels."""

_SCALE = 1.3
"""Scene and sign are drawn this many times larger than the image: smooth edges."""


@dataclass(frozen=True)
class DrawnImage:
    """A drawn photograph. `mask`: L, the image's size, 255 where the sign is to be seen. `box`: left, top, right, bottom
    in pixels around the mask, right and bottom excluded."""

    jpeg: bytes
    width: int
    height: int
    mask: Image.Image
    box: tuple[int, int, int, int]


def draw_image(name: str, seed: int, index: int, take: int = 0) -> DrawnImage:
    """Image number `index` of the sign called `name`. The same arguments give the same bytes; `take` draws another one."""
    rng = np.random.default_rng([seed, index, take, *name.encode()])
    size = SHAPES[int(rng.integers(len(SHAPES)))]
    canvas = (round(size[0] * _SCALE), round(size[1] * _SCALE))
    image = draw_scene(rng, canvas)
    depth = abs(rng.normal(0, 1.6))
    image = image.filter(ImageFilter.GaussianBlur(depth)) if depth > 0.6 else image
    alpha = _plant(rng, image, name)
    image = weather(rng, image).resize(size, Image.Resampling.BOX)
    mask = alpha.resize(size, Image.Resampling.BOX).point(lambda value: 255 if value > 127 else 0)
    if rng.random() < 0.5:
        image, mask = _askew(rng, image, mask)
    file = io.BytesIO()
    develop(rng, image).save(file, "JPEG", quality=int(rng.integers(62, 94)))
    box = mask.getbbox()
    assert box is not None, "the sign is outside its image"
    return DrawnImage(file.getvalue(), *size, mask, box)


def _askew(rng: np.random.Generator, image: Image.Image, mask: Image.Image) -> tuple[Image.Image, Image.Image]:
    """A camera held askew: both turned by a few degrees and cropped back to a full frame of the same size."""
    angle = float(np.clip(rng.normal(0, 4), -9, 9))
    zoom = 1 + abs(angle) / 40
    width, height = image.size
    frame = (width / 2 * (1 - 1 / zoom), height / 2 * (1 - 1 / zoom), width / 2 * (1 + 1 / zoom), height / 2 * (1 + 1 / zoom))
    image = image.rotate(angle, Image.Resampling.BICUBIC).resize((width, height), Image.Resampling.BICUBIC, box=frame)
    return image, mask.rotate(angle).resize((width, height), Image.Resampling.NEAREST, box=frame)


def _plant(rng: np.random.Generator, image: Image.Image, name: str) -> Image.Image:
    """Put the sign on its post into the scene, clutter before and behind it. Returns what is to be seen of the sign (L)."""
    width, height = image.size
    side = min(width, height) * float(np.exp(rng.uniform(np.log(0.2), np.log(0.62))))
    margin = side * 0.55
    centre = (float(rng.uniform(margin, width - margin)), float(rng.uniform(margin, max(margin + 1, height * 0.8 - margin / 2))))
    brightness = float(np.asarray(image.reduce(8)).mean()) / 255
    ambient = float(np.clip(0.6 + 0.5 * brightness + rng.normal(0, 0.12), 0.45, 1.1))
    if rng.random() < 0.25:
        other = str(rng.choice(list(OTHERS)))
        place = (float(rng.uniform(0, width)), float(rng.uniform(0.1, 0.7) * height))
        _sign(rng, image, other, place, side * rng.uniform(0.3, 0.75), ambient)
    alpha = _sign(rng, image, name, centre, side, ambient)
    if rng.random() < 0.3:
        cover = _branch(rng, image, centre, side)
        alpha = Image.fromarray(np.where(np.asarray(cover) > 127, 0, np.asarray(alpha)).astype(np.uint8))
    return alpha


def _sign(
    rng: np.random.Generator, image: Image.Image, name: str, centre: tuple[float, float], side: float, ambient: float
) -> Image.Image:
    """Draw post, metal rim and face into the image. Returns the face's alpha (L, the image's size)."""
    if rng.random() < 0.85:
        _post(rng, image, centre, side)
    fresh = draw_sign(name, int(rng.integers(200)))
    fresh = fresh.resize((round(side), round(side)), Image.Resampling.LANCZOS) if side < fresh.width else fresh
    face, corner = warp(lit(rng, worn(rng, fresh), ambient), corners(rng, centre, side))
    shape = face.getchannel("A")
    image.paste((58, 58, 60), (corner[0] + round(side * rng.normal(0, 0.012)), corner[1] + round(side * 0.012)), shape)
    image.paste(face, corner, shape)
    alpha = Image.new("L", image.size)
    alpha.paste(shape, corner)
    return alpha


def _post(rng: np.random.Generator, image: Image.Image, centre: tuple[float, float], side: float) -> None:
    """A post from the sign down out of the frame, with a plate below the sign in some."""
    pen = ImageDraw.Draw(image)
    half, lean = side * rng.uniform(0.025, 0.06), rng.normal(0, 0.02) * image.height
    grey = colour(rng, (0, 360), (0, 0.12), (0.3, 0.75))
    for share, light in ((1.0, 0.6), (0.55, 1.0), (0.2, 1.25)):
        pen.line([centre, (centre[0] + lean, image.height)], fill=shade(grey, light), width=max(1, round(2 * half * share)))
    if rng.random() < 0.3:
        wide, tall = side * rng.uniform(0.6, 0.95), side * rng.uniform(0.2, 0.4)
        top = centre[1] + side * 0.56
        box = (centre[0] - wide / 2, top, centre[0] + wide / 2, top + tall)
        pen.rectangle(
            box, fill=shade((235, 235, 230), rng.uniform(0.6, 1.05)), outline=(40, 40, 40), width=max(1, round(side * 0.015))
        )
        for line in range(int(rng.integers(1, 3))):
            y = top + tall * (0.3 + 0.35 * line)
            pen.line(
                [(box[0] + wide * rng.uniform(0.1, 0.3), y), (box[2] - wide * rng.uniform(0.1, 0.3), y)],
                fill=(50, 50, 50),
                width=max(1, round(tall * 0.12)),
            )


def _branch(rng: np.random.Generator, image: Image.Image, centre: tuple[float, float], side: float) -> Image.Image:
    """Something in front of the sign's edge: leaves, or a pole nearer to the camera. Returns its alpha (L)."""
    front = Image.new("RGBA", image.size)
    away = rng.choice([-1.0, 1.0])
    x = centre[0] + away * side * rng.uniform(0.25, 0.6)
    if rng.random() < 0.3:
        tone = colour(rng, (0, 360), (0, 0.15), (0.15, 0.6))
        wide = max(3, round(side * rng.uniform(0.05, 0.14)))
        ImageDraw.Draw(front).line([(x, -5), (x + rng.normal(0, 20), image.height + 5)], fill=tone, width=wide)
    else:
        tree(rng, front, x + away * side * 0.25, centre[1] + side * rng.uniform(0.3, 1.2), side * rng.uniform(0.8, 1.4))
    cover = front.getchannel("A").filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 2)))
    image.paste(front.convert("RGB"), (0, 0), cover)
    return cover
