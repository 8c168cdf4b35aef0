"""Every setting of a run, with defaults that a laptop can afford."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from shlex import quote
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from fototeca.core.errors import FototecaError

Regime = Literal["scratch", "features", "finetune"]
Head = Literal["linear", "logistic", "svm", "boosting"]
Augment = Literal["none", "basic", "trivial", "rand"]
Balance = Literal["none", "weights", "sampling"]
Schedule = Literal["onecycle", "cosine", "constant"]
Precision = Literal["32", "bf16", "16"]
Device = Literal["auto", "cpu", "cuda", "mps"]

EPOCHS = {"scratch": 20, "features": 60, "finetune": 5}
"""Passes over the training split, by regime; over cached features one costs next to nothing."""

RATES = {("scratch", "adamw"): 4e-3, ("scratch", "sgd"): 0.1, ("finetune", "adamw"): 4e-5, ("finetune", "sgd"): 3e-3}
"""Highest learning rate, by regime and optimizer; the heads over cached features have their own."""

FINETUNE_CLIP = 1.0
"""Largest norm of a gradient where SGD fine-tunes: without it a network that has no batch norm loses in the first steps what it
had learned before, at any rate that is of use to it."""

LEARNING_SHARE = 5 / 7
"""Side of the crops that fine-tuning learns on, of the side it is asked at: random crops make things look larger than the
middle crop does, so that smaller ones match it better (Touvron et al. 2019) and cost half the work."""

FIXED_SIDE = ("vit_", "maxvit")
"""Models whose position embeddings fit one size only."""

SCRATCH_SIDE = 96
"""Pixels of input of a network that starts at random."""

ONLY_NETWORKS = (
    *("optimizer", "weight_decay", "schedule", "layer_decay", "freeze_bn", "mixup", "cutmix", "erasing", "ema", "clip"),
    *("accumulate", "patience", "snapshots", "precision", "compile"),
)
"""Settings of the loop that trains a network; a head over cached features is fitted without it."""

LEAST = {"epochs": 1, "batch_size": 1, "image_size": 16, "accumulate": 1}
"""Smallest values of settings that are whole numbers; 0 of the others."""

MOST = 2**32 - 1
"""Largest whole number: scikit-learn takes no larger seed."""

LARGEST = 1e30
"""Largest broken number: what is made of it must fit into 32 bits."""

SHARES = ("erasing", "label_smoothing", "ema", "layer_decay")
"""Settings that lie between 0 and 1."""

NOT_IDENTITY = ("device", "workers", "compile", "tensorboard")
"""Settings that change how fast a run is or what it shows, not which run it is."""


@dataclass(frozen=True)
class TrainConfig:
    """What `fototeca train run` can be told. FototecaError when settings do not go together."""

    manifest: str = "latest"
    """Version of the dataset: v001, or latest."""
    model: str = "cnn"
    """`cnn`, `cnn-cbam`, `resnet18-cbam`, `resnet50-cbam` or any torchvision classification model."""
    regime: Regime = "scratch"
    """scratch: random weights; features: a frozen backbone; finetune: pretrained weights that go on learning."""
    head: Head = "linear"
    """The classifier over frozen features; scratch and finetune end in a linear one."""
    unfreeze: str = "all"
    """What fine-tuning lets learn beside the head: all, the last N stages, or the last stages from a named one on."""
    weights: str | None = None
    """A torchvision name, a path or run:ID; without one, features and finetune take DEFAULT."""
    epochs: int | None = None
    """Passes over the training split; EPOCHS by regime."""
    batch_size: int = 32
    """Images per step, over all processes; a head over features has steps of its own size."""
    image_size: int | None = None
    """Pixels of input when asked; the weights' own in features and finetune; in scratch 64 for cnn and cnn-cbam, else 96."""
    optimizer: Literal["sgd", "adamw"] = "adamw"
    """SGD has momentum 0.9 (Nesterov)."""
    lr: float | None = None
    """Highest learning rate; RATES by regime."""
    weight_decay: float | None = None
    """L2 on weights that are neither norms nor biases: 0.05 with AdamW, 1e-4 with SGD. Over features it is chosen."""
    schedule: Schedule = "onecycle"
    """onecycle: up for a quarter, then down; cosine: up for a twentieth, then down; constant."""
    layer_decay: float = 1.0
    """Each stage further from the head learns this much slower."""
    freeze_bn: bool = False
    """Keep the pretrained batch-norm statistics also where weights learn."""
    augment: Augment | None = None
    """basic: crop and mirror; trivial, rand: those and TrivialAugment or RandAugment. Over cached features only with `views`."""
    views: int = 0
    """Augmented views of each training image whose features are cached and learned from too; for frozen features."""
    mixup: float = 0.0
    """Alpha of mixup; 0 is off."""
    cutmix: float = 0.0
    """Alpha of CutMix; with mixup on too, each step takes one of them by chance."""
    erasing: float = 0.0
    """Probability of random erasing."""
    label_smoothing: float = 0.0
    """Share of each target spread over all classes."""
    balance: Balance = "none"
    """weights: rare classes weigh more in the loss; sampling: they are drawn more often."""
    ema: float = 0.0
    """Decay of the moving average of the weights that is judged and kept, less in the first steps; 0 is off."""
    clip: float | None = None
    """Largest norm of a gradient; 0 is off. 1 where SGD fine-tunes, else off."""
    accumulate: int = 1
    """Batches whose gradients make one step."""
    patience: int = 0
    """Epochs without a better validation accuracy after which training stops; 0 is off."""
    snapshots: int = 0
    """Cycles of the schedule, with the weights kept at the end of each, for `train ensemble`; 0 is off."""
    precision: Precision = "32"
    """16 is for GPUs, bf16 for GPUs and CPUs with units for it: another CPU is many times slower with it."""
    seed: int = 0
    """Of initial weights, order, augmentation and dropout."""
    device: Device = "auto"
    """Where it is trained; auto takes a GPU if there is one."""
    workers: int = 0
    """Processes that augment; changes nothing but the speed."""
    compile: bool = False
    """Compile the network with torch.compile."""
    tensorboard: bool = False
    """Write TensorBoard's event files too."""

    def __post_init__(self) -> None:
        for item in fields(self):
            object.__setattr__(self, item.name, check_value(item.name, getattr(self, item.name)))
        self._check_together()

    def _check_together(self) -> None:
        if self.head != "linear" and self.regime != "features":
            raise FototecaError(f"--head {self.head} needs frozen features", "use --regime features, or leave --head out")
        if self.unfreeze != "all" and self.regime != "finetune":
            raise FototecaError("--unfreeze is for fine-tuning", "use --regime finetune, or leave --unfreeze out")
        if self.views and self.regime != "features":
            raise FototecaError("--views is for frozen features", "use --regime features, or leave --views out")
        if self.views and self.augment == "none":
            raise FototecaError("--views without augmentation would all be alike", "use --augment basic, trivial or rand")
        if self.regime == "features":
            self._check_features()
        if self.weights is not None and self.regime == "scratch":
            raise FototecaError("scratch starts from random weights", "use --regime finetune or features with --weights")
        if self.snapshots and self.epochs is not None and self.epochs % self.snapshots:
            raise FototecaError(f"{self.epochs} epochs are not {self.snapshots} equal cycles", "choose a multiple")

    def _check_features(self) -> None:
        """Refuse what would be written down as done and is not; a 0 that asks for nothing is none of that."""
        usual = {item.name: item.default for item in fields(self)}
        for name in ONLY_NETWORKS:
            value = getattr(self, name)
            if (value or None if usual[name] is None else value) != usual[name]:
                raise FototecaError(
                    f"{_option(name)} does nothing over frozen features", "leave it out, or use --regime finetune"
                )
        if self.balance == "sampling":
            raise FototecaError("--balance sampling does nothing over frozen features", "use --balance weights")
        for name in ("label_smoothing", "lr"):
            if self.head != "linear" and getattr(self, name) != usual[name]:
                raise FototecaError(f"{_option(name)} does nothing with --head {self.head}", "leave it out, or use --head linear")
        if self.augment not in (None, "none") and not self.views:
            raise FototecaError(
                f"--augment {self.augment} does nothing over frozen features alone", "add --views 2, or leave it out"
            )

    def resolved(self) -> TrainConfig:
        """The same with every default of the regime filled in; `image_size` stays None where the weights decide.

        What a head over features has no use for, though a plan may hold it for all its runs, is as if it were not given.
        """
        filled: dict[str, Any] = {
            "weights": self.weights or (None if self.regime == "scratch" else "DEFAULT"),
            "epochs": self.epochs or EPOCHS[self.regime],
            "image_size": self.image_size or self._side(),
            "lr": RATES.get((self.regime, self.optimizer), 1e-2) if self.lr is None else self.lr,
            "weight_decay": (1e-4 if self.optimizer == "sgd" else 0.05) if self.weight_decay is None else self.weight_decay,
            "clip": self._clip() if self.clip is None else self.clip,
            "augment": self.augment or ("none" if self.regime == "features" and not self.views else "basic"),
        }
        if self.regime == "features":
            filled |= {"batch_size": TrainConfig.batch_size, "weight_decay": None, "clip": 0.0}
            filled |= {} if self.head == "linear" else {"epochs": None, "lr": None}
        return replace(self, **filled)

    def _clip(self) -> float:
        return FINETUNE_CLIP if (self.regime, self.optimizer) == ("finetune", "sgd") else 0.0

    def _side(self) -> int | None:
        own = self.regime != "scratch" or self.model in ("cnn", "cnn-cbam") or self.model.startswith(FIXED_SIDE)
        return None if own else SCRATCH_SIDE

    def learning_side(self, side: int) -> int:
        """Pixels of the crops that are learned on when the network is asked at `side`."""
        if self.regime != "finetune" or self.augment == "none" or self.model.startswith(FIXED_SIDE):
            return side
        return min(side, max(32, round(side * LEARNING_SHARE / 32) * 32))

    def identity(self) -> dict[str, Any]:
        """The settings that make it another run."""
        return {name: value for name, value in asdict(self).items() if name not in NOT_IDENTITY}


