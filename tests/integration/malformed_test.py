#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Malformed and hostile input: every one is refused with exit code 3 and one message "place: problem; remedy", within
5 s of CPU time and 1 GiB of address space, with nothing on stdout and no file left behind. With names as arguments,
only the cases whose names contain one of them."""
import gzip
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import h5py
import numpy

TESSERA = os.environ["TESSERA"]
SOURCE = Path(os.environ["TESSERA_SOURCE_DIR"])
CPU_SECONDS, WALL_SECONDS, ADDRESS_SPACE = 5, 60, 1 << 30
# Sanitizers reserve terabytes of addresses, and take their time.
SANITIZED = any(mark in Path(TESSERA).read_bytes() for mark in (b"__asan_init", b"__tsan_init"))
LEAST_CASES = 200
NOTES_OF_A_FAILED_RUN = ["tessera-out", "tessera-out/config.resolved.json", "tessera-out/run.json"]

CASES = []


def case(name, command, file, content, where, said):
    """`command`: arguments, FILE stands for the file's path. `content`: text, bytes, or what makes the file at a path.
    `where`: what follows the file's name in the message. `said`: a part of the rest."""
    CASES.append((name, command, file, content, where, said))


# ---- chip configs ---------------------------------------------------------------------------------------------------

def config(name, content, where, said, *overrides):
    options = [word for override in overrides for word in ("--set", override)]
    case("config " + name, ["config", "check", "FILE", *options], "chip.json", content, where, said)


def override(name, assignment, where, said):
    CASES.append(("override " + name, ["config", "check", "tiny", "--set", assignment], None, None,
                  f"--set {assignment}" + where, said))


def nested(depth, opening="[", closing="]", core=""):
    return opening * depth + core + closing * depth


for text_name, text, line, said in [
        ("empty", "", 1, "not valid JSON"),
        ("blank", " \n\n", 2, "not valid JSON"),
        ("open", "{", 1, "not valid JSON"),
        ("cut", '{"noc": {"vcs": 1', 1, "not valid JSON"),
        ("trailing comma", '{"noc": {},\n}', 2, "not valid JSON"),
        ("two values", "{} {}", 1, "not valid JSON"),
        ("single quotes", "{'noc': {}}", 1, "not valid JSON"),
        ("comment", '{ // vcs\n"noc": {}}', 1, "not valid JSON"),
        ("NaN", '{"tiles": {"rows": NaN}}', 1, "not valid JSON"),
        ("Infinity", '{"tiles": {"rows": Infinity}}', 1, "not valid JSON"),
        ("minus Infinity", '{"tiles":\n{"rows": -Infinity}}', 2, "not valid JSON"),
        ("1e999", '{"tiles": {"rows": 1e999}}', 1, "1e999"),
        ("hex number", '{"tiles": {"rows": 0x10}}', 1, "not valid JSON"),
        ("leading zero", '{"tiles": {"rows": 012}}', 1, "not valid JSON"),
        ("plus sign", '{"tiles": {"rows": +1}}', 1, "not valid JSON"),
        ("NUL byte", b'{"noc": {}\0}', 1, "not valid JSON"),
        ("NUL after", b'{"noc": {}}\0', 1, "not valid JSON"),
        ("NUL in text", b'{"name": "a\0b"}', 1, "not valid JSON"),
        ("two BOMs", b"\xef\xbb\xbf\xef\xbb\xbf{}", 1, "not valid JSON"),
        ("UTF-16", '{"noc": {}}'.encode("utf-16"), 1, "not valid JSON"),
        ("overlong UTF-8", b'{"name": "\xc0\xaf"}', 1, "not valid JSON"),
        ("cut UTF-8", b'{"name": "\xe2\x82"}', 1, "not valid JSON"),
        ("surrogate in UTF-8", b'{"name": "\xed\xa0\x80"}', 1, "not valid JSON"),
        ("lone surrogate", '{"name": "\\ud800"}', 1, "not valid JSON"),
        ("half a pair", '{"name": "\\ud800\\u0041"}', 1, "not valid JSON"),
        ("unknown escape", '{"name": "\\x41"}', 1, "not valid JSON"),
        ("line end in text", '{"name": "a\nb"}', 1, "not valid JSON"),
        ("deep lists", nested(65), 1, "nested deeper than 64"),
        ("very deep lists", nested(8_000_000), 1, "nested deeper than 64"),
        ("deep objects", nested(1000, '{"a":', "}", "1"), 1, "nested deeper than 64"),
]:
    config(text_name, text, f":{line}: ", said)

config("many values", "[" + "[],[[]]," * 900_000 + "1]", ":1: ", "more than 2000000 values")
config("long pointers", '{"' + "k" * 4_000_000 + '": [' + "[]," * 1_000_000 + "1]}", ":1: /kkk", "unknown key")
config("deep long pointers", "".join('{"' + "k" * 250_000 + '":' for _ in range(63)) + "1" + "}" * 63, ":1: /kkk",
       "unknown key")
