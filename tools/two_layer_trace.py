#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A compiler in 40 lines: two_layer_trace.py FOLDER writes a CNN of two layers and a trace of it, row by row."""
import json, sys, zlib

ROWS, COLUMNS, CHANNELS, KERNEL = 8, 8, (3, 8, 4), 3  # of the feature maps: image, conv1, conv2
LAYERS = [{"name": f"conv{k}", "kind": "conv2d", "channels": CHANNELS[k], "kernel": KERNEL, "padding": "same"}
          for k in (1, 2)]
NETWORK = {"name": "two-layer-cnn",
           "layers": [{"name": "image", "kind": "input", "shape": [ROWS, COLUMNS, CHANNELS[0]]}, *LAYERS]}
ops = []

def op(kind, at, **fields):
    for before in fields.get("in", []):  # every operand is one use of what that operation made
        made = ops[before]["to"][0] if "to" in ops[before] else ops[before]
        made["uses"] = made.get("uses", 0) + 1
    ops.append({"id": len(ops), "op": kind, "at": at, **fields})
    return len(ops) - 1

def row(r, k):  # what an operation on row r of a feature map says of it
    return [r, r + 1, 0, COLUMNS, 0, CHANNELS[k]]

data = [op("load", "mem0", tensor=0, box=row(r, 0), bits=8, bytes=COLUMNS * CHANNELS[0], to=[{"at": "t0"}])
        for r in range(ROWS)]  # who brings each row of the feature map to the tile that reads it
for k, tile in ((1, "t0"), (2, "t1")):
    size, results = COLUMNS * CHANNELS[k], []
    for r in range(ROWS):
        window = data[max(r - 1, 0):r + 2]  # the rows that a 3 x 3 kernel sees; padding is not read
        sums = op("mvm", f"{tile}.m0", block=k - 1, ofm=row(r, k), n=COLUMNS, bits=24, bytes=3 * size, **{"in": window})
        done = op("vec", f"{tile}.vec", layer=k - 1, ofm=row(r, k), fn="requantize", n=size, bits=8, bytes=size,
                  **{"in": [sums]})
        away = dict(layer=k - 1, ofm=row(r, k), bits=8, bytes=size, **{"in": [done]})
        results.append(op("move", "t0.ni", to=[{"at": "t1"}], **away) if k == 1 else
                       op("store", "t1.ni", to=[{"at": "mem0"}], tensor=2, box=row(r, 2), **away))
    data = results
last, counts, window = {}, {}, 0  # by unit; the header is line 0
for line, o in enumerate(ops, 1):
    window = max(window, line - last.get(o["at"], 0))
    last[o["at"]], counts[o["at"]] = line, counts.get(o["at"], 0) + 1
tensors = [{"name": layer["name"], "shape": [ROWS, COLUMNS, channels], "bits": 8}
           for layer, channels in zip(NETWORK["layers"], CHANNELS)]
header = {"format": "tessera-trace", "version": "1.0", "producer": "two_layer_trace.py",
          "network": {"name": NETWORK["name"], "tensors": tensors, "layers": [
              {"name": f"conv{k}", "kind": "conv2d", "output": k, "vectors": ROWS * COLUMNS, "input_bits": 8} for k in (1, 2)]},
          "placement": {"blocks": [{"layer": k - 1, "rows": [0, KERNEL * KERNEL * CHANNELS[k - 1]],
                                    "columns": [0, CHANNELS[k]], "at": f"t{k - 1}.m0"} for k in (1, 2)]},
          "tiles": 4, "memory_ports": 1, "window": window,
          "counts": {"operations": len(ops), "units": counts}}
text = "".join(json.dumps(line) + "\n" for line in [header, *ops])
text += json.dumps({"end": True, "ops": len(ops), "crc32": f"{zlib.crc32(text.encode()):08x}"}) + "\n"
open(sys.argv[1] + "/two-layer-cnn.json", "w").write(json.dumps(NETWORK))
open(sys.argv[1] + "/two-layer-cnn.trace.jsonl", "w").write(text)
