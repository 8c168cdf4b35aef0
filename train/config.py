"""The settings of a run, with defaults that a laptop can afford."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from shlex import quote
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from fototeca.core.errors import FototecaError
from fototeca.vision.fit import Fit

Regime = Literal["scratch", "features", "finetune"]
Head = Literal["linear", "logistic", "svm", "boosting"]
Augment = Literal["none", "basic", "trivial", "rand"]
Balance = Literal["none", "weights", "sampling"]
Schedule = Literal["onecycle", "cosine", "constant"]
Precision = Literal["32", "bf16", "16"]
Device = Literal["auto", "cpu", "cuda", "mps"]

DEFAULT_EPOCHS = {"scratch": 20, "features": 60, "finetune": 5}
"""Passes over the training split, by regime; over cached features a pass takes almost no time."""

DEFAULT_LR = {("scratch", "adamw"): 4e-3, ("scratch", "sgd"): 0.1, ("finetune", "adamw"): 4e-5, ("finetune", "sgd"): 3e-3}
"""Highest learning rate, by regime and optimizer; the heads over cached features have their own."""

FINETUNE_CLIP = 1.0
"""Largest gradient norm where SGD fine-tunes: without it a network without batch norm loses its pretrained weights in the first
steps, at every learning rate that is high enough to train."""

TRAIN_CROP_RATIO = 5 / 7
"""Side of the training crops in fine-tuning, relative to the input size in evaluation: random crops magnify objects compared with
the center crop, so smaller ones match it better (Touvron et al. 2019) and cost half the work."""

FIXED_SIZE_MODELS = ("vit_", "maxvit")
"""Prefixes of models whose position embeddings fit one input size only."""

SCRATCH_IMAGE_SIZE = 96
"""Default input side in pixels of a network with random initial weights."""

NETWORK_SETTINGS = (
    *("optimizer", "weight_decay", "schedule", "layer_decay", "freeze_bn", "mixup", "cutmix", "random_erasing", "ema", "clip"),
    *("accumulate", "patience", "snapshots", "precision", "compile"),
)
"""Settings of the training loop of a network; a head over cached features is fitted without that loop."""

MINIMUM = {"epochs": 1, "batch_size": 1, "image_size": 16, "accumulate": 1}
"""Smallest values of integer settings; 0 for the others."""

MAX_INTEGER = 2**32 - 1
"""Largest integer: scikit-learn accepts no larger seed."""

MAX_FLOAT = 1e30
"""Largest float: values derived from it must fit into 32 bits."""

FRACTIONS = ("random_erasing", "label_smoothing", "ema", "layer_decay")
"""Settings between 0 and 1."""

NON_IDENTITY_SETTINGS = ("device", "workers", "compile", "tensorboard")
"""Settings that change the speed or the output of a run, not its identity."""


@dataclass(frozen=True)
class TrainConfig:
    """Settings of `fototeca train run` and of `train_run`. FototecaError for a value that is invalid or does not fit the others.

    Example:
        TrainConfig("v001", "resnet18", "finetune", unfreeze="layer4", epochs=10)
    """

    manifest: str = "latest"
    """Version of the dataset: v001, or latest."""
    model: str = "cnn"
    """`cnn`, `cnn-cbam`, `resnet18-cbam`, `resnet50-cbam` or any torchvision classification model."""
    regime: Regime = "scratch"
    """scratch: random weights; features: a head over a frozen network; finetune: pretrained weights are trained further."""
    head: Head = "linear"
    """Classifier over frozen features; scratch and finetune end in a linear one."""
    unfreeze: str = "all"
    """Stages that fine-tuning trains with the head: all, half, head (none), the last N stages, or a stage and all after it."""
    weights: str | None = None
    """A torchvision name, a path or run:ID; None is DEFAULT for features and finetune."""
    epochs: int | None = None
    """Passes over the training split; None is DEFAULT_EPOCHS of the regime."""
    batch_size: int = 32
    """Images per step, over all processes; a head over features has its own step size."""
    image_size: int | None = None
    """Input side in pixels; None is the weights' own in features and finetune; in scratch 64 for cnn and cnn-cbam, else 96."""
    fit: Fit | None = None
    """Fit of non-square images to the input: crop loses the ends of the longer side, letterbox adds bars, squash distorts.
    None is that of the run that provides the weights, else crop."""
    optimizer: Literal["sgd", "adamw"] = "adamw"
    """SGD has Nesterov momentum 0.9."""
    lr: float | None = None
    """Highest learning rate; None is DEFAULT_LR of regime and optimizer."""
    weight_decay: float | None = None
    """L2 on weights, not on norms and biases; None is 0.05 with AdamW, 1e-4 with SGD. A head over features chooses its own."""
    schedule: Schedule = "onecycle"
    """onecycle: rises for a quarter of the steps, then falls; cosine: rises for a twentieth, then falls; constant."""
    layer_decay: float = 1.0
    """Factor of the learning rate from each stage to the stage before it."""
    freeze_bn: bool = False
    """Keep the pretrained batch-norm statistics in trained stages too."""
    augment: Augment | None = None
    """basic: random crop and mirror; trivial, rand: basic and TrivialAugment or RandAugment. Over features only with
    `augmented_copies`."""
    mirror: bool = True
    """False: no augmentation mirrors an image, nor does test-time augmentation; so is `mirror = false` in fototeca.toml."""
    augmented_copies: int = 0
    """Augmented copies of each training image whose features are cached and used for training too; for frozen features."""
    mixup: float = 0.0
    """Alpha of mixup; 0 is off."""
    cutmix: float = 0.0
    """Alpha of CutMix; together with mixup, each step uses one of the two at random."""
    random_erasing: float = 0.0
    """Probability of random erasing."""
    label_smoothing: float = 0.0
    """Fraction of each target spread over all classes."""
    balance: Balance = "none"
    """weights: rare classes have a higher weight in the loss; sampling: they are sampled more often."""
    ema: float = 0.0
    """Decay of the moving average of the weights that is evaluated and saved, lower in the first steps; 0 is off."""
    clip: float | None = None
    """Largest gradient norm; 0 is off. None is 1 where SGD fine-tunes, else off."""
    accumulate: int = 1
    """Batches per optimizer step."""
    patience: int = 0
    """Epochs without a better validation accuracy after which training stops; 0 is off."""
    snapshots: int = 0
    """Cycles of the schedule; the weights at the end of each are saved for `train ensemble`. 0 is off."""
    precision: Precision = "32"
    """16 is for GPUs, bf16 for GPUs and for CPUs with bf16 units; other CPUs are many times slower with it."""
    seed: int = 0
    """Seed of initial weights, order, augmentation and dropout."""
    device: Device = "auto"
    """Device to train on; auto uses a GPU if there is one."""
    workers: int = 0
    """Processes that load and augment images; they do not change the results."""
    compile: bool = False
    """Compile the network with torch.compile."""
    tensorboard: bool = False
    """Also write TensorBoard event files."""

    def __post_init__(self) -> None:
        for item in fields(self):
            object.__setattr__(self, item.name, check_value(item.name, getattr(self, item.name)))
        self._check_combination()

    def _check_combination(self) -> None:
        if self.head != "linear" and self.regime != "features":
            raise FototecaError(f"--head {self.head} needs frozen features", "use --regime features, or omit --head")
        if self.unfreeze != "all" and self.regime != "finetune":
            raise FototecaError("--unfreeze is for fine-tuning", "use --regime finetune, or omit --unfreeze")
        if self.augmented_copies and self.regime != "features":
            raise FototecaError("--augmented-copies is for frozen features", "use --regime features, or omit --augmented-copies")
        if self.augmented_copies and self.augment == "none":
            hint = "use --augment basic, trivial or rand"
            raise FototecaError("--augmented-copies without augmentation gives equal copies", hint)
        if self.regime == "features":
            self._check_features()
        if self.weights is not None and self.regime == "scratch":
            raise FototecaError("--regime scratch has random initial weights", "use --regime finetune or features with --weights")
        if self.snapshots and self.epochs is not None and self.epochs % self.snapshots:
            hint = f"choose a multiple of {self.snapshots} for --epochs"
            raise FototecaError(f"{self.epochs} epochs cannot be divided into {self.snapshots} equal cycles", hint)

    def _check_features(self) -> None:
        """Reject settings that have no effect over frozen features but would be recorded with the run; 0 means off and passes."""
        defaults = {item.name: item.default for item in fields(self)}
        for name in NETWORK_SETTINGS:
            value = getattr(self, name)
            if (value or None if defaults[name] is None else value) != defaults[name]:
                hint = "omit it, or use --regime finetune"
                raise FototecaError(f"{_option(name)} has no effect over frozen features", hint)
        if self.balance == "sampling":
            raise FototecaError("--balance sampling has no effect over frozen features", "use --balance weights")
        for name in ("label_smoothing", "lr"):
            if self.head != "linear" and getattr(self, name) != defaults[name]:
                hint = "omit it, or use --head linear"
                raise FototecaError(f"{_option(name)} has no effect with --head {self.head}", hint)
        if self.augment not in (None, "none") and not self.augmented_copies:
            hint = "add --augmented-copies 2, or omit it"
            raise FototecaError(f"--augment {self.augment} has no effect over frozen features alone", hint)

    def resolved(self) -> TrainConfig:
        """Return a copy with the regime's defaults filled in; `image_size` stays None where the weights decide.

        Settings without effect on a head over features, which a plan may give for all its runs, become their defaults.
        """
        values: dict[str, Any] = {
            "weights": self.weights or (None if self.regime == "scratch" else "DEFAULT"),
            "epochs": self.epochs or DEFAULT_EPOCHS[self.regime],
            "image_size": self.image_size or self._default_image_size(),
            "lr": DEFAULT_LR.get((self.regime, self.optimizer), 1e-2) if self.lr is None else self.lr,
            "weight_decay": (1e-4 if self.optimizer == "sgd" else 0.05) if self.weight_decay is None else self.weight_decay,
            "clip": self._default_clip() if self.clip is None else self.clip,
            "augment": self.augment or ("none" if self.regime == "features" and not self.augmented_copies else "basic"),
        }
        if self.regime == "features":
            values |= {"batch_size": TrainConfig.batch_size, "weight_decay": None, "clip": 0.0}
            values |= {} if self.head == "linear" else {"epochs": None, "lr": None}
        return replace(self, **values)

    def _default_clip(self) -> float:
        return FINETUNE_CLIP if (self.regime, self.optimizer) == ("finetune", "sgd") else 0.0

    def _default_image_size(self) -> int | None:
        is_model_default = (
            self.regime != "scratch" or self.model in ("cnn", "cnn-cbam") or self.model.startswith(FIXED_SIZE_MODELS)
        )
        return None if is_model_default else SCRATCH_IMAGE_SIZE

    def train_crop_size(self, image_size: int) -> int:
        """Return the side in pixels of the training crops of a network that is evaluated at `image_size`."""
        if self.regime != "finetune" or self.augment == "none" or self.model.startswith(FIXED_SIZE_MODELS):
            return image_size
        return min(image_size, max(32, round(image_size * TRAIN_CROP_RATIO / 32) * 32))

    def identity(self) -> dict[str, Any]:
        """Return the settings that distinguish runs."""
        return {name: value for name, value in asdict(self).items() if name not in NON_IDENTITY_SETTINGS}


