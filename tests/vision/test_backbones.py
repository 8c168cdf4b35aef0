"""Networks, weights and caches: equal to torchvision and to the equations of the papers."""

from __future__ import annotations

import http.client
import io
import shutil
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from fototeca.core.errors import EXIT_OUTSIDE, FototecaError
from fototeca.core.workspace import Workspace
from fototeca.vision import pixels
from fototeca.vision.backbones import (
    Backbone,
    build_model,
    classifier_of,
    default_preprocessing,
    load_backbone,
    model_names,
    remove_classifier,
)
from fototeca.vision.bn_fusion import fuse_batch_norm
from fototeca.vision.features import extract_features, features_folder
from fototeca.vision.memory import forward
from fototeca.vision.nets import CBAM, SpatialAttention
from fototeca.vision.pixels import CHUNK, PixelCache, square
from fototeca.vision.preprocessing import Preprocessing
from fototeca.vision.store import RowStore
from fototeca.vision.weights import cached_path, file_sha256, weight_members


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (97, 301), (64, 64), (96, 96)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_square_equals_torchvision(size: tuple[int, int], interpolation: str) -> None:
    """Equal to Resize and CenterCrop on a tensor; on a Pillow image within one level, bicubic half a level on average."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1] // 4, size[0] // 4, 3), dtype=np.uint8))
    image = noise.resize(size, Image.Resampling.BICUBIC)
    mode = v2.InterpolationMode(interpolation)
    plain = v2.Compose([v2.Resize(96, interpolation=mode), v2.CenterCrop(96)])
    own = square(np.array(image), 96, interpolation)
    assert torch.equal(own, plain(functional.pil_to_tensor(image)))
    apart = (own.int() - functional.pil_to_tensor(plain(image)).int()).abs()
    assert apart.max() <= 1 if interpolation == "bilinear" else apart.float().mean() < 0.5


@pytest.mark.parametrize("turned", [False, True])
def test_long_images_are_cropped_before_resizing(monkeypatch: pytest.MonkeyPatch, turned: bool) -> None:
    """An image thousands of times as long as wide needs little memory, and the result is the same."""
    strip = np.random.default_rng(0).integers(0, 256, (12, 3000, 3), dtype=np.uint8).repeat(4, axis=0).repeat(4, axis=1)
    image = np.ascontiguousarray(strip.swapaxes(0, 1)) if turned else strip
    expected = v2.Compose([v2.Resize(96), v2.CenterCrop(96)])(torch.from_numpy(image).permute(2, 0, 1))
    asked: list[list[int]] = []
    whole = pixels.RESIZE["bilinear"]

    def noted(image: torch.Tensor, size: list[int], *rest: object, out: torch.Tensor) -> torch.Tensor:
        asked.append([*size])
        return whole(image, size, *rest, out=out)

    monkeypatch.setitem(pixels.RESIZE, "bilinear", noted)
    assert (square(image, 96).int() - expected.int()).abs().max() <= 1
    assert max(asked[0]) == 96 * pixels.LONGEST


def test_pixel_cache_equals_plain_decoding(tmp_path: Path) -> None:
    """For several chunks of JPEGs, rotated ones included, each row is within one level of Pillow."""
    items = []
    for number in range(CHUNK + 5):
        noise = np.random.default_rng(number).integers(0, 256, (9 + number % 4, 11, 3), dtype=np.uint8)
        exif = Image.Exif()
        exif[0x0112] = 1 + number % 8
        path = tmp_path / f"{number}.jpg"
        Image.fromarray(noise).resize((120 + number, 90), Image.Resampling.BICUBIC).save(path, exif=exif)
        items.append((f"{number:064x}", path))
    cache = PixelCache(tmp_path / "p", 48)
    cache.ensure(items, workers=3)
    plain = v2.Compose([v2.Resize(48), v2.CenterCrop(48)])
    for image_id, path in items:
        expected = np.asarray(plain(ImageOps.exif_transpose(Image.open(path))), dtype=int)
        assert np.abs(cache[image_id].astype(int) - expected).max() <= 1


def test_undecodable_image_is_named_and_earlier_chunks_stay_cached(tmp_path: Path) -> None:
    """Images decoded in earlier chunks are not decoded again."""
    Image.new("RGB", (40, 40), "red").save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    items = [(f"{number:064x}", tmp_path / "good.png") for number in range(CHUNK)] + [("f" * 64, tmp_path / "bad.png")]
    cache = PixelCache(tmp_path / "p", 16)
    with pytest.raises(FototecaError, match="image ffffffffffff cannot be decoded"):
        cache.ensure(items)
    assert len(PixelCache(tmp_path / "p", 16).store.index) == CHUNK


def test_cbam_equals_the_equations() -> None:
    """Channel, then spatial attention, computed by hand on a small map."""
    torch.manual_seed(0)
    module, x = CBAM(4, reduction=2).eval(), torch.randn(2, 4, 5, 5)
    first, _, second = module.channel.mlp

    def mlp(v: torch.Tensor) -> torch.Tensor:
        return torch.relu(v @ first.weight.T + first.bias) @ second.weight.T + second.bias

    gate = torch.sigmoid(mlp(x.mean((2, 3))) + mlp(x.amax((2, 3))))
    refined = x * gate[:, :, None, None]
    pooled = torch.stack([refined.amax(1), refined.mean(1)], dim=1)
    place = torch.sigmoid(torch.nn.functional.conv2d(pooled, module.spatial.conv.weight, padding=3) / (1 + 1e-5) ** 0.5)
    assert torch.allclose(module(x), refined * place, atol=1e-6)


def test_cbam_golden_values() -> None:
    """Two channels of two places, weights of small whole numbers, worked out with pencil and paper to six digits.

    Means (2, -1) and maxima (3, 0) through the MLP: relu(2 - 2) = 0 gives (0, 0.5), relu(3 + 0) = 3 gives (3, -2.5); their sums
    3 and -2 are gates of 0.952574 and 0.119203. Over the channels that is at most (0.952574, 2.857722), on the mean (0.476287,
    1.309658); half the one less the other, and a quarter of the place to the right, is (0.714431, 0.119203): gates of 0.671379
    and 0.529765.
    """
    module = CBAM(2, reduction=2).eval()
    first, _, second = module.channel.mlp
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, 2.0]]))
        second.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        first.bias.zero_()
        second.bias.copy_(torch.tensor([0.0, 0.5]))
        module.spatial.conv.weight.zero_()
        module.spatial.conv.weight[0, :, 3, 3] = torch.tensor([0.5, -1.0])
        module.spatial.conv.weight[0, 0, 3, 4] = 0.25
        y = module(torch.tensor([[[[1.0, 3.0]], [[0.0, -2.0]]]]))
    assert y.flatten().tolist() == pytest.approx([0.639538, 1.513922, 0, -0.126299], abs=2e-5)


def test_cached_features_equal_a_forward_pass(tmp_path: Path) -> None:
    """The second call reads the cache; both results equal the output of the network."""
    torch.manual_seed(0)
    module, _, _ = build_model("cnn", 3)
    torch.save(module.state_dict(), tmp_path / "w.pth")
    backbone = load_backbone("cnn", str(tmp_path / "w.pth"))
    items = []
    for number in range(5):
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (80, 120, 3), dtype=np.uint8)).save(path)
        items.append((f"{number:064x}", path))
    workspace = Workspace(tmp_path)
    first = extract_features(workspace, items, backbone)
    with torch.inference_mode():
        live = backbone.module(torch.stack([backbone.preprocessing(Image.open(path)) for _, path in items])).numpy()
    assert np.abs(first - live).max() < 1e-5
    for _, path in items:
        path.unlink()
    assert np.array_equal(extract_features(workspace, items, backbone), first)


def test_image_with_two_files_is_computed_once(tmp_path: Path) -> None:
    """Both items get the one cached row."""
    module, _, _ = build_model("cnn", 3)
    torch.save(module.state_dict(), tmp_path / "w.pth")
    backbone = load_backbone("cnn", str(tmp_path / "w.pth"))
    for name in ("one.png", "other.png"):
        Image.new("RGB", (80, 60), "teal").save(tmp_path / name)
    items = [("0" * 64, tmp_path / "one.png"), ("0" * 64, tmp_path / "other.png")]
    first, second = extract_features(Workspace(tmp_path), items, backbone)
    assert np.array_equal(first, second)
    assert (features_folder(Workspace(tmp_path), backbone) / "ids.txt").read_text().split() == ["0" * 64]


def test_truncated_cache_is_repaired(tmp_path: Path) -> None:
    """A partial row and a partial id are written again."""
    items = []
    for number in range(3):
        Image.new("RGB", (40, 40), (number * 9, 0, 0)).save(tmp_path / f"{number}.png")
        items.append((f"{number:064x}", tmp_path / f"{number}.png"))
    PixelCache(tmp_path / "p", 16).ensure(items[:2])
    folder = tmp_path / "p" / "16-bilinear-d1"
    with (folder / "rows.bin").open("ab") as rows, (folder / "ids.txt").open("a") as ids:
        rows.write(b"x" * 100)
        ids.write("0000")
    cache = PixelCache(tmp_path / "p", 16)
    cache.ensure(items)
    assert [int(cache[image_id][0, 0, 0]) for image_id, _ in items] == [0, 9, 18]


def test_mapping_is_renewed_to_bound_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mapping is renewed after ten rows here; rows taken before keep their values."""
    monkeypatch.setattr("fototeca.vision.store.RESIDENT", 9 * 4000)
    store = RowStore(tmp_path / "s", (1000,), np.float32)
    ids = [f"{number:064x}" for number in range(40)]
    with store.writing():
        store.append(ids, [np.full(1000, number, np.float32) for number in range(40)])
    first, mapping = store[ids[0]], store._rows
    for _ in range(3):
        assert np.array_equal(store.take(ids)[:, 5], np.arange(40))
    assert store._rows is not mapping and not first.any()


