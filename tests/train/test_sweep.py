"""Plans: what is refused before anything is trained, and what of a plan is trained when something goes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from train import parallel
from train.config import TrainConfig
from train.run import train_run
from train.runs import Run
from train.sweep import read_plan, sweep
from workspace import FototecaError, Workspace

SMALL = {"model": "cnn", "regime": "scratch", "image_size": 32, "epochs": 1, "batch_size": 16, "device": "cpu"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('optimizer = "adam"', "--optimizer is 'adam'; choose sgd, adamw"),
        ('regime = "scrach"', "--regime is 'scrach'; choose scratch, features, finetune"),
        ('head = "forest"', "--head is 'forest'"),
        ('schedule = ["onecycle", "linear"]', "--schedule is 'linear'"),
        ('epochs = "3"', "--epochs is '3'; choose a whole number"),
        ("epochs = 2.5", "--epochs is 2.5"),
        ("freeze_bn = 1", "--freeze-bn is 1; choose true or false"),
        ("mixup = true", "--mixup is True; choose a number"),
        ("seed = []", "seed has no choices"),
        ("lr = {low = 0.1, high = 0.2}", "lr is a range; write a list, or draw from it with --search N"),
        ('[run]\nmodel = "cnn"', r"run is no list of tables; write each run as \[\[run\]\]"),
    ],
)
def test_a_plan_with_a_wrong_value_is_refused_whole(tmp_path: Path, line: str, words: str) -> None:
    """Before anything is trained, in one line that names the file, the value and what to choose."""
    path = tmp_path / "plan.toml"
    path.write_text("\n".join(part for part in ('model = "cnn"', 'regime = "scratch"') if part[:5] != line[:5]) + f"\n{line}\n")
    with pytest.raises(FototecaError, match=f"plan.toml: {words}"):
        read_plan(path)


def test_whole_numbers_stand_for_broken_ones_and_for_text() -> None:
    """As TOML writes them: the run is the same one."""
    plain = TrainConfig("v001", "cnn", "finetune", unfreeze="2", precision="32", mixup=1.0)
    assert TrainConfig("v001", "cnn", "finetune", unfreeze=2, precision=32, mixup=1).identity() == plain.identity()  # type: ignore[arg-type]


def test_a_run_that_ends_by_a_bug_does_not_end_the_others(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a row with its reason."""

    def breaks(workspace: Workspace, config: TrainConfig) -> Run:
        if config.seed == 0:
            raise RuntimeError("sizes do not match\nand more")
        return train_run(workspace, config)

    monkeypatch.setattr(parallel, "train_run", breaks)
    found = sweep(small, [{**SMALL, "seed": 0}, {**SMALL, "seed": 1}], "v001")
    assert [run.config["seed"] for run in found.runs] == [1]
    ((name, reason),) = found.failed
    assert "seed=0" in name and reason.startswith("RuntimeError: sizes do not match; ")
