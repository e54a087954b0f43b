#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Exports the networks of models/networks with PyTorch, as others would, and strips the weights: the
models of tests/unit/network/onnx, and models/networks/resnet18.onnx. Run by hand; needs Debian's python3-torchvision and python3-onnx.

Usage: export_onnx.py FOLDER [NETWORK...]

ResNets, VGGs, MobileNetV2 and ViT are torchvision's modules; the bottleneck ResNets get the stride of
a stage into its first 1x1 convolution, where the original form has it. The others are put together
here out of torch.nn, layer by layer from models/networks/*.json."""

import io
import json
import sys
from pathlib import Path

import onnx
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "models/networks"


def original_bottlenecks(model):
    for module in model.modules():
        if isinstance(module, torchvision.models.resnet.Bottleneck):
            module.conv1.stride, module.conv2.stride = module.conv2.stride, module.conv1.stride
    return model


class FromJson(nn.Module):
    """A network of models/networks as a PyTorch module, channels first."""

    def __init__(self, name):
        super().__init__()
        self.layers = json.loads((MODELS / f"{name}.json").read_text())["layers"]
        self.parts = nn.ModuleDict()
        shapes = {}
        self.shape = self.layers[0]["shape"]
        last = None
        for layer in self.layers:
            layer.setdefault("inputs", [last] if last else [])
            last = layer["name"]
        self.sequence = self.shape[1] == 1
        channels = {}
        for layer in self.layers:
            name, kind, inputs = layer["name"], layer["kind"], layer["inputs"]
            inner = channels[inputs[0]] if inputs else self.shape[2]
            outer = inner
            key = name.replace(".", "_")
            if kind == "conv2d":
                outer = layer["channels"]
                self.parts[key] = nn.Conv2d(inner, outer, layer["kernel"], layer.get("stride", 1),
                                            layer.get("padding", 0), 1, layer.get("groups", 1),
                                            layer.get("bias", True))
            elif kind == "dense":
                outer = layer["channels"]
                self.parts[key] = nn.Linear(inner, outer)
            elif kind == "batch_norm":
                self.parts[key] = nn.BatchNorm2d(inner)
            elif kind == "layer_norm":
                self.parts[key] = nn.LayerNorm(inner)
            elif kind == "embedding":
                outer = layer["channels"]
                for table in ("vocabulary", "positions", "segments"):
                    self.parts[f"{key}_{table}"] = nn.Embedding(layer[table], outer)
            elif kind == "concat":
                outer = sum(channels[one] for one in inputs)
            elif kind == "split":
                outer = layer["range"][1] - layer["range"][0]
            elif kind == "reshape":
                outer = layer["shape"][2]
            channels[name] = outer

    def example(self):
        height, _, channels = self.shape
        if self.sequence:
            return (torch.zeros(1, height, dtype=torch.int64), torch.zeros(1, height, dtype=torch.int64))
        return (torch.zeros(1, channels, self.shape[0], self.shape[1]),)

    def forward(self, first, segments=None):
        made = {}
        for layer in self.layers:
            made[layer["name"]] = self.step(layer, [made[name] for name in layer["inputs"]], first,
                                            segments)
        read = {name for layer in self.layers for name in layer["inputs"]}
        return tuple(made[layer["name"]] for layer in self.layers if layer["name"] not in read)

    def step(self, layer, operands, first, segments):
        kind, key = layer["kind"], layer["name"].replace(".", "_")
        if kind == "input":
            return first
        x = operands[0]
        if kind in ("conv2d", "dense", "batch_norm", "layer_norm"):
            return self.parts[key](x)
        if kind == "activation":
            function = layer["function"]
            return F.leaky_relu(x, 0.1) if function == "leaky_relu" else getattr(F, function)(x)
        if kind == "max_pool":
            if self.sequence:
                return x[:, 0]
            if layer.get("padding") == "same":
                x = F.pad(x, (0, 1, 0, 1)) # zeros: what comes before is not negative enough to matter
            return F.max_pool2d(x, layer["kernel"], layer.get("stride", layer["kernel"]))
        if kind == "average_pool":
            return F.avg_pool2d(x, layer["kernel"])
        if kind == "upsample":
            return F.interpolate(x, scale_factor=layer["scale"], mode="nearest")
        if kind == "concat":
            return torch.cat(operands, 1)
        if kind == "split":
            return x[:, layer["range"][0]:layer["range"][1]]
        if kind == "reshape":
            return torch.flatten(x, 1)
        if kind == "add":
            return operands[0] + operands[1]
        if kind == "embedding":
            places = torch.arange(x.shape[1])
            return (self.parts[f"{key}_vocabulary"](x) + self.parts[f"{key}_positions"](places)
                    + self.parts[f"{key}_segments"](segments))
        if kind == "softmax":
            return torch.softmax(x, -1)
        if kind == "matmul":
            heads = layer["heads"]
            if layer.get("transpose_second"):
                query, keys = (self.apart(operand, heads) for operand in operands)
                return query @ keys.transpose(-1, -2) / (query.shape[-1] ** 0.5)
            context = x @ self.apart(operands[1], heads)
            return context.transpose(1, 2).reshape(1, context.shape[2], -1)
        raise ValueError(kind)

    @staticmethod
    def apart(x, heads):
        return x.reshape(1, x.shape[1], heads, -1).transpose(1, 2)


def from_torchvision(name):
    models = torchvision.models
    image = (torch.zeros(1, 3, 224, 224),)
    module = {"vgg16": models.vgg16, "vgg19": models.vgg19, "mobilenetv2": models.mobilenet_v2,
              "vit-b16": models.vit_b_16}.get(name)
    if module is None and name.startswith("resnet"):
        module = getattr(models, name)
    if module is None:
        return None
    return original_bottlenecks(module(weights=None)), image


def strip(model):
    """Leaves the shapes of trained constants, and the values of what shapes are computed from."""
    stripped = 0
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.raw_data) > 4 * 8:
            stripped += len(tensor.raw_data)
            tensor.ClearField("raw_data")
    model.graph.ClearField("value_info")
    return stripped


def shorten(model):
    """Names of tensors within the graph become numbers, where they repeat those of nodes."""
    kept = {one.name for part in (model.graph.input, model.graph.output, model.graph.initializer)
            for one in part}
    short = {}
    for node in model.graph.node:
        for i, name in enumerate(node.output):
            if name not in kept:
                node.output[i] = short.setdefault(name, f"t{len(short)}")
        for i, name in enumerate(node.input):
            node.input[i] = short.get(name, name)


def export(name, folder):
    found = from_torchvision(name)
    if found is None:
        module = FromJson(name)
        found = module, module.example()
    module, example = found
    module.eval()
    bytes_ = io.BytesIO()
    # PRESERVE: batch norms stay nodes of their own.
    torch.onnx.export(module, example, bytes_, opset_version=13, do_constant_folding=True,
                      training=torch.onnx.TrainingMode.PRESERVE)
    model = onnx.load_from_string(bytes_.getvalue())
    stripped = strip(model)
    shorten(model)
    model.graph.name = name
    path = folder / f"{name}.onnx"
    path.write_bytes(model.SerializeToString())
    print(f"{path}: {path.stat().st_size} B, {stripped} B of weights stripped")


def main(arguments):
    if not arguments or arguments[0].startswith("-"):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    names = arguments[1:] or sorted(path.stem for path in MODELS.glob("*.json"))
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    for name in names:
        export(name, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