def test_squeezenet_features(squeezenet_weights: Path) -> None:
    """512 pooled features; a file of another architecture is rejected."""
    backbone = load_backbone("squeezenet1_0", str(squeezenet_weights))
    assert backbone.module(torch.zeros(2, 3, 64, 64)).shape == (2, 512) and backbone.dimension == 512
    with pytest.raises(FototecaError, match="another architecture"):
        build_model("resnet18", 2, str(squeezenet_weights))


@pytest.mark.parametrize(
    ("model", "weights"),
    [("resnet18", "IMAGENET1K_V1"), ("regnet_y_400mf", "IMAGENET1K_V2"), ("efficientnet_b0", "IMAGENET1K_V1")],
)
def test_preprocessing_equals_the_weights_transforms(model: str, weights: str) -> None:
    """Resize, crop, interpolation, mean and deviation are within one level of `transforms()`."""
    (member,) = (member for member in weight_members(model) if member.name == weights)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)).resize((400, 300))
    apart = (default_preprocessing(model, member)(image) - member.transforms()(image)).abs()
    level = 1.01 / 255 / 0.224  # Pillow, which they call, and torch round otherwise
    assert apart.mean() < 0.1 * level and (apart.max() < level or "efficientnet" in model)


def test_resnet_with_cbam_loads_plain_weights(tmp_path: Path) -> None:
    """All tensors except the classifier are loaded; the gate starts at one half; other networks reject the file."""
    plain = build_model("resnet18", 5)[0].state_dict()
    torch.save(plain, tmp_path / "plain.pth")
    module = build_model("resnet18-cbam", 3, str(tmp_path / "plain.pth"))[0]
    own = module.state_dict()
    assert all(torch.equal(own[name], value) for name, value in plain.items() if not name.startswith("fc."))
    gates = [layer for layer in module.modules() if isinstance(layer, SpatialAttention)]
    x = torch.randn(2, 8, 7, 7)
    assert len(gates) == 8 and all(torch.allclose(gate.eval()(x), x / 2) for gate in gates)
    for name in ("resnet50", "cnn"):
        with pytest.raises(FototecaError, match="another architecture"):
            build_model(name, 3, str(tmp_path / "plain.pth"))


