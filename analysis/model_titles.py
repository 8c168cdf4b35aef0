"""Names of models as their authors write them."""

from __future__ import annotations

import re

_FAMILIES = {
    "alexnet": "AlexNet",
    "convnext": "ConvNeXt",
    "densenet": "DenseNet",
    "efficientnet": "EfficientNet",
    "googlenet": "GoogLeNet",
    "inception": "Inception",
    "maxvit": "MaxViT",
    "mnasnet": "MNASNet",
    "mobilenet": "MobileNet",
    "regnet": "RegNet",
    "resnet": "ResNet",
    "resnext": "ResNeXt",
    "shufflenet": "ShuffleNet",
    "squeezenet": "SqueezeNet",
    "swin": "Swin",
    "vgg": "VGG",
    "vit": "ViT",
    "wide_resnet": "Wide ResNet",
    "cnn": "CNN",
}
"""Spelling of the families of models by the beginning of their names."""


def model_title(name: str) -> str:
    """Return a model's name as its authors write it; unknown ones unchanged, of `FILE.py:CLASS` the class.

    Example:
        >>> model_title("timm/tf_efficientnet_lite0")
        'EfficientNet-Lite0'
    """
    plain = name.rpartition(":")[2].removeprefix("timm/").removeprefix("tf_")
    family = max((prefix for prefix in _FAMILIES if plain.startswith(prefix)), key=len, default="")
    if not family:
        return plain
    rest = re.sub(r"^[_-]?v(\d)", r"V\1", plain.removeprefix(family))
    rest = re.sub(r"(\d)_(\d)", r"\1.\2", rest) if family in ("squeezenet", "mnasnet", "shufflenet") else rest
    version = re.match(r"V\d", rest)
    words = [word for word in re.split(r"[_-]", rest[2:] if version else rest) if word]
    return "-".join([_FAMILIES[family] + (version[0] if version else ""), *map(_title_word, words)])


def _title_word(word: str) -> str:
    """Return a part of a model's name: sizes such as `b0`, `s`, `bn`, `400mf` in capitals, words with one."""
    return word.upper() if re.fullmatch(r"[a-z]{1,2}\d*|cbam|\d+[mg]f", word) else word[:1].upper() + word[1:]
