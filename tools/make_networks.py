#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the layer graphs of models/networks; the same input gives the same bytes.

Usage: make_networks.py [--check] [FOLDER]    (default: models/networks beside this script)
With --check nothing is written: exits 1 and names the files that differ from what it would write.
"""

import json
import sys
from pathlib import Path


class Graph:
    """A network under construction. Every method adds a layer that reads `after` (a name, a list
    of names, or None for the layer added last) and returns the layer's name."""

    def __init__(self, name, source, shape):
        self.name = name
        self.source = source
        self.layers = []
        self.last = None
        self.add("input", "input", shape=shape)

    def add(self, name, kind, after=None, **keys):
        layer = {"name": name, "kind": kind}
        names = [after] if isinstance(after, str) else after
        if names is not None and names != [self.last]:
            layer["inputs"] = names
        layer.update((key, value) for key, value in keys.items() if value is not None)
        self.layers.append(layer)
        self.last = name
        return name

    def conv(self, name, channels, kernel, stride=1, padding=0, after=None, bias=True, groups=1):
        return self.add(name, "conv2d", after, channels=channels, kernel=kernel,
                        stride=None if stride == 1 else stride,
                        padding=None if padding == 0 else padding,
                        groups=None if groups == 1 else groups,
                        bias=None if bias else False)

    def act(self, name, function, after=None):
        return self.add(name, "activation", after, function=function)

    def text(self):
        head = {"format": "tessera-network", "version": "1.0", "name": self.name,
                "source": self.source, "activation_bits": 8, "weight_bits": 8}
        lines = [f'  {json.dumps(key)}: {json.dumps(value)},' for key, value in head.items()]
        layers = ",\n".join("    " + json.dumps(layer) for layer in self.layers)
        return "{\n" + "\n".join(lines) + '\n  "layers": [\n' + layers + "\n  ]\n}\n"