@cache
def setting_type(setting: str) -> tuple[Any, bool]:
    """Return the type of a setting (str, int, float, bool or a Literal) and True if it may be None."""
    hint = get_type_hints(TrainConfig)[setting]
    types = get_args(hint) if NoneType in get_args(hint) else (hint,)
    return types[0], NoneType in types


def check_value(setting: str, value: object) -> Any:  # noqa: ANN401  (of the setting's type)
    """Return a value in the setting's type; an integer becomes a float or text where the setting needs it.

    FototecaError for values of other types and for numbers out of bounds.
    """
    kind, is_optional = setting_type(setting)
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    if value is None and is_optional:
        return None
    if type(value) is int and kind is not int and kind is not bool:
        value = float(value) if kind is float else str(value)
    if value in choices if choices else type(value) is kind:
        _check_bounds(setting, value)
        return value
    expected = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    raise FototecaError(f"{_option(setting)} is {value!r}", f"choose {', '.join(choices) if choices else expected[kind]}")


def _check_bounds(setting: str, value: object) -> None:
    if type(value) is int and value < (minimum := MINIMUM.get(setting, 0)):
        raise FototecaError(f"{_option(setting)} is {value}", f"choose {minimum} or more")
    if type(value) is int and value > MAX_INTEGER:
        raise FototecaError(f"{_option(setting)} is {value}", f"choose {MAX_INTEGER} or less")
    if type(value) is float and not 0 <= value <= MAX_FLOAT:
        raise FototecaError(f"{_option(setting)} is {value}", f"choose a number from 0 to {MAX_FLOAT:g}")
    if type(value) is float and setting in FRACTIONS and value > 1:
        raise FototecaError(f"{_option(setting)} is {value}", "choose a number from 0 to 1")
    if setting == "ema" and value == 1:
        raise FototecaError("--ema 1 would never update the average", "choose less than 1, such as 0.999")


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def train_command(config: Mapping[str, Any]) -> str:
    """Return the shell command that trains the run of a `config.json` again, with the same identity."""
    settings = {field.name: config[field.name] for field in fields(TrainConfig) if config.get(field.name) is not None}
    plain = TrainConfig(
        **{name: settings[name] for name in ("manifest", "model", "regime", "optimizer") if name in settings}
    ).resolved()
    defaults = {
        **asdict(plain),
        "optimizer": TrainConfig.optimizer,
    }  # other defaults depend on the optimizer, so it is always written
    processes = config.get("processes", 1)
    words = [
        f"{f'torchrun --nproc-per-node {processes} $(which fototeca)' if processes > 1 else 'fototeca'} train run",
        *(f"{_option(name)} {quote(settings[name])}" for name in ("manifest", "model", "regime")),
    ]
    for name, value in settings.items():
        if name not in NON_IDENTITY_SETTINGS and value != defaults[name]:
            switch = {True: _option(name), False: f"--no-{name}"}
            words.append(switch[value] if isinstance(value, bool) else f"{_option(name)} {quote(str(value))}")
    return " ".join(words)