@cache
def kind_of(setting: str) -> tuple[Any, bool]:
    """What a setting is: str, int, float, bool or a Literal; and whether it may be None."""
    hint = get_type_hints(TrainConfig)[setting]
    kinds = get_args(hint) if NoneType in get_args(hint) else (hint,)
    return kinds[0], NoneType in kinds


def check_value(setting: str, value: object) -> Any:  # noqa: ANN401  (of the setting's own type)
    """The value as the setting holds it: a whole number also where a broken one or text is wanted. FototecaError for others, and
    for numbers that are out of its bounds."""
    kind, optional = kind_of(setting)
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    if value is None and optional:
        return None
    if type(value) is int and kind is not int and kind is not bool:
        value = float(value) if kind is float else str(value)
    if value in choices if choices else type(value) is kind:
        _check_bounds(setting, value)
        return value
    words = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    raise FototecaError(f"{_option(setting)} is {value!r}", f"choose {', '.join(choices) if choices else words[kind]}")


def _check_bounds(setting: str, value: object) -> None:
    if type(value) is int and value < (least := LEAST.get(setting, 0)):
        raise FototecaError(f"{_option(setting)} is {value}", f"choose {least} or more")
    if type(value) is int and value > MOST:
        raise FototecaError(f"{_option(setting)} is {value}", f"choose {MOST} or less")
    if type(value) is float and not 0 <= value <= LARGEST:
        raise FototecaError(f"{_option(setting)} is {value}", f"choose a number from 0 to {LARGEST:g}")
    if type(value) is float and setting in SHARES and value > 1:
        raise FototecaError(f"{_option(setting)} is {value}", "choose a number from 0 to 1")
    if setting == "ema" and value == 1:
        raise FototecaError("--ema 1 would keep the first weights for ever", "choose less than 1, such as 0.999")


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def train_command(config: Mapping[str, Any]) -> str:
    """The command that trains the run of this `config.json` again: given to a shell it is the same run."""
    told = {field.name: config[field.name] for field in fields(TrainConfig) if config.get(field.name) is not None}
    plain = TrainConfig(**{name: told[name] for name in ("manifest", "model", "regime", "optimizer")}).resolved()
    usual = {**asdict(plain), "optimizer": TrainConfig.optimizer}  # other defaults follow from it, so it is told itself
    several = f"torchrun --nproc-per-node {processes} $(which fototeca)" if (processes := config.get("processes", 1)) > 1 else ""
    words = [
        f"{several or 'fototeca'} train run",
        *(f"{_option(name)} {quote(told[name])}" for name in ("manifest", "model", "regime")),
    ]
    for name, value in told.items():
        if name not in NOT_IDENTITY and value != usual[name]:
            words.append(_option(name) if value is True else f"{_option(name)} {quote(str(value))}")
    return " ".join(words)
