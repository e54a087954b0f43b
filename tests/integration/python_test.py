#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Python module against NumPy and against itself: exact where nothing is lost, the same bits for the same chip in
every batch, type and layout of arrays, on threads, and pickled; wires as the circuit's equations say, solved here; what
cannot be is a tessera.Error that says what to do. Without the compiled part, the package says so when it is needed."""
import copy
import json
import os
import pathlib
import pickle
import shutil
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor

if not os.environ["TESSERA_PYTHON"]:
    print("built without the Python module")
    sys.exit(77)
sys.path.insert(0, os.environ["TESSERA_PYTHON"])

import numpy as np

import tessera

RNG = np.random.default_rng(1)
WEIGHTS = RNG.integers(-128, 128, (300, 70))
INPUTS = RNG.integers(0, 256, (24, 300))
EXACT = INPUTS @ WEIGHTS
GENERIC = ["macro.adc.range=full", "macro.cell.device=generic", "macro.rows=128", "macro.columns=64"]


def refusal(work):
    try:
        work()
    except tessera.Error as error:
        return f"{type(error).__name__} {error.exit_code}: {error}"
    return "accepted"


def check_products():
    chip = tessera.Chip("clsa-256", set=GENERIC)
    assert (chip.weight_bits, chip.input_bits) == (8, 8)
    lossless = chip.lossless().program(WEIGHTS)
    assert lossless.shape == WEIGHTS.shape
    sums = lossless(INPUTS)
    assert sums.dtype == np.int64 and (sums == EXACT).all()

    signed = chip.lossless().program(WEIGHTS, inputs=(-128, 127))
    assert (signed(INPUTS - 128) == (INPUTS - 128) @ WEIGHTS).all()
    aidac = tessera.Chip("aidac")
    assert (aidac.lossless().program(WEIGHTS)(INPUTS) == EXACT).all()
    assert "mismatch" in aidac.sources()

    finite = chip.noiseless().program(WEIGHTS)(INPUTS)
    assert (finite != EXACT).any() and (finite == chip.noiseless().program(WEIGHTS, seed=2)(INPUTS)).all()


def check_noise():
    chip = tessera.Chip("clsa-256", set=GENERIC)
    layer = chip.program(WEIGHTS, seed=5)
    whole = layer(INPUTS)
    assert (layer(INPUTS) == whole).all()
    assert (chip.program(WEIGHTS, seed=5)(INPUTS) == whole).all()
    assert (chip.program(WEIGHTS, seed=6)(INPUTS) != whole).any()
    assert (layer(INPUTS, image=1) != whole).any()

    white = chip.only("read noise").program(WEIGHTS)
    whole = white(INPUTS)
    parts = [white(INPUTS[first:first + 5], first=first) for first in range(0, len(INPUTS), 5)]
    assert (np.vstack(parts) == whole).all(), "a vector's noise depends on its number alone"
    for other in (INPUTS.astype(np.uint8), INPUTS.astype(np.int16), np.asfortranarray(INPUTS),
                  np.repeat(INPUTS, 2, axis=1)[:, ::2]):
        assert (white(other) == whole).all(), (other.dtype, other.strides)
    with ThreadPoolExecutor(4) as pool:
        assert all((sums == whole).all() for sums in pool.map(lambda _: white(INPUTS), range(8)))
    assert threading.active_count() == 1

    # Its standard deviation follows from the conductances, 2 % of each, of cells of 2 bits in pairs.
    fine = tessera.Chip("clsa-256", set=[*GENERIC, "macro.adc.bits=16"]).only("read noise").program(WEIGHTS)
    seen = fine(np.repeat(INPUTS[:1], 2000, axis=0)).std(axis=0)
    step = (100 - 1) / 3
    variance = np.zeros(WEIGHTS.shape)
    for side in (WEIGHTS, -WEIGHTS):
        for digit in range(4):
            level = (np.maximum(side, 0) >> 2 * digit) & 3
            variance += 16.0 ** digit * (0.02 * (1 + level * step) / step) ** 2
    driven = sum(4.0 ** bit * ((INPUTS[0] >> bit) & 1) for bit in range(8))
    expected = np.sqrt(driven @ variance)
    assert (abs(seen / expected - 1) < 5 / np.sqrt(2 * 2000)).all(), seen / expected


def check_calibration():
    few = [*GENERIC, "macro.adc.bits=6"]
    weights, inputs = WEIGHTS // 8, INPUTS // 4
    errors = {}
    for ranges in ("full", "calibrated"):
        chip = tessera.Chip("clsa-256", set=[*few, "macro.adc.range=" + ranges]).noiseless()
        layer = chip.program(weights, calibrate=inputs[:8] if ranges == "calibrated" else None)
        errors[ranges] = np.std(layer(inputs[8:]) - inputs[8:] @ weights)
    assert errors["calibrated"] < 0.7 * errors["full"], errors
    aidac = tessera.Chip("aidac")
    built, fitted = (np.std(aidac.program(weights, calibrate=few)(inputs[8:]) - inputs[8:] @ weights)
                     for few in (None, inputs[:8]))
    assert fitted < 0.7 * built, (built, fitted)
    refused = refusal(lambda: tessera.Chip("clsa-256", set=["macro.adc.range=calibrated"]).program(WEIGHTS))
    assert "calibrate=inputs" in refused, refused


def amperes(siemens, driven, read, ohm):
    """Currents of an array's columns per volt, by its nodal equations. Every segment of wire has `ohm` ohms."""
    rows, columns = siemens.shape
    cell = np.arange(rows * columns).reshape(rows, columns)
    nodes = 2 * rows * columns
    upper, lower = cell, cell + rows * columns  # a row's wire, or a column's driven line; a column's sensed line
    matrix, right = np.zeros((nodes, nodes)), np.zeros(nodes)

    def join(one, other, conductance):
        one, other = one.ravel(), other.ravel()
        for a, b in ((one, other), (other, one)):
            np.add.at(matrix, (a, a), conductance)
            np.add.at(matrix, (a, b), -conductance)

    gated = read == "gated-1t1r"
    join(upper, lower, (siemens * driven[:, None] if gated else siemens).ravel())
    join(lower[:-1], lower[1:], 1 / ohm)
    join(*((upper[:-1], upper[1:]) if gated else (upper[:, :-1], upper[:, 1:])), 1 / ohm)
    volts = np.ones(columns) if gated else driven
    sources = upper[0] if gated else upper[:, 0]
    connected = np.ones(len(sources)) if read != "row-voltage-floating" else driven != 0
    matrix[sources, sources] += connected / ohm
    right[sources] += connected * volts / ohm
    matrix[lower[-1], lower[-1]] += 1 / ohm
    return np.linalg.solve(matrix, right)[lower[-1]] / ohm