config("too long", " " * (16 << 20) + "{}", ": ", "longer than 16777216 bytes")
config("list", "[]", ":1: ", "must not be a list")
config("number", "\n7", ":2: ", "must not be a whole number")
config("CRLF", '{"tiles":\r\n{"rows":\r\n0}}', ":3: /tiles/rows: ", "0 is out of range")
config("BOM", b'\xef\xbb\xbf{"tiles": {"rows": 0}}', ":1: /tiles/rows: ", "out of range")
config("duplicate section", '{"noc": {},\n"noc": {}}', ":2: /noc: ", "appears twice")
config("duplicate key", '{"tiles": {"rows": 1,\n\n"rows": 1}}', ":3: /tiles/rows: ", "appears twice")
config("duplicate by escape", '{"tiles": {"rows": 1, "ro\\u0077s": 1}}', ":1: /tiles/rows: ", "appears twice")
config("duplicate in a list", '{"x-a": [{"b": 1}, {"b": 1, "b": 2}]}', ":1: /x-a/1/b: ", "appears twice")
config("duplicate extension", '{"x-a": 1, "x-a": 1}', ":1: /x-a: ", "appears twice")
config("unknown key", '{"nok": {}}', ":1: /nok: ", 'did you mean "noc"?')
config("unknown key inside", '{"noc":\n{"vcz": 1}}', ":2: /noc/vcz: ", 'did you mean "vcs"?')
config("empty key", '{"": 1}', ":1: /: ", "unknown key")
config("key with slash", '{"noc": {"a/b~c": 1}}', ":1: /noc/a~1b~0c: ", "unknown key")
config("terminal escapes in a key", '{"\\u001b[31mred": 1}', ":1: /\\x1b[31mred: ", "unknown key")
config("section as number", '{"noc": 7}', ":1: /noc: ", "must not be a whole number")
config("value as object", '{"clock": {}}', ":1: /clock: ", "must not be an object")
config("negative", '{"tiles": {"rows": -1}}', ":1: /tiles/rows: ", "-1 is out of range")
config("fraction", '{"tiles": {"rows": 1.5}}', ":1: /tiles/rows: ", "must not be a number with a fraction")
config("beyond 2^64", '{"tiles": {"rows": 18446744073709551616}}', ":1: /tiles/rows: ", "must not be a number")
config("2^64 - 1", '{"tiles": {"rows": 18446744073709551615}}', ":1: /tiles/rows: ", "out of range")
config("overflowing product", '{"tiles": {"rows": 4096, "columns": 4096, "macros": 4096}}', ":1: /tiles/", "macros")
config("least too many macros", '{"tiles": {"rows": 4096, "columns": 1025, "macros": 1}}', ":1: /tiles/", "macros")
config("no unit", '{"clock": "1000"}', ":1: /clock: ", "has no unit")
config("wrong unit", '{"clock": "1 ns"}', ":1: /clock: ", 'unknown unit "ns"')
config("NaN with a unit", '{"clock": "nan GHz"}', ":1: /clock: ", "does not start with a number")
config("exponent", '{"clock": "1e9 Hz"}', ":1: /clock: ", "unknown unit")
config("negative quantity", '{"buffer": {"capacity": "-1 KiB"}}', ":1: /buffer/capacity: ", "is negative")
config("minus zero", '{"buffer": {"capacity": "-0 B"}}', ":1: /buffer/capacity: ", "is negative")
config("quantity beyond 2^64", '{"buffer": {"capacity": "99999999999 TiB"}}', ":1: /buffer/capacity: ", "too large")
config("too many digits", '{"buffer": {"capacity": "' + "1" * 100_000 + ' B"}}', ":1: /buffer/capacity: ",
       "at most 20")
config("fraction of a byte", '{"buffer": {"capacity": "1 bit"}}', ":1: /buffer/capacity: ", "not a whole number")
config("unit in unicode", '{"clock": "1 GHｚ"}', ":1: /clock: ", "unknown unit")
config("control characters", '{"name": "a\\u0007b"}', ":1: /name: ", "control characters")
config("long name", '{"name": "' + "n" * 257 + '"}', ":1: /name: ", "257 bytes is out of range")
config("unknown choice", '{"noc": {"kind": "torus"}}', ":1: /noc/kind: ", "is not known here")
config("stage twice", '{"macro": {"pipeline": {"groups": [["drive"], ["drive"]]}}}', ":1: /macro/pipeline/groups/1/0: ",
       "in a group already")
config("group of no neighbours", '{"macro": {"pipeline": {"groups": [["drive", "output"]]}}}',
       ":1: /macro/pipeline/groups/0/1: ", "does not follow")
config("function name", '{"vector": {"cost": {"a b": 1}}}', ":1: /vector/cost/a b: ", "no function name")
config("extends nothing", '{"extends": "no-such-chip"}', ":1: /extends: ", "there is no chip config")
config("extends itself", '{"extends": "chip.json"}', ":1: /extends: ", "includes itself")
config("extends number", '{"extends": 1}', ":1: /extends: ", "must not be a whole number")
config("extends absolute", '{"extends": "/etc/passwd"}', ":1: /extends: ", "relative to this one")
config("extends absolute json", '{"extends": "/etc/chip.json"}', ":1: /extends: ", "relative to this one")
config("extends no config", '{"extends": "../../../../etc/passwd"}', ":1: /extends: ", "relative to this one")
config("extends with NUL", '{"extends": "chip.json\\u0000.json"}', ":1: /extends: ", "relative to this one")
config("extends folder", '{"extends": "../.json"}', ":1: /extends: ", "there is no chip config")
config("preset up", '{"macro": {"$preset": "../macro/isaac"}}', ":1: /macro/$preset: ", "no name of a preset")
config("preset absolute", '{"macro": {"$preset": "/etc/passwd"}}', ":1: /macro/$preset: ", "no name of a preset")
config("preset dots", '{"macro": {"$preset": ".."}}', ":1: /macro/$preset: ", "no name of a preset")
config("preset with NUL", '{"macro": {"$preset": "isaac\\u0000"}}', ":1: /macro/$preset: ", "no name of a preset")
config("preset of another section", '{"noc": {"$preset": "isaac"}}', ":1: /noc/$preset: ", "there is no preset")
config("preset at the top", '{"$preset": "isaac"}', ":1: /$preset: ", "unknown key")


def circle(length):
    def make(path):
        for i in range(length):
            following = path if i + 1 == length else path.with_name(f"c{i + 1}.json")
            own = path if i == 0 else path.with_name(f"c{i}.json")
            own.write_text(json.dumps({"extends": following.name}))
    return make


def chain(length):
    def make(path):
        for i in range(length):
            own = path if i == 0 else path.with_name(f"c{i}.json")
            own.write_text(json.dumps({} if i + 1 == length else {"extends": f"c{i + 1}.json"}))
    return make


def linked_circle(path):
    path.write_text('{"extends": "sub/link.json"}')
    (path.parent / "sub").mkdir()
    (path.parent / "sub" / "link.json").symlink_to(path)


def presets_in_a_circle(path):
    folder = path.parent / "presets" / "macro"
    folder.mkdir(parents=True)
    path.write_text('{"macro": {"$preset": "a"}}')
    (folder / "a.json").write_text('{"$preset": "b"}')
    (folder / "b.json").write_text('{\n"$preset": "a"}')


case("config circle of three", ["config", "check", "FILE"], "chip.json", circle(3), None, "includes itself")
case("config chain of 17", ["config", "check", "FILE"], "chip.json", chain(17), None, "more than 16 files")
case("config circle by link", ["config", "check", "FILE"], "chip.json", linked_circle, None, "includes itself")
case("config circle of presets", ["config", "check", "FILE"], "chip.json", presets_in_a_circle, None,
     "includes itself")

override("out of range", "tiles.rows=0", ": /tiles/rows: ", "out of range")
override("huge", "tiles.rows=99999999999999999999", ": /tiles/rows: ", "must not be")
override("1e999", "tiles.rows=1e999", ": /tiles/rows: ", "must not be text")
override("NaN", "tiles.rows=NaN", ": /tiles/rows: ", "must not be text")
override("empty", "tiles.rows=", ": /tiles/rows: ", "must not be text")
override("unknown", "noc.vcz=1", ": /noc/vcz: ", 'did you mean "vcs"?')
override("section", "noc=1", ": /noc: ", "must not be a whole number")
override("preset up", "macro.$preset=../x", ": /macro/$preset: ", "no name of a preset")
override("deep", "a" + ".a" * 20_000 + "=1", ": /a: ", "unknown key")
override("no JSON", 'noc={"vcs":', ":1: ", "not valid JSON")
override("duplicate", 'noc={"vcs":1,"vcs":2}', ":1: /vcs: ", "appears twice")
override("no text", b"name=\xff\xfe".decode("utf-8", "surrogateescape"), ": ", "is not UTF-8 text")

