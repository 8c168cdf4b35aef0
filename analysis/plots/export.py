"""HTML to PDF, and drawings to PNG, through a Chromium that is installed; nothing is fetched."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from fototeca.analysis.plots.svg import Figure
from fototeca.core.errors import EXIT_OUTSIDE, FototecaError
from fototeca.vision.browser import find_browser

GAP = 10
"""Pixels between two drawings on the page they are photographed from."""


def require_browser() -> str:
    """The browser that collecting uses too. FototecaError when there is none, or FOTOTECA_CHROME names none."""
    found = find_browser()
    if found is None or shutil.which(found) is None:
        what = f"FOTOTECA_CHROME names no program: {found}" if found else "no Chromium on PATH"
        raise FototecaError(what, "install it (fototeca doctor says how), or print the HTML to PDF", EXIT_OUTSIDE)
    return found


def _run(arguments: Sequence[str], made: Path) -> None:
    """Run the browser headless with a profile of its own; FototecaError when `made` does not come out."""
    chromium = require_browser()
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # Chromium refuses root otherwise
    with tempfile.TemporaryDirectory() as profile:
        command = [chromium, "--headless=new", *sandbox, "--disable-gpu", f"--user-data-dir={profile}", *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
        except subprocess.TimeoutExpired:
            raise FototecaError("Chromium did not finish in 180 s", "open the HTML and print it yourself", EXIT_OUTSIDE) from None
    if not made.is_file():
        detail = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise FototecaError(f"Chromium made no {made.name}: {detail}", "run: fototeca doctor", EXIT_OUTSIDE)


def write_pdf(page: Path, target: Path) -> Path:
    """Print an HTML file to PDF."""
    target.unlink(missing_ok=True)
    _run([f"--print-to-pdf={target.resolve()}", "--no-pdf-header-footer", page.resolve().as_uri()], target)
    return target


def write_pngs(figures: Sequence[Figure], folder: Path) -> list[Path]:
    """Each drawing as `NAME.png` at twice its size: all on one page, photographed once, then cut apart."""
    sizes = [_size(figure.svg) for figure in figures]
    width, height = max(w for w, _ in sizes) + 2 * GAP, sum(h + GAP for _, h in sizes) + GAP
    body = "".join(
        f'<div style="height:{h}px;margin:0 0 {GAP}px {GAP}px">{f.svg}</div>' for f, (_, h) in zip(figures, sizes, strict=True)
    )
    with tempfile.TemporaryDirectory() as temporary:
        page, shot = Path(temporary) / "page.html", Path(temporary) / "page.png"
        page.write_text(f'<meta charset="utf-8"><body style="margin:{GAP}px 0;background:#fff">{body}', encoding="utf-8")
        size = f"--window-size={width},{height + 200}"
        _run([f"--screenshot={shot}", size, "--force-device-scale-factor=2", "--hide-scrollbars", page.as_uri()], shot)
        with Image.open(shot) as whole:
            return _cut(whole, figures, sizes, folder)


def _cut(whole: Image.Image, figures: Sequence[Figure], sizes: Sequence[tuple[int, int]], folder: Path) -> list[Path]:
    paths, top = [], GAP
    for figure, (width, height) in zip(figures, sizes, strict=True):
        path = folder / f"{figure.name}.png"
        whole.crop((2 * GAP, 2 * top, 2 * (GAP + width), 2 * (top + height))).save(path)
        paths.append(path)
        top += height + GAP
    return paths


def _size(svg: str) -> tuple[int, int]:
    """Width and height of a drawing, from its viewBox, rounded up."""
    _, _, width, height = svg.split('viewBox="')[1].split('"')[0].split()
    return -int(-float(width) // 1), -int(-float(height) // 1)
