"""Draw one photograph-like image of a traffic sign, with the mask of the sign."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from fototeca.demo.camera import add_weather, apply_camera, apply_light, apply_wear, project_corners, warp_sign
from fototeca.demo.objects import draw_tree, random_color, shade_color
from fototeca.demo.scenes import draw_scene
from fototeca.demo.signs import OTHER_SIGNS, draw_sign

SHAPES = ((440, 330), (432, 288), (400, 300), (360, 360), (330, 440), (320, 400), (448, 252))
"""Image sizes, width and height in pixels."""

_SCALE = 1.3
"""Oversampling factor: scene and sign are drawn larger than the image, for smooth edges."""


@dataclass(frozen=True)
class DrawnImage:
    """A drawn photograph and the position of its sign."""

    jpeg: bytes
    width: int
    height: int
    mask: Image.Image
    """Mode L, the size of the image, 255 where the sign is visible."""

    box: tuple[int, int, int, int]
    """Left, top, right and bottom of the mask in pixels, right and bottom excluded."""


def draw_image(name: str, seed: int, index: int, take: int = 0) -> DrawnImage:
    """Draw image number `index` of the sign `name`. Equal arguments give equal bytes; another `take` gives another image."""
    rng = np.random.default_rng([seed, index, take, *name.encode()])
    size = SHAPES[int(rng.integers(len(SHAPES)))]
    canvas = (round(size[0] * _SCALE), round(size[1] * _SCALE))
    image = draw_scene(rng, canvas)
    depth = abs(rng.normal(0, 1.6))
    image = image.filter(ImageFilter.GaussianBlur(depth)) if depth > 0.6 else image
    alpha = _add_sign(rng, image, name)
    image = add_weather(rng, image).resize(size, Image.Resampling.BOX)
    mask = alpha.resize(size, Image.Resampling.BOX).point(lambda value: 255 if value > 127 else 0)
    if rng.random() < 0.5:
        image, mask = _tilt(rng, image, mask)
    file = io.BytesIO()
    apply_camera(rng, image).save(file, "JPEG", quality=int(rng.integers(62, 94)))
    box = mask.getbbox()
    assert box is not None, "the sign is outside its image"
    return DrawnImage(file.getvalue(), *size, mask, box)


def _tilt(rng: np.random.Generator, image: Image.Image, mask: Image.Image) -> tuple[Image.Image, Image.Image]:
    """Rotate image and mask by a few degrees and crop them to a full frame of the same size."""
    angle = float(np.clip(rng.normal(0, 4), -9, 9))
    zoom = 1 + abs(angle) / 40
    width, height = image.size
    frame = (width / 2 * (1 - 1 / zoom), height / 2 * (1 - 1 / zoom), width / 2 * (1 + 1 / zoom), height / 2 * (1 + 1 / zoom))
    image = image.rotate(angle, Image.Resampling.BICUBIC).resize((width, height), Image.Resampling.BICUBIC, box=frame)
    return image, mask.rotate(angle).resize((width, height), Image.Resampling.NEAREST, box=frame)


def _add_sign(rng: np.random.Generator, image: Image.Image, name: str) -> Image.Image:
    """Draw the sign with its post and clutter into the scene. Returns the visible part of the sign (mode L)."""
    width, height = image.size
    side = min(width, height) * float(np.exp(rng.uniform(np.log(0.2), np.log(0.62))))
    margin = side * 0.55
    center = (float(rng.uniform(margin, width - margin)), float(rng.uniform(margin, max(margin + 1, height * 0.8 - margin / 2))))
    brightness = float(np.asarray(image.reduce(8)).mean()) / 255
    ambient = float(np.clip(0.6 + 0.5 * brightness + rng.normal(0, 0.12), 0.45, 1.1))
    if rng.random() < 0.25:
        other = str(rng.choice(list(OTHER_SIGNS)))
        place = (float(rng.uniform(0, width)), float(rng.uniform(0.1, 0.7) * height))
        _draw_sign(rng, image, other, place, side * rng.uniform(0.3, 0.75), ambient)
    alpha = _draw_sign(rng, image, name, center, side, ambient)
    if rng.random() < 0.3:
        cover = _add_occluder(rng, image, center, side)
        alpha = Image.fromarray(np.where(np.asarray(cover) > 127, 0, np.asarray(alpha)).astype(np.uint8))
    return alpha


def _draw_sign(
    rng: np.random.Generator, image: Image.Image, name: str, center: tuple[float, float], side: float, ambient: float
) -> Image.Image:
    """Draw post, metal rim and face into the image. Returns the alpha of the face (mode L, the size of the image)."""
    if rng.random() < 0.85:
        _draw_post(rng, image, center, side)
    fresh = draw_sign(name, int(rng.integers(200)))
    fresh = fresh.resize((round(side), round(side)), Image.Resampling.LANCZOS) if side < fresh.width else fresh
    face, corner = warp_sign(apply_light(rng, apply_wear(rng, fresh), ambient), project_corners(rng, center, side))
    shape = face.getchannel("A")
    image.paste((58, 58, 60), (corner[0] + round(side * rng.normal(0, 0.012)), corner[1] + round(side * 0.012)), shape)
    image.paste(face, corner, shape)
    alpha = Image.new("L", image.size)
    alpha.paste(shape, corner)
    return alpha


def _draw_post(rng: np.random.Generator, image: Image.Image, center: tuple[float, float], side: float) -> None:
    """Draw a post from the sign to the bottom of the frame, in some images with a plate below the sign."""
    pen = ImageDraw.Draw(image)
    half, lean = side * rng.uniform(0.025, 0.06), rng.normal(0, 0.02) * image.height
    gray = random_color(rng, (0, 360), (0, 0.12), (0.3, 0.75))
    for share, light in ((1.0, 0.6), (0.55, 1.0), (0.2, 1.25)):
        pen.line([center, (center[0] + lean, image.height)], fill=shade_color(gray, light), width=max(1, round(2 * half * share)))
    if rng.random() < 0.3:
        wide, tall = side * rng.uniform(0.6, 0.95), side * rng.uniform(0.2, 0.4)
        top = center[1] + side * 0.56
        box = (center[0] - wide / 2, top, center[0] + wide / 2, top + tall)
        pen.rectangle(
            box,
            fill=shade_color((235, 235, 230), rng.uniform(0.6, 1.05)),
            outline=(40, 40, 40),
            width=max(1, round(side * 0.015)),
        )
        for line in range(int(rng.integers(1, 3))):
            y = top + tall * (0.3 + 0.35 * line)
            pen.line(
                [(box[0] + wide * rng.uniform(0.1, 0.3), y), (box[2] - wide * rng.uniform(0.1, 0.3), y)],
                fill=(50, 50, 50),
                width=max(1, round(tall * 0.12)),
            )


def _add_occluder(rng: np.random.Generator, image: Image.Image, center: tuple[float, float], side: float) -> Image.Image:
    """Draw leaves or a pole in front of the edge of the sign. Returns its alpha (mode L)."""
    front = Image.new("RGBA", image.size)
    direction = rng.choice([-1.0, 1.0])
    x = center[0] + direction * side * rng.uniform(0.25, 0.6)
    if rng.random() < 0.3:
        tone = random_color(rng, (0, 360), (0, 0.15), (0.15, 0.6))
        wide = max(3, round(side * rng.uniform(0.05, 0.14)))
        ImageDraw.Draw(front).line([(x, -5), (x + rng.normal(0, 20), image.height + 5)], fill=tone, width=wide)
    else:
        draw_tree(rng, front, x + direction * side * 0.25, center[1] + side * rng.uniform(0.3, 1.2), side * rng.uniform(0.8, 1.4))
    cover = front.getchannel("A").filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 2)))
    image.paste(front.convert("RGB"), (0, 0), cover)
    return cover