# ---- networks -------------------------------------------------------------------------------------------------------

INPUT = {"name": "in", "kind": "input", "shape": [8, 8, 4]}


def network(name, content, where, said):
    if isinstance(content, list):
        content = json.dumps({"name": "n", "layers": content})
    case("network " + name, ["network", "show", "FILE"], "net.json", content, where, said)


def second(**layer):
    return [INPUT, {"name": "b", **layer}]


network("empty", "", ":1: ", "not valid JSON")
network("list", "[]", ":1: ", "must be an object")
network("no name", '{"layers": []}', ":1: /name: ", "is missing")
network("no layers", '{"name": "n"}', ":1: /layers: ", "is missing")
network("empty layers", '{"name": "n", "layers": []}', ":1: /layers: ", "at least one layer")
network("only inputs", [INPUT], ":1: /layers: ", "are all inputs")
network("layer is text", '{"name": "n", "layers": ["in"]}', ":1: /layers/0: ", "must be an object")
network("unknown key", '{"name": "n",\n"layer": []}', ":2: /layer: ", "did you mean 'layers'?")
network("unknown format", '{"format": "onnx", "name": "n", "layers": []}', ":1: /format: ", "is not known")
network("unknown version", '{"version": "9", "name": "n", "layers": []}', ":1: /version: ", "is not known")
network("duplicate key", '{"name": "n", "layers": [{"name": "a",\n"name": "a"}]}', ":2: /layers/0/name: ",
        "appears twice")
network("name of controls", '{"name": "\\u001b[2J", "layers": []}', ":1: /name: ", "is not a name")
network("layer name with blank", second(name="a b", kind="dense", channels=1), ":1: /layers/1/name: ", "not a name")
network("layer name twice", [INPUT, {**INPUT}], ":1: /layers/1/name: ", "already the name of layer 0")
network("unknown kind", second(kind="conv3d"), ":1: /layers/1/kind: ", "did you mean 'conv2d'?")
network("bits", '{"name": "n", "activation_bits": 33, "layers": []}', ":1: /activation_bits: ", "out of range")
network("shape of two", [{"name": "in", "kind": "input", "shape": [1, 2]}], ":1: /layers/0/shape: ", "array of 3")
network("shape zero", [{"name": "in", "kind": "input", "shape": [0, 2, 2]}], ":1: /layers/0/shape/0: ", "out of range")
network("shape negative", [{"name": "in", "kind": "input", "shape": [1, -1, 2]}], ":1: /layers/0/shape/1: ",
        "out of range")
network("shape 2^32", [{"name": "in", "kind": "input", "shape": [1, 1, 1 << 32]}], ":1: /layers/0/shape/2: ",
        "out of range")
network("shape overflows", [{"name": "in", "kind": "input", "shape": [65536, 65536, 65536]}], ":1: /layers/0: ",
        "is too large")
network("shape just too large", [{"name": "in", "kind": "input", "shape": [65536, 32768, 2]}], ":1: /layers/0: ",
        "is too large")
network("shape of fractions", [{"name": "in", "kind": "input", "shape": [1.5, 1, 1]}], ":1: /layers/0/shape/0: ",
        "must be a whole number")
network("input with inputs", [{**INPUT, "inputs": ["x"]}], ":1: /layers/0/inputs: ", "input of the network")
network("reads itself", second(kind="activation", function="relu", inputs=["b"]), ":1: /layers/1/inputs/0: ",
        "is the layer itself")
network("reads a later one", second(kind="activation", function="relu", inputs=["c"])
        + [{"name": "c", "kind": "softmax"}], ":1: /layers/1/inputs/0: ", "comes later in the file")
network("reads nothing", second(kind="activation", function="relu", inputs=["inn"]), ":1: /layers/1/inputs/0: ",
        "did you mean 'in'?")
network("reads a number", second(kind="softmax", inputs=[0]), ":1: /layers/1/inputs/0: ", "must be the name")
network("reads two", second(kind="softmax", inputs=["in", "in"]), ":1: /layers/1/inputs: ", "array of 1")
network("nothing before", [{"name": "b", "kind": "softmax"}], ":1: /layers/0: ", "no layer before it")
network("unread input", [INPUT, {**INPUT, "name": "in2"}, {"name": "b", "kind": "softmax"}], ":1: /layers/0: ",
        "is read by no layer")
network("kernel too large", second(kind="conv2d", channels=1, kernel=9), ":1: /layers/1/kernel: ", "more than the")
network("kernel zero", second(kind="conv2d", channels=1, kernel=0), ":1: /layers/1/kernel: ", "out of range")
network("stride zero", second(kind="conv2d", channels=1, kernel=1, stride=0), ":1: /layers/1/stride: ", "out of range")
network("dilation overflows", second(kind="conv2d", channels=1, kernel=65536, dilation=65536), ":1: /layers/1/kernel: ",
        "more than the padded input")
network("padding", second(kind="conv2d", channels=1, kernel=1, padding="full"), ":1: /layers/1/padding: ", "not known")
network("padding huge", second(kind="pad", padding=65536), ":1: /layers/1: ", "is too large")
network("groups", second(kind="conv2d", channels=3, kernel=1, groups=3), ":1: /layers/1/groups: ", "does not divide")
network("weights overflow", [{"name": "in", "kind": "input", "shape": [1, 1, 65536]},
                             {"name": "b", "kind": "conv2d", "channels": 65536, "kernel": 65535, "padding": 40000}],
        ":1: /layers/1: ", "2^")
network("add of two shapes", [INPUT, {"name": "d", "kind": "dense", "channels": 1},
                              {"name": "b", "kind": "add", "inputs": ["in", "d"]}], ":1: /layers/2/inputs/1: ",
        "has shape 8x8x1")
network("split beyond", second(kind="split", range=[2, 5]), ":1: /layers/1/range: ", "beyond the 4")
network("reshape", second(kind="reshape", shape=[1, 1, 255]), ":1: /layers/1/shape: ", "256 elements")
network("upsample overflows", second(kind="upsample", scale=65536), ":1: /layers/1: ", "is too large")
network("matmul heads", second(kind="matmul", inputs=["in", "in"], heads=3), ":1: /layers/1/inputs/0: ", "3 heads")
network("embedding without table", [{"name": "in", "kind": "input", "shape": [4, 1, 4]},
                                    {"name": "b", "kind": "embedding"}], ":1: /layers/1: ", "has no table")