def darknet_conv(g, name, channels, kernel, stride=1, after=None):
    """Darknet's [convolutional] with batch_normalize=1, pad=1 and activation=leaky."""
    g.conv(name, channels, kernel, stride, padding=kernel // 2, after=after, bias=False)
    g.add(name + "_bn", "batch_norm")
    return g.act(name + "_act", "leaky_relu")


def tinyyolov3():
    g = Graph("tinyyolov3", "Darknet cfg/yolov3-tiny.cfg, COCO (80 classes, 255 = 3 x 85 channels "
              "a head), 416x416; the decoding of boxes ([yolo]) is left out", [416, 416, 3])
    at = None
    for i, channels in enumerate([16, 32, 64, 128, 256, 512, 1024]):
        at = darknet_conv(g, f"conv{i}", channels, 3, after=at)
        if i == 4:
            route = at
        if i < 5:
            at = g.add(f"pool{i}", "max_pool", kernel=2)
        elif i == 5:
            at = g.add(f"pool{i}", "max_pool", kernel=2, stride=1, padding="same")
    neck = darknet_conv(g, "conv7", 256, 1)
    darknet_conv(g, "head1_conv", 512, 3)
    g.conv("head1", 255, 1)
    darknet_conv(g, "up_conv", 128, 1, after=neck)
    g.add("up", "upsample", scale=2)
    g.add("route", "concat", ["up", route])
    darknet_conv(g, "head2_conv", 256, 3)
    g.conv("head2", 255, 1)
    return g


def tinyyolov4():
    g = Graph("tinyyolov4", "Darknet cfg/yolov4-tiny.cfg, COCO (80 classes, 255 = 3 x 85 channels "
              "a head), 416x416; the decoding of boxes ([yolo]) is left out", [416, 416, 3])
    darknet_conv(g, "conv1", 32, 3, 2)
    darknet_conv(g, "conv2", 64, 3, 2)
    for stage, channels in zip("abc", [64, 128, 256]):
        whole = darknet_conv(g, f"{stage}1", channels, 3)
        # [route] groups=2, group_id=1: the second half of the channels
        g.add(f"{stage}_half", "split", range=[channels // 2, channels])
        first = darknet_conv(g, f"{stage}2", channels // 2, 3)
        second = darknet_conv(g, f"{stage}3", channels // 2, 3)
        g.add(f"{stage}_inner", "concat", [second, first])
        route = darknet_conv(g, f"{stage}4", channels, 1)
        g.add(f"{stage}_outer", "concat", [whole, route])
        g.add(f"{stage}_pool", "max_pool", kernel=2)
    darknet_conv(g, "conv3", 512, 3)
    neck = darknet_conv(g, "conv4", 256, 1)
    darknet_conv(g, "head1_conv", 512, 3)
    g.conv("head1", 255, 1)
    darknet_conv(g, "up_conv", 128, 1, after=neck)
    g.add("up", "upsample", scale=2)
    g.add("route", "concat", ["up", route])
    darknet_conv(g, "head2_conv", 256, 3)
    g.conv("head2", 255, 1)
    return g


def vgg(name, depths, letter):
    g = Graph(name, f"Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale "
              f"Image Recognition, ICLR 2015 (arXiv:1409.1556), table 1, column {letter}, ImageNet; "
              "ends with the logits", [224, 224, 3])
    for stage, (depth, channels) in enumerate(zip(depths, [64, 128, 256, 512, 512]), 1):
        for i in range(1, depth + 1):
            g.conv(f"conv{stage}_{i}", channels, 3, padding=1)
            g.act(f"relu{stage}_{i}", "relu")
        g.add(f"pool{stage}", "max_pool", kernel=2)
    g.add("flatten", "reshape", shape=[1, 1, 7 * 7 * 512])
    for i, channels in enumerate([4096, 4096, 1000], 6):
        g.add(f"fc{i}", "dense", channels=channels)
        if i < 8:
            g.act(f"relu{i}", "relu")
    return g


def conv_bn(g, name, channels, kernel, stride=1, after=None, groups=1):
    g.conv(name, channels, kernel, stride, padding=kernel // 2, after=after, bias=False,
           groups=groups)
    return g.add(name + ".bn", "batch_norm")


def resnet(name, depths, bottleneck):
    form = ("the original form with the stride in the first 1x1 convolution of a stage (\"v1\", as "
            "in Keras; torchvision's v1.5 has it in the 3x3)" if bottleneck else "basic blocks")
    g = Graph(name, f"He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition, CVPR "
              f"2016 (arXiv:1512.03385), table 1, ImageNet; {form}, 1x1 projection shortcuts where "
              "the shape changes (option B), convolutions without bias; ends with the logits",
              [224, 224, 3])
    conv_bn(g, "conv1", 64, 7, 2)
    g.act("conv1.relu", "relu")
    at = g.add("pool1", "max_pool", kernel=3, stride=2, padding=1)
    expansion = 4 if bottleneck else 1
    channels_in = 64
    for stage, depth in enumerate(depths):
        width = 64 << stage
        for i in range(depth):
            block = f"stage{stage + 1}.{i}"
            stride = 2 if stage > 0 and i == 0 else 1
            shortcut = at
            if channels_in != width * expansion:
                shortcut = conv_bn(g, f"{block}.shortcut", width * expansion, 1, stride, at)
            if bottleneck:
                path = [(width, 1, stride), (width, 3, 1), (width * 4, 1, 1)]
            else:
                path = [(width, 3, stride), (width, 3, 1)]
            for k, (channels, kernel, step) in enumerate(path, 1):
                at = conv_bn(g, f"{block}.conv{k}", channels, kernel, step, at)
                if k < len(path):
                    at = g.act(f"{block}.relu{k}", "relu")
            g.add(f"{block}.add", "add", [at, shortcut])
            at = g.act(f"{block}.relu", "relu")
            channels_in = width * expansion
    g.add("pool", "global_average_pool")
    g.add("fc", "dense", channels=1000)
    return g


def mobilenetv2():
    g = Graph("mobilenetv2", "Sandler, Howard, Zhu, Zhmoginov and Chen, MobileNetV2: Inverted "
              "Residuals and Linear Bottlenecks, CVPR 2018 (arXiv:1801.04381), table 2, width 1.0, "
              "ImageNet; ends with the logits", [224, 224, 3])
    conv_bn(g, "conv1", 32, 3, 2)
    at = g.act("conv1.relu6", "relu6")
    channels_in = 32
    block = 0
    for expansion, channels, repeats, first_stride in [
            (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
            (6, 160, 3, 2), (6, 320, 1, 1)]:
        for i in range(repeats):
            block += 1
            stride = first_stride if i == 0 else 1
            hidden = channels_in * expansion
            before = at
            if expansion != 1:
                conv_bn(g, f"block{block}.expand", hidden, 1)
                g.act(f"block{block}.expand.relu6", "relu6")
            conv_bn(g, f"block{block}.depthwise", hidden, 3, stride, groups=hidden)
            g.act(f"block{block}.depthwise.relu6", "relu6")
            at = conv_bn(g, f"block{block}.project", channels, 1)
            if stride == 1 and channels_in == channels:
                at = g.add(f"block{block}.add", "add", [at, before])
            channels_in = channels
    conv_bn(g, "conv2", 1280, 1)
    g.act("conv2.relu6", "relu6")
    g.add("pool", "global_average_pool")
    g.add("fc", "dense", channels=1000)
    return g


def attention(g, name, at, width, heads):
    """Multi-head self-attention; 1/sqrt(depth) is part of the query's weights."""
    query = g.add(f"{name}.query", "dense", at, channels=width)
    key = g.add(f"{name}.key", "dense", at, channels=width)
    value = g.add(f"{name}.value", "dense", at, channels=width)
    g.add(f"{name}.scores", "matmul", [query, key], heads=heads, transpose_second=True)
    weights = g.add(f"{name}.softmax", "softmax")
    g.add(f"{name}.context", "matmul", [weights, value], heads=heads)
    return g.add(f"{name}.project", "dense", channels=width)


def mlp(g, name, at, hidden, width):
    g.add(f"{name}.up", "dense", at, channels=hidden)
    g.act(f"{name}.gelu", "gelu")
    return g.add(f"{name}.down", "dense", channels=width)


def bert_base():
    g = Graph("bert-base", "Devlin, Chang, Lee and Toutanova, BERT: Pre-training of Deep "
              "Bidirectional Transformers for Language Understanding, NAACL 2019 "
              "(arXiv:1810.04805), BERT-base uncased with its pooler; sequences of 128 tokens",
              [128, 1, 1])
    g.add("embedding", "embedding", vocabulary=30522, channels=768, positions=512, segments=2)
    at = g.add("embedding.norm", "layer_norm")
    for i in range(12):
        name = f"layer{i}"
        mixed = attention(g, f"{name}.attention", at, 768, 12)
        g.add(f"{name}.attention.add", "add", [mixed, at])
        at = g.add(f"{name}.attention.norm", "layer_norm")
        changed = mlp(g, f"{name}.mlp", at, 3072, 768)
        g.add(f"{name}.add", "add", [changed, at])
        at = g.add(f"{name}.norm", "layer_norm")
    # The pooler reads the first token: pooling with a 1x1 window and one step a sequence.
    g.add("pooler.first", "max_pool", kernel=1, stride=[128, 1])
    g.add("pooler.dense", "dense", channels=768)
    g.act("pooler.tanh", "tanh")
    return g


def vit_b16():
    g = Graph("vit-b16", "Dosovitskiy et al., An Image is Worth 16x16 Words: Transformers for Image "
              "Recognition at Scale, ICLR 2021 (arXiv:2010.11929), ViT-B/16, ImageNet-1k head "
              "without pre-logits; ends with the logits", [224, 224, 3])
    g.conv("patches", 768, 16, 16)
    g.add("sequence", "reshape", shape=[196, 1, 768])
    # The class token: a row of zeros to which the embedding adds a learned row (and a position).
    g.add("class_row", "pad", padding=[1, 0, 0, 0])
    at = g.add("embedding", "embedding", positions=197, first_rows=1)
    for i in range(12):
        name = f"layer{i}"
        normed = g.add(f"{name}.attention.norm", "layer_norm", at)
        mixed = attention(g, f"{name}.attention", normed, 768, 12)
        at = g.add(f"{name}.attention.add", "add", [mixed, at])
        normed = g.add(f"{name}.norm", "layer_norm")
        changed = mlp(g, f"{name}.mlp", normed, 3072, 768)
        at = g.add(f"{name}.add", "add", [changed, at])
    g.add("norm", "layer_norm")
    # The head reads the class token: pooling with a 1x1 window and one step a sequence.
    g.add("head.first", "max_pool", kernel=1, stride=[197, 1])
    g.add("head", "dense", channels=1000)
    return g


def lenet5():
    g = Graph("lenet5", "LeCun, Bottou, Bengio and Haffner, Gradient-Based Learning Applied to "
              "Document Recognition, Proc. IEEE 86(11), 1998, in today's usual form: all of S2's "
              "maps feed every map of C3, pooling has no weights, ten logits; 28x28 digits padded "
              "to 32x32", [28, 28, 1])
    g.conv("c1", 6, 5, padding=2)
    g.act("c1_tanh", "tanh")
    g.add("s2", "average_pool", kernel=2)
    g.conv("c3", 16, 5)
    g.act("c3_tanh", "tanh")
    g.add("s4", "average_pool", kernel=2)
    g.add("flatten", "reshape", shape=[1, 1, 400])
    g.add("f5", "dense", channels=120)
    g.act("f5_tanh", "tanh")
    g.add("f6", "dense", channels=84)
    g.act("f6_tanh", "tanh")
    g.add("output", "dense", channels=10)
    return g


def graphs():
    return [
        tinyyolov3(), tinyyolov4(),
        vgg("vgg16", [2, 2, 3, 3, 3], "D"), vgg("vgg19", [2, 2, 4, 4, 4], "E"),
        resnet("resnet18", [2, 2, 2, 2], False), resnet("resnet34", [3, 4, 6, 3], False),
        resnet("resnet50", [3, 4, 6, 3], True), resnet("resnet101", [3, 4, 23, 3], True),
        resnet("resnet152", [3, 8, 36, 3], True),
        mobilenetv2(), bert_base(), vit_b16(), lenet5(),
    ]


def main(arguments):
    check = "--check" in arguments
    rest = [argument for argument in arguments if argument != "--check"]
    if len(rest) > 1 or any(argument.startswith("-") for argument in rest):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    here = Path(__file__).resolve().parent.parent / "models" / "networks"
    folder = Path(rest[0]) if rest else here
    wanted = {f"{g.name}.json": g.text().encode() for g in graphs()}
    if check:
        present = {path.name: path.read_bytes() for path in folder.glob("*.json")}
        differing = sorted(name for name in wanted.keys() | present.keys()
                           if wanted.get(name) != present.get(name))
        for name in differing:
            print(f"{folder / name}: differs from what {Path(__file__).name} writes; run it",
                  file=sys.stderr)
        return 1 if differing else 0
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in wanted.items():
        (folder / name).write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
