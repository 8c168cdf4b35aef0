"""Fixtures of all tests: photographs beside the checkout, a clean environment, the command line in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"

settings.register_profile("fototeca", deadline=None)  # no test measures time
settings.load_profile("fototeca")

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny networks: threads of torch that wait for one another cost most of the time
os.environ.setdefault("NUMBA_NUM_THREADS", "1")  # numba sets OpenMP's threads for the whole process, torch's among them
os.environ.setdefault("FIFTYONE_DO_NOT_TRACK", "true")
os.environ.setdefault("FOTOTECA_USER", "tester")
# a person's own FiftyOne database is nobody's playground: nothing answers there, and tests in need of one ask for `fo`
os.environ["FIFTYONE_DATABASE_URI"] = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200"
os.environ["FIFTYONE_DATABASE_VALIDATION"] = "false"
for name in ("FOTOTECA_WORKSPACE", "TORCH_HOME"):
    os.environ.pop(name, None)


@pytest.fixture(autouse=True)
def _no_workspace_left() -> Iterator[None]:
    """Check that no test leaves FOTOTECA_WORKSPACE set, as `fototeca --workspace` in this process does."""
    yield
    assert "FOTOTECA_WORKSPACE" not in os.environ


@pytest.fixture(autouse=True)
def _no_trust_of_the_user(
    _no_workspace_left: None, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Keep what tests trust out of the user's own records. `_no_workspace_left` comes first, so that it ends last."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / "state"))


@pytest.fixture(scope="session")
def fo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """FiftyOne on a mongod of its own; once per process, because FiftyOne reads the address when it is imported."""
    with serve_mongod(tmp_path_factory.mktemp("mongo")) as (address, _), pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIFTYONE_DATABASE_URI", address)
        with warnings.catch_warnings(action="ignore"):
            import fiftyone
        yield fiftyone


@contextmanager
def serve_mongod(folder: Path) -> Iterator[tuple[str, int]]:
    """Run mongod with its files in a folder; yield its address and process id."""
    (package,) = find_spec("fiftyone").submodule_search_locations  # type: ignore[union-attr]
    port = free_port()
    options = {"dbpath": folder, "port": port, "bind_ip": "127.0.0.1", "logpath": folder / "log"}
    command = [Path(package) / "db" / "bin" / "mongod", "--nounixsocket"]
    mongod = subprocess.Popen([*command, *(str(part) for name, value in options.items() for part in (f"--{name}", value))])
    try:
        yield f"mongodb://127.0.0.1:{port}", mongod.pid
    finally:
        mongod.terminate()
        mongod.wait()


def free_port() -> int:
    """Return an unused port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def grocery() -> Path:
    """2,936 real photographs in 43 coarse and 81 fine classes."""
    if not (SHARED / "grocery" / "labels.csv").is_file():
        pytest.skip("the grocery photographs are not beside the checkout")
    return SHARED / "grocery"


@pytest.fixture
def squeezenet_weights() -> Path:
    """ImageNet weights for torchvision's squeezenet1_0."""
    path = SHARED / "weights" / "squeezenet1_0-imagenet.pth"
    if not path.is_file():
        pytest.skip("the SqueezeNet weights are not beside the checkout")
    return path


Fototeca = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def fototeca(tmp_path: Path) -> Fototeca:
    """Run `fototeca ARG…` in a separate process, in `tmp_path` or in `cwd`."""

    def run(*arguments: object, cwd: Path = tmp_path, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "fototeca", *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout)

    return run


MakeImages = Callable[[Path, dict[str, int]], Path]


@pytest.fixture
def make_images() -> MakeImages:
    """Return `draw_images`."""
    return draw_images


def draw_images(folder: Path, counts: dict[str, int], side: int = 96) -> Path:
    """Draw colored noise to `folder/CLASS/NNN.jpg`; the color of a class makes it learnable."""
    for index, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        tint = np.random.default_rng(1000 + index).uniform(40, 215, 3)
        for number in range(count):
            noise = np.random.default_rng([index, number]).normal(0, 45, (9, 9, 3)) + tint
            image = Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
            image.save(folder / name / f"{number:03}.jpg", quality=92)
    return folder
