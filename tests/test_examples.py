"""The examples run: every code block of docs/python-api.md and of the readme, and the notebooks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from fototeca.demo.images import draw_image
from fototeca.demo.signs import CATEGORIES

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
pytestmark = pytest.mark.timeout(900)  # a report takes half a minute of CPU


def draw_photos(folder: Path, names: dict[str, str], count: int) -> None:
    """Write `count` drawn images per category to `folder/NAME`; `names` gives the sign to draw for each."""
    for name, sign in names.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            (folder / name / f"{number:03}.jpg").write_bytes(draw_image(sign, 5, number).jpeg)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with drawn images in photos/beagle and photos/pug."""
    monkeypatch.chdir(tmp_path)
    draw_photos(tmp_path / "photos", dict(zip(("beagle", "pug"), CATEGORIES, strict=False)), 40)
    return tmp_path


def read_blocks(path: Path) -> list[str]:
    """Return the Python code blocks of a Markdown file."""
    return re.findall(r"^```python\n(.*?)^```$", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_python_api_page_runs(photos: Path) -> None:
    """All blocks of docs/python-api.md run in order in one namespace."""
    namespace: dict[str, Any] = {}
    blocks = read_blocks(ROOT / "docs" / "python-api.md")
    assert len(blocks) > 8
    for block in blocks:
        exec(compile(block, "docs/python-api.md", "exec"), namespace)
    assert (photos / "dogs" / "data" / "reports" / "v002" / "report-en.html").is_file()


def test_readme_example_runs(photos: Path) -> None:
    """The example of the readme goes from photographs to a report, with shortened training; the Spanish one is the same code."""
    (block,) = read_blocks(ROOT / "README.md")
    (spanish,) = read_blocks(ROOT / "README.es.md")
    assert spanish.replace('"v001", lang="es"', '"v001"') == block
    shortened = block.replace('regime="scratch"', 'regime="scratch", epochs=1, image_size=32, device="cpu"')
    assert shortened != block
    (photos / "new-photo.jpg").write_bytes(draw_image(next(iter(CATEGORIES)), 6, 0).jpeg)
    exec(compile(shortened, "README.md", "exec"), {})
    assert (photos / "dogs" / "data" / "reports" / "v001" / "report-en.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_runs(path: Path, tmp_path: Path) -> None:
    """A notebook runs from its first cell to the report, in a kernel of its own and an empty folder, on drawn images."""
    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in notebook.cells), (
        "stored without outputs"
    )
    NotebookClient(notebook, timeout=280, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = notebook.cells[-1].outputs[-1]["text"]
    assert (tmp_path / printed.split()[0]).is_file()
