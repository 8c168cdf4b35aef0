"""fototeca's own networks, and ResNets with CBAM as its authors place it.

Each ends in one `nn.Linear`, so that code that replaces or reads a classifier treats them like torchvision's models.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet


class ChannelAttention(nn.Module):
    """Woo et al. 2018, equation 2: σ(MLP(AvgPool(F)) + MLP(MaxPool(F))), one shared MLP with reduction r."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scale each channel of (N, C, H, W) by its weight."""
        weight = torch.sigmoid(self.mlp(x.mean(dim=(2, 3))) + self.mlp(x.amax(dim=(2, 3))))
        return x * weight[:, :, None, None]


class SpatialAttention(nn.Module):
    """Woo et al. 2018, equation 3: σ(f7×7([MaxPool; AvgPool over channels])), with the batch norm of the authors' code."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(1, momentum=0.01)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scale each position of (N, C, H, W) by its weight."""
        pooled = torch.cat((x.amax(dim=1, keepdim=True), x.mean(dim=1, keepdim=True)), dim=1)
        return x * torch.sigmoid(self.norm(self.conv(pooled)))


class CBAM(nn.Module):
    """Channel attention, then spatial attention (Woo et al. 2018, equation 1)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.channel = ChannelAttention(channels, reduction)
        self.spatial = SpatialAttention()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply both to (N, C, H, W)."""
        refined: torch.Tensor = self.spatial(self.channel(x))
        return refined


class ConvBlock(nn.Module):
    """Residual block of two 3×3 convolutions with batch norm, optional stride and optional CBAM."""

    def __init__(self, inputs: int, outputs: int, stride: int, attention: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.attention = CBAM(outputs) if attention else nn.Identity()
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:  # ResNet-D: average pooling before the 1×1 convolution uses every pixel
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True), nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
            )
        self.output = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, inputs, H, W) to (N, outputs, ⌈H/stride⌉, ⌈W/stride⌉)."""
        y: torch.Tensor = self.output(self.attention(self.body(x)) + self.shortcut(x))
        return y


class SmallNet(nn.Module):
    """`cnn` and `cnn-cbam`: a small residual network for some hundreds of images of 48 to 160 pixels.

    Half a million parameters. The stem has stride 2, which saves most of the cost of the largest map. Batch norm speeds up
    training from random weights; residual connections and ResNet-D shortcuts preserve gradients. Global average pooling
    accepts any input size and leaves one small linear layer, where small datasets overfit most; dropout precedes it.
    Kaiming initialization; the last norm of each block starts at zero, so that a block starts as the identity (Goyal et al.
    2017). With `attention`, CBAM precedes each residual sum and that norm starts at one, as in its authors' code.
    """

    WIDTHS = (32, 64, 96, 128)

    def __init__(self, classes: int, attention: bool = False) -> None:
        super().__init__()
        width = self.WIDTHS[0]
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 2, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        blocks = []
        for outputs in self.WIDTHS:
            blocks.append(ConvBlock(width, outputs, 1 if outputs == width else 2, attention))
            width = outputs
        self.layers = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(width, classes)
        _initialize(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, 3, H, W) to logits (N, classes)."""
        features = self.pool(self.layers(self.stem(x))).flatten(1)
        logits: torch.Tensor = self.head(self.dropout(features))
        return logits


def _initialize(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    for module in net.modules():
        if isinstance(module, ConvBlock) and isinstance(module.attention, nn.Identity):
            last = module.body[-1]
            assert isinstance(last, nn.BatchNorm2d)
            nn.init.zeros_(last.weight)


class _BasicBlock(BasicBlock):
    """Basic block with CBAM on the residual before the sum."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)
        self.cbam = CBAM(self.conv2.out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to (N, C', H', W')."""
        residual = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        shortcut = x if self.downsample is None else self.downsample(x)
        y: torch.Tensor = self.relu(self.cbam(residual) + shortcut)
        return y


class _Bottleneck(Bottleneck):
    """Bottleneck block with CBAM on the residual before the sum."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)
        self.cbam = CBAM(self.conv3.out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to (N, C', H', W')."""
        residual = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        shortcut = x if self.downsample is None else self.downsample(x)
        y: torch.Tensor = self.relu(self.cbam(self.bn3(self.conv3(residual))) + shortcut)
        return y


def _cbam_resnet(block: type[BasicBlock | Bottleneck], layers: list[int], classes: int) -> nn.Module:
    """Build a ResNet with CBAM in each block, initialized as in the authors' code.

    The scale of the spatial norm starts at 0 (a gate of one half), every bias at 0, the classifier with Kaiming's scheme;
    torchvision's ResNet initializes all convolutions, including those of CBAM, as the authors do.
    """
    net: nn.Module = ResNet(block, layers, num_classes=classes)
    for module in net.modules():
        if isinstance(module, SpatialAttention):
            nn.init.zeros_(module.norm.weight)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
    nn.init.kaiming_normal_(net.get_parameter("fc.weight"))
    return net


OWN: dict[str, Callable[[int], nn.Module]] = {
    "cnn": SmallNet,
    "cnn-cbam": lambda classes: SmallNet(classes, attention=True),
    "resnet18-cbam": lambda classes: _cbam_resnet(_BasicBlock, [2, 2, 2, 2], classes),
    "resnet50-cbam": lambda classes: _cbam_resnet(_Bottleneck, [3, 4, 6, 3], classes),
}
"""Builders by model name; each takes the number of classes."""

PLAIN = {"resnet18-cbam": "resnet18", "resnet50-cbam": "resnet50"}
"""The torchvision model whose ImageNet weights a model loads, except for CBAM."""
