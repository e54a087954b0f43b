#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Logits of the shipped networks of whole numbers, computed by NumPy alone.

    tests/oracle/integers.py --write    needs dataset-fashion-mnist; writes integers_truth.json

The layers are spelled out here, not read from the network's file; weights, multipliers and shifts
are those of models/networks/*.integers. The truth is the SHA-256 of the 10 000 test images' logits
(int32, little-endian, image by image) and those of the first 200, whose images and labels are
written to fashion-200-*.gz for tests on machines without the data set.
"""

import gzip
import hashlib
import json
import pathlib
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
IMAGES = pathlib.Path("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz")
TRUTH = pathlib.Path(__file__).with_name("integers_truth.json")
SUBSET = 200


def images(count=10000):
    with gzip.open(IMAGES) as file:
        data = file.read()
    return np.frombuffer(data, np.uint8, offset=16).reshape(-1, 28, 28, 1)[:count].astype(np.int64)


class Integers:
    """The steps of a network, by layer name; maps are images x rows x columns x channels."""

    def __init__(self, name):
        with open(ROOT / "models" / "networks" / f"{name}.integers") as file:
            self.layers = {layer["name"]: layer for layer in json.load(file)["layers"]}

    def rounded(self, layer, value, shift):
        half = np.where(shift > 0, np.left_shift(1, np.maximum(shift, 1) - 1), 0)
        return np.clip((value + half) >> shift, *layer["range"])

    def multiply(self, layer, x):
        # Floats of 53 bits hold all sums exactly, and their product is the fast one.
        products = x.astype(np.float64) @ np.array(layer["weights"], np.float64)
        sums = products.astype(np.int64) + np.array(layer["bias"], np.int64)
        return self.rounded(layer, sums * np.array(layer["multiplier"], np.int64),
                            np.array(layer["shift"], np.int64))

    def conv(self, name, x, kernel, stride=1, pad=0):
        x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), (1, 2))
        windows = windows[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)
        return self.multiply(self.layers[name], windows.reshape(*windows.shape[:3], -1))

    def dense(self, name, x):
        return self.multiply(self.layers[name], x)

    def add(self, name, *operands):
        layer = self.layers[name]
        total = sum(x * m for x, m in zip(operands, layer["multiplier"]))
        return self.rounded(layer, total, np.int64(layer["shift"][0]))

    def mean(self, name, x):
        layer = self.layers[name]
        count, shift = x.shape[1] * x.shape[2], layer["shift"][0]
        total = x.sum((1, 2), keepdims=True) * layer["multiplier"][0]
        return np.clip((2 * total + (count << shift)) // (count << (shift + 1)), *layer["range"])


def pooled(x):
    n, height, width, channels = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, channels).max((2, 4))


def relu(x):
    return np.maximum(x, 0)


def lenet5(x):
    net = Integers("lenet5-fashion")
    x = pooled(relu(net.conv("/0/Conv", x, 5, pad=2)))
    x = pooled(relu(net.conv("/3/Conv", x, 5)))
    x = x.reshape(len(x), 1, 1, -1)
    for name in ("/7/Gemm", "/9/Gemm"):
        x = relu(net.dense(name, x))
    return net.dense("/11/Gemm", x)


def resnet(x):
    net = Integers("resnet-fashion")
    x = pooled(relu(net.conv("/0/Conv", x, 3, pad=1)))
    for block, stride in ((4, 1), (5, 2), (6, 2)):
        y = relu(net.conv(f"/{block}/first/Conv", x, 3, stride, 1))
        y = net.conv(f"/{block}/second/Conv", y, 3, 1, 1)
        if stride != 1:
            x = net.conv(f"/{block}/shortcut/shortcut.0/Conv", x, 1, stride)
        # In the order of the file: the sum's first operand is the block's.
        x = relu(net.add(f"/{block}/Add", y, x))
    return net.dense("/9/Gemm", net.mean("/7/GlobalAveragePool", x))


NETWORKS = {"lenet5-fashion": lenet5, "resnet-fashion": resnet}


def logits(name, x):
    parts = [NETWORKS[name](part) for part in np.array_split(x, max(1, len(x) // 500))]
    return np.concatenate(parts).reshape(len(x), -1).astype("<i4")


def truth(name):
    all_logits = logits(name, images())
    return {"sha256": hashlib.sha256(all_logits.tobytes()).hexdigest(),
            "first": all_logits[:SUBSET].tolist()}


def write_subset():
    for kind, rank in (("images", 3), ("labels", 1)):
        name = f"{kind}-idx{rank}-ubyte.gz"
        with gzip.open(IMAGES.with_name("t10k-" + name)) as file:
            data = file.read()
        begin = 4 + 4 * rank
        size = (len(data) - begin) // 10000
        subset = (data[:4] + SUBSET.to_bytes(4, "big") + data[8:begin]
                  + data[begin : begin + SUBSET * size])
        TRUTH.with_name("fashion-200-" + name).write_bytes(gzip.compress(subset, 9, mtime=0))


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(__doc__)
    with open(TRUTH, "w") as file:
        json.dump({name: truth(name) for name in NETWORKS}, file, separators=(",", ":"))
        file.write("\n")
    write_subset()
