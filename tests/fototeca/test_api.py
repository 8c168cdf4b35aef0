"""The Python API: public names, laziness, and the pipeline from images to predictions."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import fototeca as ft

HEAVY = ("torch", "torchvision", "numpy", "pandas", "PIL", "fiftyone", "selenium", "sklearn", "scipy", "numba", "rich", "typer")


def test_public_names_are_pinned() -> None:
    """Adding or removing a public name is a deliberate change."""
    assert ft.__all__ == [
        "ExternalError",
        "FetchOptions",
        "FototecaError",
        "Manifest",
        "Prediction",
        "Result",
        "Run",
        "ShortfallError",
        "TrainConfig",
        "Workspace",
        "__version__",
        "list_models",
        "load_manifest",
        "load_run",
        "train",
    ]
    assert dir(ft) == sorted(ft.__all__)
    assert all(getattr(ft, name) is not None for name in ft.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = ft.nothing  # type: ignore[attr-defined]


def test_importing_fototeca_loads_nothing_heavy() -> None:
    """`import fototeca` costs milliseconds; a library is loaded by the call that needs it."""
    code = f"import sys, fototeca; print(fototeca.__version__, [name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [ft.__version__, "[]"]


def test_train_stays_callable_after_its_subpackage_was_imported() -> None:
    """`fototeca.train` is both the subpackage and the function, in either order of use."""
    for first in ("", "import fototeca.train.config\n"):
        code = f"import fototeca as ft\n{first}print(callable(ft.train))\nimport fototeca.train.config\nprint(callable(ft.train))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["True", "True"]


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> ft.Manifest:
    """A frozen version of 80 drawn images of two categories."""
    folder = tmp_path_factory.mktemp("api")
    rng = np.random.default_rng(0)
    for index, name in enumerate(("cat", "dog")):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(40):
            noise = rng.normal(0, 45, (9, 9, 3)) + np.array([60 + 100 * index, 120, 200 - 100 * index])
            image = Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8)).resize((80, 64))
            image.save(folder / "photos" / name / f"{number}.jpg")
    workspace = ft.Workspace.create(folder / "w", ["cat", "dog"], target=10)
    workspace.collect_folder(folder / "photos", label_from_folder=True)
    workspace.deduplicate()
    workspace.freeze(seed=3, note="first")
    return ft.load_manifest(folder / "w" / "manifests" / "v001.csv")


@pytest.fixture(scope="module")
def run(frozen: ft.Manifest) -> ft.Run:
    """A small network trained for one epoch."""
    return ft.train(frozen, ft.TrainConfig(model="cnn", regime="scratch", epochs=1, image_size=32, device="cpu"))


def test_manifest_rows_as_data_frame_and_dataset(frozen: ft.Manifest) -> None:
    """The data frame has the CSV's columns; the dataset has every image of the split with its class index."""
    assert (frozen.seed, frozen.note, frozen.split_counts()) == (3, "first", {"train": 56, "val": 8, "test": 16})
    table = frozen.to_pandas()
    assert list(table.columns[:5]) == ["image_id", "path", "label", "split", "group"]
    assert len(table) == 80 and table["width"].eq(80).all()
    images = frozen.dataset("val")
    assert isinstance(images, torch.utils.data.Dataset) and len(images) == 8
    assert [images.classes[images[index][1]] for index in range(8)] == [row.label for row in frozen.split("val")]
    assert images[0][0].size == (80, 64)
    assert frozen.dataset("val", lambda image: image.size[0])[0][0] == 80
    with pytest.raises(ft.FototecaError, match="unknown split 'dev'"):
        frozen.dataset("dev")
    assert "rows" not in repr(frozen)


def test_loader_gives_normalized_batches_in_a_fixed_order(frozen: ft.Manifest) -> None:
    """Validation is not shuffled; the default transform gives 224 px."""
    batches = list(frozen.loader("val", batch_size=3))
    assert [tuple(images.shape) for images, _ in batches] == [(3, 3, 224, 224), (3, 3, 224, 224), (2, 3, 224, 224)]
    order = torch.cat([target for _, target in batches]).tolist()
    assert order == [frozen.categories.index(row.label) for row in frozen.split("val")]