def check_reference_columns():
    """Offset weights: every macro's array has the reference column that its codes are lessened by, beside
    macro.columns of weights, whether they fill it or not."""
    rows, wide, ohm, off, on = 8, 6, 40.0, 5, 95
    step = (on - off) / 3
    read_names = ("row-voltage", "row-voltage-floating", "gated-1t1r")
    compared = unlike_exact = 0
    with tempfile.TemporaryDirectory() as folder:
        device = os.path.join(folder, "plain.json")
        with open(device, "w") as file:
            json.dump({"format": "tessera-device", "version": "1.0", "name": "plain", "conductance":
                       {"off_uS": off, "on_uS": on, "bits": 4, "source": "test", "status": "assumed"}}, file)
        for read in read_names:
            chip = tessera.Chip("clsa-256", set=[
                f"macro.rows={rows}", f"macro.columns={wide}", "macro.weight_bits=4", "macro.input_bits=2",
                "macro.cell.signs=offset", "macro.cell.device=" + device, "macro.cell.read=" + read,
                f"macro.cell.row_ohm={ohm}", f"macro.cell.column_ohm={ohm}"])
            for columns in (wide - 1, wide, wide + 1, 2 * wide):
                weights = RNG.integers(-8, 8, (rows + 5, columns))
                inputs = RNG.integers(0, 4, (2, rows + 5))
                found = chip.program(weights, inputs=(0, 3))(inputs)
                expected = np.zeros_like(found)
                clear = np.ones(found.shape, bool)
                for top in (0, rows):
                    for left in range(0, columns, wide):
                        held = weights[top:top + rows, left:left + wide] + 8
                        levels = np.concatenate([np.stack([held & 3, held >> 2], 2).reshape(len(held), -1),
                                                 np.full((len(held), 1), 2)], 1)
                        for vector, values in enumerate(inputs[:, top:top + rows]):
                            for bit in range(2):
                                driven = (values >> bit & 1).astype(float)
                                current = amperes((off + levels * step) * 1e-6, driven, read, ohm) * 1e6
                                sums = (current - off * driven.sum()) / step
                                clear[vector, left:left + wide] &= (abs(sums % 1 - 0.5) > 2e-3).all()
                                code = np.rint(sums).astype(int)
                                expected[vector, left:left + wide] += \
                                    (code[:-1:2] + 4 * code[1:-1:2] - 4 * code[-1]) << bit
                assert (found == expected)[clear].all(), (read, columns, found, expected)
                compared += clear.sum()
                unlike_exact += (found != inputs @ weights).sum()
    assert compared > 100 and unlike_exact > 50, (compared, unlike_exact)


