"""Camera simulation: wear and light on the sign, perspective, weather, lens and sensor."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from fototeca.demo.noise import fractal_noise, smooth_noise

Corners = npt.NDArray[np.float64]
"""(4, 2): x and y in pixels of top left, top right, bottom right, bottom left."""


def apply_wear(rng: np.random.Generator, sign: Image.Image) -> Image.Image:
    """Return the sign (RGBA) weathered: bleached, dirty, scratched, some with a sticker."""
    pixels = np.asarray(sign, dtype=np.float32)
    color, size = pixels[..., :3], sign.size
    bleach = rng.beta(1.2, 4)
    gray = color.mean(axis=2, keepdims=True)
    color = color * (1 - 0.7 * bleach) + (0.5 * gray + 95) * 0.7 * bleach
    dirt = np.clip((fractal_noise(rng, size, size[0] / rng.uniform(2, 8), 4) - rng.uniform(0.45, 0.95)) * 2.5, 0, 0.75)[..., None]
    color = color * (1 - dirt) + np.array([88, 74, 60], np.float32) * dirt
    image = Image.fromarray(np.clip(color, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.poisson(1.2))):
        x, y = rng.uniform(0, size[0], 2)
        dx, dy = rng.normal(0, size[0] / 8, 2)
        pen.line([(x, y), (x + dx, y + dy)], fill=tuple(rng.integers(60, 230, 3).tolist()), width=int(rng.integers(1, 4)))
    if rng.random() < 0.12:
        x, y = rng.uniform(0.2, 0.8, 2) * size[0]
        half = rng.uniform(0.05, 0.13) * size[0]
        pen.rectangle((x - half, y - half, x + half, y + half * 0.6), fill=tuple(rng.integers(0, 255, 3).tolist()))
    image.putalpha(sign.getchannel("A"))
    return image


def apply_light(rng: np.random.Generator, sign: Image.Image, ambient: float) -> Image.Image:
    """Return the sign (RGBA) lit by a gradient, dappled or sharp shadow, sometimes glare. `ambient` 1 is a bright day."""
    pixels = np.asarray(sign, dtype=np.float32)
    side = sign.width
    angle = rng.uniform(0, 2 * math.pi)
    ramp = np.linspace(-1, 1, side, dtype=np.float32)
    across = math.cos(angle) * ramp[None, :] + math.sin(angle) * ramp[:, None]
    light = ambient * (1 + rng.uniform(0, 0.3) * across)
    if rng.random() < 0.35:
        leaves = smooth_noise(rng, sign.size, side / rng.uniform(3, 9))
        light *= 1 - rng.uniform(0.3, 0.65) * np.clip((leaves - rng.uniform(0.35, 0.65)) * 6, 0, 1)
    elif rng.random() < 0.3:
        light *= 1 - rng.uniform(0.25, 0.6) / (1 + np.exp(-(across - rng.uniform(-0.6, 0.6)) * 25))
    color = pixels[..., :3] * light[..., None]
    if rng.random() < 0.2:
        cx, cy, radius = *rng.uniform(-0.7, 0.7, 2), rng.uniform(0.2, 0.7)
        spot = np.exp(-((ramp[None, :] - cx) ** 2 + (ramp[:, None] - cy) ** 2) / radius**2)
        color += (255 - color) * (rng.uniform(0.3, 0.9) * spot)[..., None]
    result = Image.fromarray(np.clip(color, 0, 255).astype(np.uint8))
    result.putalpha(sign.getchannel("A"))
    return result


def project_corners(rng: np.random.Generator, center: tuple[float, float], side: float) -> Corners:
    """Project the four corners of a randomly rotated square board through a pinhole camera.

    Rotated by up to 50° about its post, 20° up or down and 12° in its plane; `side` is the board's size in pixels seen face on.
    """
    yaw, pitch, roll = rng.normal(0, 0.4), rng.normal(0, 0.14), rng.normal(0, 0.09)
    yaw, pitch, roll = float(np.clip(yaw, -0.87, 0.87)), float(np.clip(pitch, -0.35, 0.35)), float(np.clip(roll, -0.21, 0.21))
    square = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], dtype=np.float64)
    about_y = np.array([[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, math.cos(pitch), -math.sin(pitch)], [0, math.sin(pitch), math.cos(pitch)]])
    about_z = np.array([[math.cos(roll), -math.sin(roll), 0], [math.sin(roll), math.cos(roll), 0], [0, 0, 1]])
    turned = square @ (about_z @ about_x @ about_y).T
    distance = rng.uniform(3, 9)
    flat = turned[:, :2] * distance / (distance + turned[:, 2:])
    return np.asarray(np.array(center) + flat * side / 2)


def warp_sign(sign: Image.Image, place: Corners) -> tuple[Image.Image, tuple[int, int]]:
    """Warp the sign (RGBA) so that its corners are at `place`.

    Returns the smallest frame that contains it, and the frame's top left corner in pixels. The sign is reduced first, so that a
    small one does not alias.
    """
    left, top = (int(v) for v in np.floor(place.min(axis=0)) - 1)
    right, bottom = (int(v) for v in np.ceil(place.max(axis=0)) + 1)
    wide = max(np.linalg.norm(place[1] - place[0]), np.linalg.norm(place[2] - place[3]))
    tall = max(np.linalg.norm(place[3] - place[0]), np.linalg.norm(place[2] - place[1]))
    fitted = sign.resize((max(4, round(float(wide))), max(4, round(float(tall)))), Image.Resampling.LANCZOS)
    w, h = fitted.size
    rows, values = [], []
    for (x, y), (u, v) in zip(place - (left, top), [(0, 0), (w, 0), (w, h), (0, h)], strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    coefficients = np.linalg.solve(np.array(rows), np.array(values))
    frame = (right - left, bottom - top)
    return fitted.transform(frame, Image.Transform.PERSPECTIVE, coefficients.tolist(), Image.Resampling.BICUBIC), (left, top)


def add_weather(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """Add fog, rain or falling snow to a fifth of the images; return the others unchanged."""
    kind = rng.choice(["clear", "fog", "rain", "snow"], p=[0.8, 0.08, 0.07, 0.05])
    if kind == "fog":
        veil = smooth_noise(rng, image.size, image.height / 2)[..., None] * 0.25 + rng.uniform(0.15, 0.5)
        pixels = np.asarray(image, np.float32)
        return Image.fromarray((pixels * (1 - veil) + rng.uniform(170, 225) * veil).astype(np.uint8))
    if kind != "clear":
        layer = Image.new("L", image.size)
        pen = ImageDraw.Draw(layer)
        slant = rng.uniform(-6, 6)
        for x, y, length in rng.random((int(rng.integers(80, 260)), 3)) * [image.width, image.height, 1]:
            if kind == "rain":
                pen.line([(x, y), (x + slant, y + 10 + 25 * length)], fill=110, width=1)
            else:
                pen.ellipse((x, y, x + 2 + 5 * length, y + 2 + 5 * length), fill=215)
        image = image.copy()
        image.paste((225, 228, 232), (0, 0), layer.filter(ImageFilter.GaussianBlur(0.8)))
    return image


def apply_camera(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """Simulate lens and sensor: motion or focus blur, exposure, white balance, vignette, noise. The image size is unchanged."""
    if rng.random() < 0.22:
        image = _add_motion_blur(image, rng.uniform(0, math.pi), rng.uniform(2, 8) * image.width / 480)
    elif rng.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.6, 2.4) * image.width / 480))
    pixels = np.asarray(image, np.float32) / 255
    is_night = rng.random() < 0.12
    exposure = rng.uniform(0.22, 0.45) if is_night else np.exp(rng.normal(0, 0.25))
    balance = np.exp(rng.normal(0, 0.05, 3)).astype(np.float32) * (np.array([1.12, 1.0, 0.85], np.float32) if is_night else 1)
    x, y = np.linspace(-1, 1, image.width, dtype=np.float32), np.linspace(-1, 1, image.height, dtype=np.float32)
    vignette = 1 - rng.uniform(0, 0.35) * (x[None, :] ** 2 + y[:, None] ** 2) / 2
    pixels = np.power(np.clip(pixels * exposure * balance * vignette[..., None], 0, 1), rng.uniform(0.8, 1.2))
    noise = rng.gamma(2, 0.007) + (0.03 if is_night else 0)
    pixels = pixels + noise * rng.standard_normal(pixels.shape[:2], dtype=np.float32)[..., None]
    pixels += 0.4 * noise * rng.standard_normal(pixels.shape, dtype=np.float32)
    return Image.fromarray((np.clip(pixels, 0, 1) * 255).astype(np.uint8))


def _add_motion_blur(image: Image.Image, angle: float, length: float) -> Image.Image:
    """Return the image with motion blur: its mean along a line of `length` pixels."""
    steps = max(3, round(length))
    pixels = np.asarray(image, np.uint16)
    pad = steps + 1
    padded = np.pad(pixels, ((pad, pad), (pad, pad), (0, 0)), mode="edge")
    total = np.zeros(pixels.shape, dtype=np.uint16)
    for t in np.linspace(-0.5, 0.5, steps):
        dx, dy = pad + round(t * length * math.cos(angle)), pad + round(t * length * math.sin(angle))
        total += padded[dy : dy + pixels.shape[0], dx : dx + pixels.shape[1]]
    return Image.fromarray((total // steps).astype(np.uint8))