network("flag as number", second(kind="dense", channels=1, bias=1), ":1: /layers/1/bias: ", "true or false")
network("outputs empty", '{"name": "n", "layers": [{"name": "in", "kind": "input", "shape": [1, 1, 1]}, '
        '{"name": "b", "kind": "softmax"}], "outputs": []}', ":1: /outputs: ", "must be an array")
network("output twice", '{"name": "n", "layers": [{"name": "in", "kind": "input", "shape": [1, 1, 1]}, '
        '{"name": "b", "kind": "softmax"}], "outputs": ["b", "b"]}', ":1: /outputs/1: ", "is given twice")
network("deep", nested(9), ":1: ", "nested deeper than 8")
network("many layers", '{"name": "n", "layers": [' + ",".join(["{}"] * 100_001) + "]}", ":1: /layers: ",
        "more than 100000")
network("many near names", json.dumps(
    {"name": "n", "layers": [INPUT] + [{"name": "x" * 200 + str(100_000 + i), "kind": "softmax", "inputs": ["in"]}
                                       for i in range(50_000)]
     + [{"name": "b", "kind": "softmax", "inputs": ["y" * 100 + "x" * 106]}]}), ":1: /layers/50001/inputs/0: ",
        "is no layer")

# ---- traces ---------------------------------------------------------------------------------------------------------

HEADER = {"format": "tessera-trace", "version": "1.0", "tiles": 2, "memory_ports": 1,
          "network": {"tensors": [{"shape": [1, 1, 8], "bits": 8}], "layers": [{"name": "a", "output": 0}]},
          "placement": {"blocks": [{"layer": 0, "rows": [0, 4], "columns": [0, 4], "at": "t0.m0"}]},
          "counts": {"operations": 2, "units": {"t0.m0": 1, "t0.ni": 1}}, "window": 2}
FIRST = '{"id":0,"op":"mvm","at":"t0.m0","n":1,"bytes":4,"uses":1}'
SECOND = '{"id":1,"op":"move","at":"t0.ni","bytes":4,"in":[0],"to":[{"at":"t1","uses":0}]}'


def sealed(*lines, operations=None):
    """Lines, and a last line that fits them."""
    text = "".join((line if isinstance(line, str) else json.dumps(line, separators=(",", ":"))) + "\n"
                   for line in lines)
    count = len(lines) - 1 if operations is None else operations
    return text + '{"end":true,"ops":%d,"crc32":"%08x"}\n' % (count, zlib.crc32(text.encode("utf-8", "surrogatepass")))


def trace(name, content, where, said, file="bad.trace.jsonl"):
    if isinstance(content, str):
        content = content.encode("utf-8", "surrogatepass")
    if file.endswith(".gz") and isinstance(content, bytes) and not content.startswith(b"\x1f\x8b"):
        content = gzip.compress(content, mtime=0)
    case("trace " + name, ["trace", "check", "FILE"], file, content, where, said)


def header(name, change, pointer, said):
    changed = json.loads(json.dumps(HEADER))
    change(changed)
    trace("header " + name, sealed(changed, FIRST, SECOND), f":1: {pointer}", said)


def operation(name, line, pointer, said):
    trace("operation " + name, sealed(HEADER, FIRST, line), f":3: {pointer}", said)


GOOD = sealed(HEADER, FIRST, SECOND)

trace("empty", "", ": ", "is empty")
trace("one line end", "\n", ":1: ", "not valid JSON")
trace("no line end", '{"format":"tessera-trace"}', ":1: ", "ends within its first line")
trace("no trace", '{"a": 1}\n', ":1: /format: ", "this is not a trace")
trace("ELF", Path(sys.executable).resolve().read_bytes()[:4096], ":1: ", "not valid JSON")
trace("BOM twice", b"\xef\xbb\xbf\xef\xbb\xbf" + GOOD.encode(), ":1: ", "not valid JSON")
trace("header duplicate", '{"format":"tessera-trace","format":"tessera-trace"}\n', ":1: /format: ", "appears twice")
trace("header deep", nested(100) + "\n", ":1: ", "nested deeper")
trace("header of many values", '{"format":"tessera-trace","x-a":[' + "1," * 2_100_000 + "1]}\n", ":1: ",
      "more than 2000000 values")
trace("line too long", json.dumps(HEADER) + "\n" + "x" * ((16 << 20) + 1), ":2: ", "longer than 16 MiB")
trace("header too long", " " * ((16 << 20) + 1), ":1: ", "longer than 16 MiB")
trace("cut", GOOD[:-30], ":4: ", "ends within this line")
trace("without end", "".join(line + "\n" for line in GOOD.splitlines()[:3]), ":4: ", "without its last line")
trace("something behind", GOOD + "\n", ":5: ", "something follows")
trace("NUL behind", GOOD + "\0", ":5: ", "something follows")
trace("one bit wrong", GOOD.replace('"bytes":4,"uses"', '"bytes":6,"uses"', 1), ":4: /crc32: ", "but the lines before")
trace("wrong count", sealed(HEADER, FIRST, SECOND, operations=3), ":4: /ops: ", "but the header says 2")
trace("checksum no hex", GOOD[:-11] + 'xyz12345"}\n', ":4: /crc32: ", "is not a checksum")
trace("checksum in capitals", GOOD[:-11] + 'ABCDEF01"}\n', ":4: /crc32: ", "is not a checksum")
trace("too few operations", sealed(HEADER, FIRST), ":3: /end: ", "after 1 of 2")
trace("NUL in line", sealed(HEADER, FIRST.replace('"id"', '"\0id"'), SECOND), ":2: ", "not valid JSON")
trace("lone surrogate", sealed(HEADER, FIRST.replace("mvm", "\ud800"), SECOND), ":2: ", "not valid JSON")
trace("endless ignored lines", lambda path: path.write_text(
    json.dumps(HEADER) + "\n" + '{"op":"x-a"}\n' * 3_000_000), ":100002: /op: ", "are to be ignored")
trace("deep ignored line", sealed(HEADER, '{"op":"x-a","b":' + nested(4_000_000) + "}", "7"), ":3: ", "JSON object")