def test_run_predicts_files_and_pil_images_alike(run: ft.Run, frozen: ft.Manifest, tmp_path: Path) -> None:
    """Probabilities sum to one and do not depend on how the image is given; a broken file has a reason."""
    path = frozen.image_paths("val")[0]
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    by_path, by_name, by_image, broken = run.predict([path, str(path), Image.open(path), tmp_path / "broken.jpg"])
    assert isinstance(by_path, ft.Prediction) and by_path.to_json()["label"] == by_path.label
    assert by_path.probabilities == by_name.probabilities == pytest.approx(by_image.probabilities, abs=1e-3)
    assert sum(by_path.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert by_path.label == max(by_path.probabilities, key=by_path.probabilities.__getitem__)
    assert broken.label is None and broken.reason
    with torch.inference_mode():
        assert run.module(torch.zeros(2, 3, 32, 32)).shape == (2, 2)


def test_run_is_loaded_by_folder_and_by_id(run: ft.Run, frozen: ft.Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    """From anywhere by its folder; by id inside the workspace or with the workspace given."""
    assert ft.load_run(run.folder) == ft.load_run(run.id, frozen.workspace) == run
    monkeypatch.chdir(frozen.workspace.root)
    assert ft.load_run(run.id).manifest == frozen
    assert [item.id for item in ft.Workspace.open().list_runs()] == [run.id]
    with pytest.raises(ft.FototecaError):
        ft.load_run("nothing")


def test_a_finished_run_is_not_trained_again(run: ft.Run, frozen: ft.Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same configuration names the same run."""
    config = ft.TrainConfig(model="cnn", regime="scratch", epochs=1, image_size=32, device="cpu")
    before = (run.folder / "done.json").read_bytes()
    assert ft.train(frozen, config) == run
    assert (run.folder / "done.json").read_bytes() == before


def test_evaluation_equals_the_command(run: ft.Run, fototeca: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """`Run.evaluate` and `analysis evaluate --json` give the same numbers."""
    done = fototeca("analysis", "evaluate", run.id, "--split", "val", "--json", cwd=run.workspace.root)
    assert done.returncode == 0, done.stderr
    result = run.evaluate("val")
    assert json.loads(done.stdout) == json.loads(json.dumps(result.to_json()))


def test_labels_and_rejections_reach_the_next_version(frozen: ft.Manifest) -> None:
    """Images can be given by unique id prefix; the first version is unchanged."""
    workspace = ft.Workspace.open(frozen.workspace.root)
    relabeled, rejected = [row.image_id for row in frozen.split("train") if row.label == "cat"][:2]
    workspace.label([relabeled[:12]], "dog")
    workspace.reject([rejected], "blurry")
    workspace.freeze()
    second = workspace.manifest()
    assert (second.version, len(second.rows)) == ("v002", 79)
    assert {row.image_id: row.label for row in second.rows}[relabeled] == "dog"
    assert workspace.versions() == ["v001", "v002"] and not workspace.verify().problems
    workspace.restore([rejected])
    workspace.freeze()
    assert len(workspace.manifest("v003").rows) == 80
    assert ft.load_manifest(frozen.path) == frozen


def test_exit_codes_follow_the_exception_tree() -> None:
    """Every error is a FototecaError; its class decides the exit code."""
    assert [error("what", "do").exit_code for error in (ft.FototecaError, ft.ShortfallError, ft.ExternalError)] == [2, 3, 4]
    assert issubclass(ft.ExternalError, ft.FototecaError) and str(ft.ExternalError("what", "do")) == "what; do"


def test_load_manifest_refuses_a_file_outside_a_workspace(tmp_path: Path) -> None:
    """The error says where versions are."""
    (tmp_path / "v001.csv").write_text("x")
    with pytest.raises(ft.FototecaError, match=r"not a version of a workspace; pass manifests/vNNN\.csv"):
        ft.load_manifest(tmp_path / "v001.csv")


def test_list_models_has_own_and_torchvision_models() -> None:
    """fototeca's own come first."""
    models = ft.list_models()
    assert models[0] == "cnn" and {"resnet18", "squeezenet1_0", "vit_b_16"} <= {*models}