@pytest.mark.parametrize(("model", "last"), [("resnet18-cbam", "bn2"), ("resnet50-cbam", "bn3")])
def test_cbam_is_applied_before_the_residual_sum(model: str, last: str) -> None:
    """A block is relu(cbam(residual) + shortcut), with reduction 16."""
    net = build_model(model, 3)[0].eval()
    for block in (net.get_submodule("layer1.0"), net.get_submodule("layer2.0")):
        seen: dict[str, torch.Tensor] = {}
        norm = block.get_submodule(last)
        norm.register_forward_hook(lambda _, __, output, seen=seen: seen.update(residual=output.clone()))
        x = torch.randn(2, next(block.parameters()).shape[1], 8, 8)
        y = block(x)
        channels = norm.num_features
        shortcut = block.downsample(x) if block.downsample is not None else x
        assert torch.allclose(y, torch.relu(block.cbam(seen["residual"]) + shortcut), atol=1e-6)
        assert not torch.allclose(y, torch.relu(seen["residual"] + shortcut), atol=1e-3)
        assert block.cbam.channel.mlp[0].out_features == channels // 16
    assert net(torch.randn(2, 3, 32, 32)).shape == (2, 3)


def test_resnet_with_cbam_is_initialized_as_by_its_authors() -> None:
    """Biases and scales of spatial norms are 0; convolutions and classifier use Kaiming initialization."""
    torch.manual_seed(0)
    net = build_model("resnet18-cbam", 1000)[0]
    assert all(not value.any() for name, value in net.named_parameters() if name.endswith("bias"))
    assert all(not value.any() for name, value in net.named_parameters() if name.endswith("spatial.norm.weight"))
    assert net.get_parameter("fc.weight").std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.02)
    spatial = torch.cat([value.flatten() for name, value in net.named_parameters() if name.endswith("spatial.conv.weight")])
    assert spatial.std().item() == pytest.approx((2 / 49) ** 0.5, rel=0.1)


