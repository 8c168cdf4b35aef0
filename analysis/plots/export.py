"""Export figures to PNG with resvg, and HTML to PDF with an installed Chromium; nothing is fetched."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fototeca.analysis.images import font_folder
from fototeca.analysis.plots.svg import Figure
from fototeca.core.errors import ExternalError
from fototeca.core.files import write_bytes
from fototeca.vision.browser import find_browser

SCALE = 2.0
"""Pixels of a PNG per unit of the SVG."""

TIMEOUT = 180
"""Seconds after which Chromium is stopped."""


def require_browser() -> str:
    """Return the path of the browser that collecting uses too. FototecaError if there is none."""
    browser = find_browser()
    if browser is None or shutil.which(browser) is None:
        what = f"FOTOTECA_CHROME names no program: {browser}" if browser else "no Chromium on PATH"
        raise ExternalError(what, "install it (fototeca doctor says how), or print the HTML to PDF")
    return browser


def write_pdf(page: Path, target: Path) -> Path:
    """Print an HTML file to PDF with headless Chromium. FototecaError if there is no browser or it writes no file."""
    target.unlink(missing_ok=True)
    _run_chromium([f"--print-to-pdf={target.resolve()}", "--no-pdf-header-footer", page.resolve().as_uri()], target)
    return target


def _run_chromium(arguments: Sequence[str], output: Path) -> None:
    """Run the browser headless with a temporary profile; FototecaError if it does not write `output`."""
    chromium = require_browser()
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # Chromium refuses root otherwise
    with tempfile.TemporaryDirectory() as profile:
        command = [chromium, "--headless=new", *sandbox, "--disable-gpu", f"--user-data-dir={profile}", *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        except subprocess.TimeoutExpired:
            message = f"Chromium did not finish in {TIMEOUT} s"
            raise ExternalError(message, "open the HTML in a browser and print it to PDF") from None
    if not output.is_file():
        detail = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ExternalError(f"Chromium did not write {output.name}: {detail}", "run: fototeca doctor")


def write_pngs(figures: Sequence[Figure], folder: Path) -> list[Path]:
    """Write each figure as `NAME.png` at SCALE times its size on white; return the paths."""
    paths = []
    for figure in figures:
        path = folder / f"{figure.name}.png"
        write_bytes(path, render_png(figure.svg))
        paths.append(path)
    return paths


def render_png(svg: str) -> bytes:
    """Return an SVG as PNG at SCALE times its size on white.

    Text is drawn with installed fonts, so that every script has its letters; DejaVu Sans, which comes with matplotlib, is always
    available.
    """
    import resvg_py

    png: bytes = resvg_py.svg_to_bytes(
        svg_string=svg,
        background="#ffffff",
        zoom=SCALE,
        font_files=[str(font_folder() / name) for name in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")],
        font_family="DejaVu Sans",
        sans_serif_family="DejaVu Sans",
    )
    return bytes(png)
