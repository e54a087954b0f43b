#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Trains the networks of models/networks that come with weights, on Fashion-MNIST.

    tools/train_networks.py [lenet5-fashion|resnet-fashion ...] [--epochs N] [--threads N]

Needs the packages of the use "train" in third_party/packages.txt. The result depends on the
version of PyTorch and on the CPU; the files shipped are those that the figures in README.md were
measured with. Pixels go in as 0..1, one channel; classes come out as ten logits. Batch norms are
folded into the convolutions before the network is written.

The last 5000 training images are never trained on: they choose nothing here, and are what ranges
are calibrated on. The test images are looked at once, at the end.
"""

import argparse
import gzip
import pathlib
import struct
import sys
import time

try:
    import numpy as np
    import torch
    from torch import nn
except ImportError as error:
    sys.exit(f"{sys.argv[0]}: {error}; apt-get install python3-torch dataset-fashion-mnist")

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = pathlib.Path("/usr/share/datasets/fashion-mnist")
HELD_OUT = 5000


def read_idx(path):
    with gzip.open(path) as file:
        data = file.read()
    _, _, kind, rank = struct.unpack(">BBBB", data[:4])
    assert kind == 8, "unsigned bytes expected"
    shape = struct.unpack(f">{rank}I", data[4 : 4 + 4 * rank])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def load(part):
    images = read_idx(DATA / f"{part}-images-idx3-ubyte.gz").astype(np.float32) / 255
    labels = read_idx(DATA / f"{part}-labels-idx1-ubyte.gz").astype(np.int64)
    return torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels)


class LeNet5(nn.Sequential):
    """LeCun et al. 1998 with ReLU and maxima in the place of tanh and means."""

    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(400, 120), nn.ReLU(),
            nn.Linear(120, 84), nn.ReLU(),
            nn.Linear(84, 10))


class Residual(nn.Module):
    """The basic block of He et al. 2016, with a 1x1 projection where the shape changes."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut = None
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = torch.relu(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y))
        return torch.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class ResNet(nn.Sequential):
    """Three stages of one residual block: 16, 32 and 64 channels at 14x14, 7x7 and 4x4."""

    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
            nn.MaxPool2d(2),
            Residual(16, 16, 1), Residual(16, 32, 2), Residual(32, 64, 2),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


NETWORKS = {"lenet5-fashion": (LeNet5, 12), "resnet-fashion": (ResNet, 14)}


def augment(images, random):
    """Mirrors every second image and moves the batch by up to 1 pixel each way."""
    mirrored = torch.rand(len(images), generator=random) < 0.5
    images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
    dy, dx = torch.randint(-1, 2, (2,), generator=random).tolist()
    padded = nn.functional.pad(images, (1, 1, 1, 1))
    return padded[:, :, 1 + dy : 29 + dy, 1 + dx : 29 + dx]


def accuracy(model, images, labels):
    model.eval()
    with torch.no_grad():
        right = sum(int((model(x).argmax(1) == y).sum())
                    for x, y in zip(images.split(500), labels.split(500)))
    return right / len(labels)


def train(name, epochs, batch=128):
    torch.manual_seed(1)
    random = torch.Generator().manual_seed(1)
    make, default_epochs = NETWORKS[name]
    epochs = epochs or default_epochs
    model = make()
    images, labels = load("train")
    kept = len(labels) - HELD_OUT
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True,
                                weight_decay=5e-4)
    steps = epochs * (kept // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=steps,
                                                   pct_start=0.2)
    begun = time.time()
    for epoch in range(epochs):
        model.train()
        order = torch.randperm(kept, generator=random)
        for step in range(kept // batch):
            chosen = order[step * batch : (step + 1) * batch]
            loss = nn.functional.cross_entropy(model(augment(images[chosen], random)),
                                               labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"{name}: epoch {epoch + 1} of {epochs}, held-out accuracy "
              f"{accuracy(model, images[kept:], labels[kept:]):.4f}, "
              f"{time.time() - begun:.0f} s", flush=True)
    return model.eval()


def write(model, name):
    path = ROOT / "models" / "networks" / f"{name}.onnx"
    torch.onnx.export(model, torch.zeros(1, 1, 28, 28), str(path), input_names=["image"],
                      output_names=["logits"], opset_version=13)
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in options.networks:
        if name not in NETWORKS:
            parser.error(f"unknown network {name}; there are {', '.join(NETWORKS)}")
        model = train(name, options.epochs)
        path = write(model, name)
        print(f"{name}: test accuracy {accuracy(model, *load('t10k')):.4f}, "
              f"{path.stat().st_size} bytes in {path}", flush=True)


if __name__ == "__main__":
    main()