def test_weights_id_includes_random_tensors(tmp_path: Path) -> None:
    """With CBAM two seeds give two ids and other features; without it the file alone decides."""
    torch.save(build_model("resnet18", 5)[0].state_dict(), tmp_path / "plain.pth")
    found = {}
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        found.setdefault(seed, set()).add(build_model("resnet18-cbam", 3, str(tmp_path / "plain.pth"))[2])
    assert len(found[0]) == len(found[1]) == 1 and found[0] != found[1]
    assert build_model("resnet18", 3, str(tmp_path / "plain.pth"))[2] == file_sha256(tmp_path / "plain.pth")


def test_forward_halves_the_batch_when_memory_runs_out() -> None:
    """Results equal those of single images; if one image is too large, the error says what to do."""
    sizes: list[int] = []

    class Narrow(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            sizes.append(len(x))
            if len(x) > room:
                raise RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)")
            return x.mean(dim=(2, 3))

    room, x = 2, torch.randn(7, 3, 8, 8)
    assert torch.equal(forward(Narrow(), x), x.mean(dim=(2, 3)))
    assert sizes[0] == 7 and max(size for size in sizes if size <= 2) == 2
    room = 0
    with pytest.raises(FototecaError, match=r"single image of 8 px.*--image-size"):
        forward(Narrow(), x)


def test_missing_weights_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 4, with the URL and the target path."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(
        "fototeca.vision.weights.urllib.request.urlopen", lambda *_, **__: (_ for _ in ()).throw(OSError("no network"))
    )
    with pytest.raises(FototecaError, match=r"resnet18-f37072fd\.pth .*put it at") as caught:
        build_model("resnet18", 2, "DEFAULT")
    assert caught.value.exit_code == EXIT_OUTSIDE


def test_cached_file_with_another_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision itself does not check the digest of cached files."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth").write_bytes(b"something else")
    with pytest.raises(FototecaError, match="SHA-256 differs"):
        build_model("resnet18", 2, "DEFAULT")