class Unlike:
    """Nothing that any argument could be."""
    def __repr__(self):
        return "Unlike()"


def check_refusals():
    chip = tessera.Chip("clsa-256")
    layer = chip.program(WEIGHTS)
    most = 2**32 - 1
    for work, words in ((lambda: chip.program(WEIGHTS * 1.0), "UsageError 2: weights are of type float64; give whole"),
                        (lambda: chip.program(WEIGHTS > 0), "weights are of type bool"),
                        (lambda: chip.program(WEIGHTS[0]), "weights must be a matrix"),
                        (lambda: chip.program([[1, 2], [3]]), "weights are no array"),
                        (lambda: chip.program(np.zeros((0, 3), int)), "weights must be a matrix that is not empty"),
                        (lambda: chip.program(WEIGHTS * 2), "InputError 3: "),
                        (lambda: chip.program(WEIGHTS * 2**40), "which 32 bits cannot hold"),
                        (lambda: chip.program(WEIGHTS.astype(np.uint64)), "which 32 bits cannot hold"),
                        (lambda: chip.program(WEIGHTS, inputs=(0, 300)), "raise macro.input_bits"),
                        (lambda: chip.program(WEIGHTS, inputs=(5, 3)), "inputs is (5, 3); give the least first"),
                        (lambda: chip.program(WEIGHTS, inputs=(0, 2**31)), f"to {2**31 - 1}"),
                        (lambda: chip.program(WEIGHTS, inputs=(0, 1.5)), "inputs[1] is 1.5; give a whole number"),
                        (lambda: chip.program(WEIGHTS, inputs=7), "give the least and the greatest"),
                        (lambda: chip.program(WEIGHTS, seed=-1), "seed is -1; give a whole number from 0"),
                        (lambda: chip.program(WEIGHTS, seed=2**64), f"from 0 to {2**64 - 1}"),
                        (lambda: chip.program(WEIGHTS, calibrate=INPUTS[:, :3]), "a value per row of weights"),
                        (lambda: chip.program(WEIGHTS, calibrate=INPUTS * 0.5), "calibrate are of type float64"),
                        (lambda: chip.program(), "missing a required argument: 'weights'"),
                        (lambda: chip.program(WEIGHTS, noise=3), "unexpected keyword argument 'noise'"),
                        (lambda: layer(INPUTS - 1), "inputs are beyond 0..255"),
                        (lambda: layer(INPUTS[:, :5]), "inputs have 5 values for 300 rows of weights"),
                        (lambda: layer(INPUTS.astype(complex)), "give whole numbers"),
                        (lambda: layer(INPUTS, image=most + 1), f"image is {most + 1}; give a whole number from 0 to {most}"),
                        (lambda: layer(INPUTS, first=most - len(INPUTS) + 2), "first is"),
                        (lambda: layer(INPUTS, "0"), "image is '0'; give a whole number"),
                        (lambda: chip.only("noise"), "UsageError 2: the chip has no source of errors 'noise'"),
                        (lambda: chip.only(3), "source is of type int; give a text"),
                        (tessera.Programmed, "made by Chip.program()"),
                        (lambda: tessera.Chip("clsa-265"), 'did you mean "clsa-256"'),
                        (lambda: tessera.Chip("clsa-\ud800"), "which UTF-8 cannot hold"),
                        (lambda: tessera.Chip("/nonexistent.json"), "/nonexistent.json"),
                        (lambda: tessera.Chip("clsa-256", set="noc.vcs=2"), "set is one text; give a list"),
                        (lambda: tessera.Chip("clsa-256", set=[2]), "set[0] is of type int; give a text"),
                        (lambda: tessera.Chip("clsa-256", set=["noc.vcs"]), "UsageError 2: "),
                        (lambda: tessera.Chip("clsa-256", set=["macro.cells.bits=1"]), "did you mean")):
        refused = refusal(work)
        assert words in refused, f"{words}: {refused}"
    # Whatever is given for whatever argument.
    calls = [(tessera.Chip, ["clsa-256", []]), (chip.only, ["read noise"]), (layer, [INPUTS, 0, 0]),
             (chip.program, [WEIGHTS, (0, 255), 1, None])]
    for call, arguments in calls:
        for place in range(len(arguments)):
            for wrong in (Unlike(), b"\xff", -1, 2**70, float("nan"), {}, [Unlike()], [[Unlike()]], "a\0b", object):
                refused = refusal(lambda: call(*arguments[:place], wrong, *arguments[place + 1:]))
                harmless = call is tessera.Chip and place == 1 and wrong == {}  # no keys
                assert (refused == "accepted") == harmless, (call, place, wrong, refused)
        refused = refusal(lambda: call(*arguments, 1))
        assert "UsageError 2: " in refused, (call, refused)
    usual = (ValueError, TypeError)
    assert all(issubclass(tessera.UsageError, error) for error in usual) and issubclass(tessera.IoError, OSError)
    again = pickle.loads(pickle.dumps(tessera.IoError("gone")))
    assert (type(again), str(again), again.exit_code) == (tessera.IoError, "gone", 5)