header("version", lambda h: h.update(version="2.0"), "/version: ", "version 2.0 is not known")
header("version as number", lambda h: h.update(version=1.0), "/version: ", "must be text")
header("unknown key", lambda h: h.update(tile=1), "/tile: ", "is an unknown key")
header("tiles negative", lambda h: h.update(tiles=-1), "/tiles: ", "not a whole number")
header("tiles 2^20 + 1", lambda h: h.update(tiles=(1 << 20) + 1), "/tiles: ", "from 0 to 1048576")
header("memory ports", lambda h: h.update(memory_ports=65537), "/memory_ports: ", "from 0 to 65536")
header("no counts", lambda h: h.pop("counts"), "", '/counts: is missing')
header("counts disagree", lambda h: h["counts"].update(operations=3), "/counts/operations: ", "add up to 2")
header("counts overflow", lambda h: h["counts"].update(
    operations=1, units={"t0.m0": (1 << 63) - 1, "t0.ni": (1 << 63) - 1}), "/counts/units: ", "too great")
header("count 2^64", lambda h: h["counts"]["units"].update({"t0.m0": 1 << 64}), "/counts/units/t0.m0: ",
       "not a whole number")
header("no such unit", lambda h: h["counts"]["units"].update({"t2.m0": 0}), "/counts/units/t2.m0: ", "not a unit")
header("unit with zeros", lambda h: h["counts"]["units"].update({"t00.m0": 0}), "/counts/units/t00.m0: ", "not a unit")
header("unit of 2^32", lambda h: h["counts"]["units"].update({"t4294967296.m0": 0}), "/counts/units/t4294967296.m0: ",
       "not a unit")
header("unit with path", lambda h: h["counts"]["units"].update({"../t0.m0": 0}), "/counts/units/..~1t0.m0: ",
       "not a unit")
header("unit with escapes", lambda h: h["counts"]["units"].update({"\x1b[2J": 0}), "/counts/units/", "not a unit")
header("window too great", lambda h: h.update(window=3), "/window: ", "greater than the number of operations")
header("tensor shape of two", lambda h: h["network"]["tensors"][0].update(shape=[1, 1]), "/network/tensors/0/shape: ",
       "has 2 entries")
header("tensor overflows", lambda h: h["network"]["tensors"][0].update(shape=[(1 << 32) - 1] * 3),
       "/network/tensors/0/shape: ", "more than 2^56")
header("tensor bits", lambda h: h["network"]["tensors"][0].update(bits=65), "/network/tensors/0/bits: ", "1 to 64")
header("layer's tensor", lambda h: h["network"]["layers"][0].update(output=1), "/network/layers/0/output: ",
       "only 1 tensors")
header("block's layer", lambda h: h["placement"]["blocks"][0].update(layer=1), "/placement/blocks/0/layer: ",
       "only 1 layers")
header("block on no macro", lambda h: h["placement"]["blocks"][0].update(at="t0.vec"), "/placement/blocks/0/at: ",
       "not a macro")
header("block empty", lambda h: h["placement"]["blocks"][0].update(rows=[4, 4]), "/placement/blocks/0/rows: ",
       "is empty")
header("block's replicas", lambda h: h["placement"]["blocks"][0].update(replicas=0), "/placement/blocks/0/replicas: ",
       "not a whole number")
header("block's references", lambda h: h["placement"]["blocks"][0].update(references=2),
       "/placement/blocks/0/references: ", "not a whole number")
header("block's corner", lambda h: h["placement"]["blocks"][0].update(corner=[1]), "/placement/blocks/0/corner: ",
       "has 1 entries")
header("mapping as number", lambda h: h.update(mapping={"a": 1}), "/mapping/a: ", "must be text")

operation("empty line", "", "", "not valid JSON")
operation("list", "[]", "", "not a JSON object")
operation("two objects", SECOND + "{}", "", "behind the JSON object")
operation("id repeated", SECOND.replace('"id":1', '"id":0'), "/in/0: ", "is not before")
operation("id falls", '{"id":0,"op":"move","at":"t0.ni","in":[],"to":[{"at":"t1"}]}', "/in: ", "exactly one operand")
operation("id negative", SECOND.replace('"id":1', '"id":-1'), "/id: ", "not a whole number")
operation("id 2^63", SECOND.replace('"id":1', '"id":9223372036854775808'), "/id: ", "not a whole number")
operation("id 1e3", SECOND.replace('"id":1', '"id":1e3'), "/id: ", "not a whole number")
operation("id minus zero", SECOND.replace('"id":1', '"id":-0'), "/id: ", "not a whole number")
operation("key twice", SECOND.replace('"id":1', '"id":1,"id":1'), "/id: ", "appears twice")
operation("key twice in a list", SECOND.replace('"uses":0', '"uses":0,"uses":0'), "/to/0/uses: ", "appears twice")
operation("extension twice", SECOND.replace('"id":1', '"id":1,"x-a":1,"x-a":1'), "/x-a: ", "appears twice")
operation("unknown key", SECOND.replace('"id":1', '"id":1,"colour":1'), "/colour: ", "is an unknown key")
operation("unknown kind", SECOND.replace("move", "moves"), "/op: ", "unknown kind of operation")
operation("no such tile", SECOND.replace('"t1"', '"t9"'), "/to/0/at: ", "does not exist")
operation("own tile", SECOND.replace('"t1"', '"t0"'), "/to/0/at: ", "is the tile that the data come from")
operation("other unit", SECOND.replace("t0.ni", "t1.ni"), "/at: ", "is not in the header")
operation("unit of another kind", SECOND.replace("t0.ni", "t0.m0"), "/at: ", "cannot be issued by")
operation("later operand", SECOND.replace('"in":[0]', '"in":[7]'), "/in/0: ", "is not before")
operation("bytes 2^63", SECOND.replace('"bytes":4', '"bytes":9223372036854775808'), "/bytes: ", "not a whole number")
operation("NaN", SECOND.replace('"bytes":4', '"bytes":NaN'), "/bytes: ", "is not a whole number")
operation("fan-in", SECOND.replace('"in":[0]', '"in":[' + "0," * 65535 + "0]"), "/in: ", "more than 65535")
operation("deep extension", SECOND.replace('"id":1', '"id":1,"x-a":' + nested(2_000_000, "[", "")), "",
          "not valid JSON")
operation("invalid UTF-8", SECOND.replace("move", "mo\udcffve"), "", "not valid JSON")
operation("operand of nobody", SECOND.replace('"in":[0]', '"in":[0],"after":[0,1]'), "/after/1: ", "is not before")
operation("over-read", '{"id":1,"op":"store","at":"t0.ni","bytes":4,"in":[0],"to":[{"at":"t1"}]}', "/to/0/at: ",
          "is not a memory port")

GZIPPED = gzip.compress(GOOD.encode(), mtime=0)


def flipped(data, position):
    return data[:position] + bytes([data[position] ^ 0xff]) + data[position + 1:]