def test_published_weights_are_recognized_by_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A renamed file keeps its transforms; a file with the name of published weights must have their digest."""
    torch.save(build_model("regnet_y_400mf", 1000)[0].state_dict(), tmp_path / "mine.pth")
    _, second = weight_members("regnet_y_400mf")
    shutil.copyfile(tmp_path / "mine.pth", tmp_path / cached_path(second).name)
    with pytest.raises(FototecaError, match="SHA-256 differs"):
        build_model("regnet_y_400mf", 2, str(tmp_path / cached_path(second).name))
    assert build_model("regnet_y_400mf", 2, str(tmp_path / "mine.pth"))[1].resize == 256
    digest = file_sha256(tmp_path / "mine.pth")
    monkeypatch.setattr("fototeca.vision.weights._digest_in_name", lambda url: digest[:8] if url == second.url else "0" * 8)
    by_name, elsewhere = (
        build_model("regnet_y_400mf", 2, str(tmp_path / name))[1:] for name in (cached_path(second).name, "mine.pth")
    )
    assert by_name == elsewhere and elsewhere[0].resize == 232


@pytest.mark.parametrize("broken", ["other", "short"])
def test_downloaded_weights_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """Other bytes or an early end: one line, exit code 4, and no file at the target path."""

    class Answer(io.BytesIO):
        headers: ClassVar[dict[str, str]] = {}

        def read(self, size: int | None = -1) -> bytes:
            if broken == "short":
                raise http.client.IncompleteRead(b"")
            return super().read(size)

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("fototeca.vision.weights.urllib.request.urlopen", lambda *_, **__: Answer(b"a login page"))
    with pytest.raises(FototecaError, match=r"cannot download the weights resnet18-f37072fd\.pth") as caught:
        build_model("resnet18", 2, "DEFAULT")
    assert caught.value.exit_code == EXIT_OUTSIDE
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_own_networks_are_listed_first() -> None:
    """Each builds with the requested number of classes."""
    for name in model_names()[:4]:
        assert classifier_of(build_model(name, 7)[0])[1].out_features == 7


# one of each kind of network that torchvision has; the large ones' kinds in their smallest member
@pytest.mark.parametrize(
    "name",
    [
        "alexnet",
        "convnext_tiny",
        "densenet121",
        "efficientnet_b0",
        "googlenet",
        "inception_v3",
        "maxvit_t",
        "mnasnet0_5",
        "mobilenet_v2",
        "mobilenet_v3_small",
        "regnet_y_400mf",
        "resnet18",
        "resnext50_32x4d",
        "shufflenet_v2_x0_5",
        "squeezenet1_1",
        "swin_t",
        "vgg11",
        "vit_b_32",
        "wide_resnet50_2",
    ],
)
def test_every_torchvision_family_gets_a_new_classifier(name: str) -> None:
    """One image gives one logit per class; without the classifier the network returns features."""
    module, _, _ = build_model(name, 3)
    side = default_preprocessing(name).crop
    image = torch.zeros(1, 3, side, side)
    with torch.inference_mode():
        assert module.eval()(image).shape == (1, 3)
        width = classifier_of(module)[1].in_features
        assert remove_classifier(module)(image).shape == (1, width)


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet18-cbam", "mobilenet_v3_small", "densenet121", "shufflenet_v2_x0_5", "cnn-cbam"]
)
def test_fused_batch_norms_differ_by_rounding_only(name: str) -> None:
    """With statistics of a trained network; the original network keeps its norms."""
    torch.manual_seed(0)
    module = _noisy(name)
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        before = module(images)
        part = fuse_batch_norm(module)
        torch.testing.assert_close(part(images), before, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(module(images), before, rtol=0, atol=0)
    kept, left = (sum(isinstance(one, nn.BatchNorm2d) for one in each.modules()) for each in (module, part))
    assert left < kept


def test_untraceable_network_is_not_fused() -> None:
    """Its features are computed without fusion."""

    class Winding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm(self.conv(x)) if x.mean() > 0 else self.conv(x)

    module = Winding().eval()
    assert fuse_batch_norm(module) is module


def _noisy(name: str) -> nn.Module:
    """A network without classifier whose norms have means, variances, weights and biases of all kinds."""
    module = remove_classifier(build_model(name, 2)[0]).eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean, part.running_var = torch.randn(part.num_features) * 0.2, torch.rand(part.num_features) + 0.5
            with torch.no_grad():
                part.weight.copy_(torch.rand(part.num_features) + 0.5)
                part.bias.copy_(torch.randn(part.num_features) * 0.2)
    return module


def test_caches_from_other_decoding_rules_are_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new DECODE_VERSION has its own pixel and feature caches."""
    path = tmp_path / "a.png"
    Image.new("RGB", (40, 40), "red").save(path)
    items = [("a" * 64, path)]
    PixelCache(tmp_path / "cache", 32).ensure(items, progress=False)
    backbone = Backbone("cnn", nn.Flatten(), 4, Preprocessing(32, 32), "0" * 64)
    before = features_folder(Workspace(tmp_path), backbone)
    for module in ("pixels", "features"):
        monkeypatch.setattr(f"fototeca.vision.{module}.DECODE_VERSION", 2)
    assert "a" * 64 not in PixelCache(tmp_path / "cache", 32).store
    assert features_folder(Workspace(tmp_path), backbone) != before