def check_pickles():
    """Here, and in a process of its own: what comes back multiplies to the same bits."""
    ranges = [*GENERIC, "macro.adc.range=calibrated"]
    chips = [tessera.Chip("clsa-256", set=GENERIC), tessera.Chip("clsa-256", set=ranges).only("read noise"),
             tessera.Chip("aidac").only("mismatch"), tessera.Chip("clsa-256", set=GENERIC).noiseless().lossless()]
    layers = [chip.program(WEIGHTS // 2, inputs=(0, 255), seed=9, calibrate=INPUTS[:4]) for chip in chips]
    assert all(copy.deepcopy(layer) is layer for layer in layers)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "pickled")
        with open(path, "wb") as file:
            pickle.dump((INPUTS, chips, layers), file)
        code = (f"import pickle, sys; inputs, chips, layers = pickle.load(open({path!r}, 'rb'))\n"
                f"pickle.dump([(chip.sources(), repr(chip), layer.shape, layer(inputs, image=2)) for chip, layer in "
                f"zip(chips, layers)], open({path!r} + '.out', 'wb'))")
        subprocess.run([sys.executable, "-c", code], check=True, timeout=120, cwd="/",
                       env={**os.environ, "PYTHONPATH": os.environ["TESSERA_PYTHON"]})
        with open(path + ".out", "rb") as file:
            for (sources, shown, shape, sums), chip, layer in zip(pickle.load(file), chips, layers):
                assert (sources, shown, shape) == (chip.sources(), repr(chip), layer.shape)
                assert (sums == layer(INPUTS, image=2)).all(), chip
        # What the pickle has not with it must be there, and the same.
        device = pathlib.Path(folder, "device.json")
        model = json.loads(pathlib.Path(tessera.data_directory(), "models/devices/generic.json").read_text())
        device.write_text(json.dumps(model))
        pickled = pickle.dumps(tessera.Chip("clsa-256", set=[f"macro.cell.device={device}"]))
        assert pickle.loads(pickled).weight_bits == 8
        device.write_text(json.dumps({**model, "name": "another"}))
        refused = refusal(lambda: pickle.loads(pickled))
        assert refused.startswith(f"InputError 3: {device}: not what the pickled chip clsa-256 was made with"), refused
        device.unlink()
        refused = refusal(lambda: pickle.loads(pickled))
        assert str(device) in refused, refused


def check_without_extension():
    """Copied from where nothing was compiled, the package can be imported; what is compiled is asked for in vain."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(os.path.join(os.environ["TESSERA_SOURCE_DIR"], "src/python/tessera"),
                        os.path.join(folder, "tessera"))
        code = ("import tessera\nassert tessera.UsageError('x').exit_code == 2 and 'Chip' in dir(tessera)\n"
                "try:\n    tessera.nonsense\nexcept AttributeError as error:\n    print(error)\n"
                "try:\n    tessera.Chip\nexcept ImportError as error:\n    print(error)\n"
                "from tessera import Error\nfrom tessera import Programmed")
        said = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, cwd="/", timeout=60,
                              env={**os.environ, "PYTHONPATH": folder})
        assert "has no attribute 'nonsense'" in said.stdout and "pybind11-dev" in said.stdout, said
        assert said.returncode == 1 and "ImportError: tessera is here without its compiled part" in said.stderr, said


if __name__ == "__main__":
    check_products()
    check_noise()
    check_calibration()
    check_reference_columns()
    check_refusals()
    check_pickles()
    check_without_extension()
