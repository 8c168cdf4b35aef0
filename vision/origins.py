"""Tell from its tensor names which program or network family a state dict comes from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import torchvision
from torchvision.models import list_models

from fototeca.vision.loading import AVERAGED_WRAPPERS, LoadResult
from fototeca.vision.state_dicts import AVERAGED, StateDict

FAMILIES = {
    "resnet": r"(^|\.)layer1\.0\.conv1\.",
    "densenet": r"(^|\.)features\.denseblock1\.",
    "squeezenet": r"(^|\.)features\.\d+\.squeeze\.",
    "inception": r"(^|\.)Mixed_5b\.",
    "googlenet": r"(^|\.)inception3a\.",
    "shufflenet": r"(^|\.)stage2\.0\.branch1\.",
    "regnet": r"(^|\.)trunk_output\.block1\.",
    "vit": r"(^|\.)encoder\.layers\.encoder_layer_0\.",
    "swin": r"(^|\.)features\.1\.0\.attn\.relative_position_bias_table",
    "maxvit": r"(^|\.)blocks\.0\.layers\.0\.layers\.MBconv\.",
    "mnasnet": r"(^|\.)layers\.8\.0\.layers\.0\.",
    "convnext": r"(^|\.)features\.1\.0\.layer_scale",
    "efficientnet": r"(^|\.)features\.1\.0\.block\.\d\.fc1\.",
    "mobilenet": r"(^|\.)features\.1\.(conv|block)\.0\.0\.",
    "vgg": r"(^|\.)features\.0\.weight",
}
"""torchvision's families by a pattern of their tensor names; the first that matches counts."""

OTHER_PROGRAMS = {
    "of an EfficientNet or MobileNet of timm": r"(^|\.)conv_stem\.",
    "of a transformer of timm": r"(^|\.)blocks\.0\.attn\.(qkv|q)\.",
    "of a ConvNeXt of timm or its authors": r"(^|\.)(stages\.0\.(blocks\.)?0\.(conv_dw|dwconv)\.|downsample_layers\.0\.)",
    "of a Swin transformer of timm or its authors": r"(^|\.)layers\.0\.blocks\.0\.attn\.relative_position",
    "of CLIP": r"(^|\.)visual\.(transformer|trunk|conv1|layer1)\b",
    "of Hugging Face transformers": r"(^|\.)(embeddings\.patch_embeddings|vision_model\.|encoder\.layer\.0\.|embedder\.)",
    "of Ultralytics": r"^(model\.)?(model\.)?0\.conv\.weight",
    "of fastai, with a network of timm": r"^0\.model\.",
}
"""Other programs by a pattern of their tensor names."""


@dataclass(frozen=True)
class Origin:
    """Origin by tensor names: a clause such as `of CLIP` (empty if nothing), and the torchvision models that may fit."""

    text: str = ""
    models: tuple[str, ...] = ()


def describe_origin(names: Iterable[str]) -> Origin:
    """Return the origin of tensors by their names."""
    present = list(names)
    for text, pattern in OTHER_PROGRAMS.items():
        if any(re.search(pattern, name) for name in present):
            return Origin(text)
    for family, pattern in FAMILIES.items():
        if any(re.search(pattern, name) for name in present):
            wanted = ("resnet", "resnext", "wide_resnet") if family == "resnet" else (family,)
            models = tuple(name for name in list_models(module=torchvision.models) if name.startswith(wanted))
            return Origin(f"of the {family} family", models)
    return Origin()


def describe_average(state: StateDict, result: LoadResult) -> str:
    """Return which of the weights in a file were loaded, where it has an average of them or both; else an empty text."""
    if state.entry in AVERAGED:
        beside = f"; {state.other_entry!r}, those of its last step, were not" if state.other_entry else ""
        return f"the averaged weights in {state.entry!r} are used{beside}"
    inside = [part for part in result.prefix.split(".") if part in AVERAGED_WRAPPERS]
    return f"the averaged weights below {inside[0]!r} are used" if inside else ""