def gz(name, content, where, said):
    trace("gzip " + name, content, where, said, "bad.trace.jsonl.gz")


gz("header only", GZIPPED[:10], ":1: ", "cut short")
gz("cut", GZIPPED[:-20], ":", "cut short")
gz("without its length", GZIPPED[:-4], ":", "cut short")
gz("wrong checksum", flipped(GZIPPED, -8), ":", "incorrect data check")
gz("wrong length", flipped(GZIPPED, -1), ":", "incorrect length check")
gz("wrong method", flipped(GZIPPED, 2), ":1: ", "unknown compression method")
gz("reserved flags", GZIPPED[:3] + b"\xe0" + GZIPPED[4:], ":1: ", "unknown header flags")
gz("damaged data", flipped(GZIPPED, 20), ":", "damaged")
gz("text behind", GZIPPED + b"more", ":", "something follows the compressed data")
gz("zeros behind", GZIPPED + bytes(512), ":", "something follows the compressed data")
gz("member of another trace", GZIPPED + GZIPPED, ":5: ", "something follows the last line")
gz("cut second member", gzip.compress(GOOD[:200].encode()) + gzip.compress(GOOD[200:].encode())[:-9], ":", "cut short")
gz("empty", gzip.compress(b""), ": ", "is empty")
gz("bomb of one line", gzip.compress(b"x" * (1 << 30), 1), ":1: ", "longer than 16 MiB")
gz("bomb of blanks", gzip.compress(json.dumps(HEADER).encode() + b"\n" + b" " * (1 << 29), 1), ":2: ",
   "longer than 16 MiB")
gz("bomb of lines", gzip.compress(json.dumps(HEADER).encode() + b"\n" + b'{"op":"x-a"}\n' * 30_000_000, 1),
   ":100002: /op: ", "are to be ignored")
gz("bomb of empty members", gzip.compress(b"") * 100_000, ": ", "is empty")
gz("bomb in a bomb", gzip.compress(gzip.compress(b"x" * (1 << 28))), ":1: ", "not valid JSON")

# ---- traces in HDF5 -------------------------------------------------------------------------------------------------

MADE = {}  # real files, made once by the program itself


def damaged(kind, damage):
    """A real file, changed by `damage(open file)`."""
    def make(path):
        path.write_bytes(MADE[kind])
        with h5py.File(path, "r+") as file:
            damage(file)
    return make


def raw(kind, change):
    return lambda path: path.write_bytes(change(MADE[kind]))


def replaced(name, **options):
    def damage(file):
        del file[name]
        if options:
            file.create_dataset(name, **options)
    return damage


def attribute(name, value, **options):
    def damage(file):
        del file.attrs[name]
        if value is not None:
            file.attrs.create(name, value, **options)
    return damage


def linked(name, link):
    def damage(file):
        del file[name]
        file[name] = link
    return damage


def rewritten(name, change):
    """The dataset's contents, changed as an array."""
    def damage(file):
        data = file[name][...]
        change(data)
        del file[name]
        file.create_dataset(name, data=data, dtype=data.dtype)
    return damage


def text_replaced(name, change):
    def damage(file):
        text = change(bytes(file[name][()]))
        del file[name]
        file.create_dataset(name, data=numpy.array(text, dtype=f"S{max(len(text), 1)}"))
    return damage


def external(name, count):
    def damage(file):
        dtype = file[name].dtype
        del file[name]
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_external(b"/etc/passwd", 0, count * dtype.itemsize)
        h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(dtype), h5py.h5s.create_simple((count,)), properties)
    return damage


def virtual(name):
    def damage(file):
        shape, dtype = file[name].shape, file[name].dtype
        del file[name]
        layout = h5py.VirtualLayout(shape=shape, dtype=dtype)
        layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=shape, dtype=dtype)
        file.create_virtual_dataset(name, layout)
    return damage


def late(name, shape, dtype, chunks):
    """A dataset that claims much and holds nothing."""
    def damage(file):
        del file[name]
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        if chunks:
            properties.set_chunk(chunks)
        else:
            properties.set_alloc_time(h5py.h5d.ALLOC_TIME_LATE)
        h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(numpy.dtype(dtype)), h5py.h5s.create_simple(shape),
                        properties)
    return damage


def first_row(member, value):
    def change(rows):
        rows[member][0] = value
    return rewritten("ops", change)


def trace_h5(name, content, where, said):
    case("trace.h5 " + name, ["trace", "check", "FILE"], "bad.trace.h5", content, where, said)


def hdf5(kind, add, datasets):
    """What can be wrong with any HDF5 file."""
    add("signature only", raw(kind, lambda data: data[:8]), ": ", "not a readable HDF5 file")
    add("half", raw(kind, lambda data: data[:len(data) // 2]), ": ", "not a readable HDF5 file")
    add("one byte short", raw(kind, lambda data: data[:-1]), ": ", "not a readable HDF5 file")
    add("superblock version", raw(kind, lambda data: flipped(data, 8)), ": ", "not a readable HDF5 file")
    add("superblock checksum", raw(kind, lambda data: flipped(data, 44)), ": ", "not a readable HDF5 file")
    add("zeros behind the signature", raw(kind, lambda data: data[:8] + bytes(len(data) - 8)), ": ",
        "not a readable HDF5 file")
    for name in datasets:
        add(f"without {name}", damaged(kind, replaced(name)), f": /{name}", "is missing")
        add(f"external link {name}", damaged(kind, linked(name, h5py.ExternalLink("/etc/passwd", "/x"))),
            f": /{name}: ", "")
        add(f"soft link {name}", damaged(kind, linked(name, h5py.SoftLink(f"/{name}"))), f": /{name}: ", "")
        add(f"group {name}", damaged(kind, lambda file, name=name: (file.pop(name), file.create_group(name))),
            f": /{name}: ", "")


hdf5("trace", trace_h5, ["header", "ops", "words"])
trace_h5("attribute missing", damaged("trace", attribute("format", None)), ": /: ", 'lacks the attribute "format"')
trace_h5("attribute as number", damaged("trace", attribute("format", 7)), ": /@format: ", "text of fixed length")
trace_h5("attribute of any length", damaged("trace", attribute("version", "1.0")), ": /@version: ",
         "text of fixed length")
trace_h5("attribute as list", damaged("trace", attribute("version", numpy.array([b"1.0"] * 3))), ": /@version: ",
         "not a single value")
trace_h5("other format", damaged("trace", attribute("format", numpy.bytes_("other"))), ": /format: ",
         'is not "tessera-trace"')
trace_h5("other version", damaged("trace", attribute("version", numpy.bytes_("2.0"))), ": /version: ",
         "version 2.0 is not known")
trace_h5("checksum", damaged("trace", attribute("crc32", numpy.bytes_("00000000"))), ": /crc32: ",
         "but the contents have")
trace_h5("checksum no hex", damaged("trace", attribute("crc32", numpy.bytes_("xyz"))), ": /crc32: ",
         "is not a checksum")
trace_h5("header no JSON", damaged("trace", text_replaced("header", lambda text: text[:-5])), ":/header:1: ",
         "not valid JSON")
trace_h5("header of any length", damaged("trace", replaced("header", data="{}")), ": /header: ",
         "does not hold plain")
trace_h5("header as list", damaged("trace", replaced("header", data=numpy.array([b"{}"] * 3))), ": /header: ",
         "not a single text")
trace_h5("header of 1 GiB", damaged("trace", late("header", (), "S1073741823", None)), ": /header: ", "holds at most")
trace_h5("functions no list", damaged("trace", text_replaced("functions", lambda text: b"{}")), ": /functions: ",
         "is not a list")
trace_h5("functions of numbers", damaged("trace", text_replaced("functions", lambda text: b"[7]")), ": /functions/0: ",
         "is not [name")
trace_h5("ops no records", damaged("trace", replaced("ops", data=numpy.zeros(14, "u8"))), ": /ops: ",
         "compound records")
trace_h5("ops of two dimensions", damaged("trace", replaced("ops", data=numpy.zeros((7, 2), "u8"))), ": /ops: ",
         "not a text or a list")
trace_h5("ops lack a member", damaged("trace", replaced("ops", data=numpy.zeros(14, [("id", "u8")]))), ": /ops: ",
         'lacks the member "bytes"')
trace_h5("ops of 2^60", damaged("trace", late("ops", (1 << 60,), [("id", "u8")], (1024,))), ": /ops: ", "holds at most")
trace_h5("words of 2^40", damaged("trace", late("words", (1 << 40,), "u8", None)), ": /words: ", "holds at most")
trace_h5("words as floats", damaged("trace", replaced("words", data=numpy.zeros(52, "f8"))), ": /words: ",
         "whole numbers")
trace_h5("huge chunks", damaged("trace", replaced("words", shape=(52,), maxshape=(None,), dtype="u8",
                                                  chunks=(1 << 24,))), ": /words: ", "has chunks of 16777216")
trace_h5("unknown filter", damaged("trace", replaced("words", data=numpy.zeros(52, "u8"), chunks=(52,),
                                                     compression="lzf")), ": /words: ", "compressed by filter 32000")
trace_h5("external storage", damaged("trace", external("words", 10)), ": /words: ", "in other files")
trace_h5("external storage of ops", damaged("trace", external("ops", 14)), ": /ops: ", "in other files")
trace_h5("virtual dataset", damaged("trace", virtual("words")), ": /words: ", "in other files")
trace_h5("too few words", damaged("trace", replaced("words", data=numpy.zeros(3, "u8"))), ": /units/",
         "more than /words holds")
trace_h5("units disagree", damaged("trace", rewritten("units", lambda rows: rows["operations"].__setitem__(0, 9))),
         ": /units/0/operations: ", "not the number in the header")
trace_h5("units' words overflow", damaged("trace", rewritten(
    "units", lambda rows: rows["words"].__setitem__(slice(None), (1 << 64) - 1))), ": /units/0/words: ",
         "more than /words holds")
trace_h5("row of no kind", damaged("trace", first_row("kind", 99)), ": /ops/0/op: ", "unknown kind")
trace_h5("row of no function", damaged("trace", first_row("function", 9999)), ": /ops/0/fn: ", "does not know")
trace_h5("row of many words", damaged("trace", first_row("in", 65535)), ": /ops/0", "claims more words")
trace_h5("row's flags", damaged("trace", first_row("flags", 255)), ": /ops/0", "")
trace_h5("row's id", damaged("trace", first_row("id", (1 << 64) - 1)), ":", "")
trace_h5("row's bits", damaged("trace", first_row("bits", 200)), ": /ops/0/bits: ", "is 200")

# ---- results --------------------------------------------------------------------------------------------------------


def result(name, content, where, said):
    case("result " + name, ["inspect", "FILE"], "activity.h5", content, where, said)


hdf5("result", result, ["ops", "units", "intervals"])
result("text", "{}", ": ", "not a readable HDF5 file")
result("trace instead", raw("trace", lambda data: data), ": /@", "")
result("other format", damaged("result", attribute("format", numpy.bytes_("other"))), ": /@format: ",
       'is not "tessera-activity"')
result("other version", damaged("result", attribute("format_version", numpy.uint64(99))), ": /@format_version: ",
       "is 99")
result("attribute as text", damaged("result", attribute("makespan_ps", numpy.bytes_("long"))), ": /@makespan_ps: ",
       "wrong type")
result("attribute as list", damaged("result", attribute("events", numpy.zeros(5, "u8"))), ": /@events: ",
       "not a single value")
result("NaN", damaged("result", attribute("utilization", float("nan"))), ": /@utilization: ", "not a number")
result("unknown level", damaged("result", attribute("level", numpy.bytes_("all"))), ": /@level: ", "is unknown")
result("clock of zero", damaged("result", lambda file: file["meta"].attrs.__setitem__(
    "reference_clock.denominator", numpy.uint64(0))), ": /meta@", "")
result("ops of 2^60", damaged("result", late("ops", (1 << 60,), [("id", "u8")], (1024,))), ": /ops: ",
       "holds at most")
result("ops no records", damaged("result", replaced("ops", data=numpy.zeros(5, "u8"))), ": /ops: ",
       "compound records")
result("ops lack a member", damaged("result", replaced("ops", data=numpy.zeros(5, [("id", "u8")]))), ": /ops: ",
       "has no member")
result("unknown kind", damaged("result", rewritten("ops", lambda rows: rows["kind"].__setitem__(0, 99))), ": /ops[0]: ",
       "kind 99 is unknown")
result("unit out of range", damaged("result", rewritten("ops", lambda rows: rows["unit"].__setitem__(0, 1 << 31))),
       ": /ops[0]: ", "there is no unit")
result("ends before it starts", damaged("result", rewritten("ops", lambda rows: rows["end"].__setitem__(0, 0))),
       ": /ops[0]: ", "contradict each other")
result("because of itself", damaged("result", rewritten(
    "ops", lambda rows: rows["because"].__setitem__(slice(None), rows["id"]))), ": /ops: ",
       "each other's cause")
result("external storage", damaged("result", external("ops", 14)), ": /ops: ", "")

# ---- what is no file ------------------------------------------------------------------------------------------------


def folder(path):
    path.mkdir()


def fifo(path):
    os.mkfifo(path)


def unix_socket(path):
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.close()


def link_to(target):
    return lambda path: path.symlink_to(target)


def link_to_fifo(path):
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


for command, file in [(["config", "check", "FILE"], "chip.json"), (["network", "show", "FILE"], "net.json"),
                      (["trace", "check", "FILE"], "a.trace.jsonl"), (["trace", "check", "FILE"], "a.trace.h5"),
                      (["run", "--trace", "FILE", "--chip", "tiny"], "a.trace.jsonl"),
                      (["inspect", "FILE"], "activity.h5"), (["h5", "check", "FILE"], "activity.h5")]:
    for kind, make, said in [("folder", folder, "is a folder"), ("FIFO", fifo, "pipe"),
                             ("FIFO behind a link", link_to_fifo, "pipe"), ("socket", unix_socket, "device or socket"),
                             ("zeros for ever", link_to("/dev/zero"), "device or socket")]:
        if kind != "folder" or file != "activity.h5":  # folders of results are named by themselves
            case(f"{kind} for {command[0]} {file}", command, file, make, ": ", said)

case("run: chip", ["run", "--network", "lenet5", "--chip", "FILE"], "chip.json", "{", ":1: ", "not valid JSON")
case("run: network", ["run", "--network", "FILE", "--chip", "tiny"], "net.json", "{", ":1: ", "not valid JSON")
case("run: trace", ["run", "--trace", "FILE", "--chip", "tiny", "--set", "tiles.rows=1", "--level", "off"],
     "a.trace.jsonl", GOOD[:-30], ":4: ", "ends within")
# Only the run meets these; they name the file all the same.
ON_TINY = ["run", "--trace", "FILE", "--chip", "tiny", "--level", "off"]
case("run: trace of another chip", ON_TINY, "other.trace.jsonl", GOOD, ":1: ", "the chip has")
case("run: trace read too often", [*ON_TINY, "--set", "tiles.rows=1"], "often.trace.jsonl",
     sealed(HEADER, FIRST.replace(',"uses":1', ',"uses":0'), SECOND), ": operation 1: ", "is read more often")
case("compile: network", ["compile", "--network", "FILE", "--chip", "tiny", "-o", "out.trace.jsonl"], "net.json", "{",
     ":1: ", "not valid JSON")
case("convert: trace", ["trace", "convert", "FILE", "out.trace.h5"], "a.trace.jsonl", GOOD[:-30], ":4: ", "ends within")
case("convert: bad checksum", ["trace", "convert", "FILE", "out.trace.h5"], "a.trace.jsonl", sealed(
    HEADER, FIRST, SECOND).replace('"bytes":4,"uses"', '"bytes":6,"uses"', 1), ":4: /crc32: ", "but the lines before")
case("stats: trace", ["trace", "stats", "FILE"], "a.trace.jsonl", GOOD[:-30], ":4: ", "ends within")


# ---- running them ---------------------------------------------------------------------------------------------------

def limits():
    if not SANITIZED:
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(arguments, folder, limited=True):
    return subprocess.run([TESSERA, *arguments], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=WALL_SECONDS, preexec_fn=limits if limited else None)


def make_real_files(folder):
    trace_file = SOURCE / "traces" / "fork-join.trace.jsonl"
    run(["trace", "convert", str(trace_file), "real.trace.h5"], folder, False).check_returncode()
    chain_file = SOURCE / "traces" / "two-layer-chain.trace.jsonl"
    run(["run", "--trace", str(chain_file), "--chip", "tiny", "--level", "stage", "-q", "-o", "real"], folder,
        False).check_returncode()
    MADE["trace"] = (Path(folder) / "real.trace.h5").read_bytes()
    MADE["result"] = (Path(folder) / "real" / "activity.h5").read_bytes()


def contents(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))


def problems(command, file, content, where, said):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "in" / (file or "none")
        path.parent.mkdir()
        if callable(content):
            content(path)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            path.write_text(content)
        before = contents(folder)
        arguments = [f"in/{file}" if word == "FILE" else word for word in command]
        try:
            done = run([os.fsencode(word) for word in arguments], folder)
        except subprocess.TimeoutExpired:
            return ["hangs"]
        found = []
        if done.returncode < 0:
            return [f"killed by {signal.Signals(-done.returncode).name}"]
        if done.returncode != 3:
            found.append(f"exit code {done.returncode}")
        message = done.stderr.decode("utf-8")  # whatever the input was
        if where is None:
            start = "tessera: in/"
        elif file is None:
            start = "tessera: " + (where if len(where) < 2000 else where[:2000])
        else:
            start = f"tessera: in/{file}{where}"
        start = re.sub("[\udc80-\udcff]", lambda byte: f"\\x{ord(byte[0]) - 0xDC00:02x}", start)
        if not message.startswith(start):
            found.append(f"does not begin with {start!r}")
        if said not in message[len(start):]:
            found.append(f"does not say {said!r}")
        if not re.fullmatch(r"[^\x00-\x1f\x7f]+; [^\x00-\x1f\x7f]+\n", message) or len(message) > 10_000:
            found.append("is not one line of a problem and its remedy")
        if found:
            found.append(repr(message[:400] + (" ... " + message[-200:] if len(message) > 600 else "")))
        if done.stdout:
            found.append(f"stdout: {done.stdout[:200]!r}")
        left = [name for name in contents(folder) if name not in before]
        # A run that had begun leaves a note that it failed, and nothing that looks like a result.
        note = Path(folder) / "tessera-out" / "run.json"
        if note.exists() and json.loads(note.read_text())["status"] == "failed":
            left = [name for name in left if name not in NOTES_OF_A_FAILED_RUN]
        if left:
            found.append(f"left behind: {left}")
        return found


def main():
    chosen = [entry for entry in CASES if len(sys.argv) == 1 or any(word in entry[0] for word in sys.argv[1:])]
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        make_real_files(folder)
        # What the cases are made from is itself accepted: else they would prove nothing.
        (Path(folder) / "good.trace.jsonl").write_text(sealed(HEADER, FIRST, SECOND))
        run(["trace", "check", "good.trace.jsonl"], folder).check_returncode()
        run(["inspect", "real"], folder).check_returncode()
    for name, *entry in chosen:
        found = problems(*entry)
        if found:
            failures += 1
            print(f"{name}: " + "; ".join(found))
    names = [entry[0] for entry in CASES]
    for name in sorted({name for name in names if names.count(name) > 1}):
        failures += 1
        print(f"two cases are called {name}")
    print(f"{len(chosen) - failures} of {len(chosen)} malformed inputs refused as they should be")
    return 1 if failures or len(CASES) < LEAST_CASES else 0


if __name__ == "__main__":
    sys.exit(main())
