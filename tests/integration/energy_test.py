# SPDX-License-Identifier: Apache-2.0
"""Energy of runs on AiDAC chips: by component, as many products as vectors entered a macro, each of what `reproduce`
says of one product; the same with values and under both kernels; nothing for other macros."""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

TESSERA = os.environ["TESSERA"]
SOURCE = Path(os.environ["TESSERA_SOURCE_DIR"])
IMAGES = SOURCE / "tests/oracle/fashion-200-images-idx3-ubyte.gz"


def tessera(*arguments):
    done = subprocess.run([TESSERA, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done.stdout


def figures(folder, network, *arguments, chip="aidac"):
    return json.loads(tessera("run", "--network", network, "--chip", chip, "-o", folder, "--force", "--json", *arguments))


def main():
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        terms = json.loads(tessera("reproduce", "aidac", "--json"))["energy"]
        of_product = {term["component"]: term["pJ a product"] for term in terms}
        plain = figures(folder / "plain", "lenet5")
        total = plain["energy_aj"].pop("total")
        assert total == sum(plain["energy_aj"].values()), plain["energy_aj"]
        assert list(plain["energy_aj"]) == list(of_product), plain["energy_aj"]
        for component, attojoules in plain["energy_aj"].items():
            expected = plain["mvm_vectors"] * of_product[component] * 1e6
            assert abs(attojoules / expected - 1) < 1e-6, (component, attojoules, expected)

        written = json.loads((folder / "plain/stats.json").read_text())["chip"]["energy"]
        plain["energy_aj"]["total"] = total
        assert {name: its["value"] for name, its in written.items()} == plain["energy_aj"], written
        assert all(its["unit"] == "aJ" for its in written.values())

        native = figures(folder / "native", "lenet5", "--kernel", "native", "--shuffle", 7)
        assert native["energy_aj"] == plain["energy_aj"]
        twice = figures(folder / "twice", "lenet5", "--images", 2)
        assert twice["energy_aj"] == {name: 2 * energy for name, energy in plain["energy_aj"].items()}
        half = figures(folder / "half", "lenet5", "--until", f"{plain['makespan_ps'] // 2}ps")
        for component, attojoules in half["energy_aj"].items():
            assert 0 < attojoules < plain["energy_aj"][component], component
        wide = figures(folder / "wide", "lenet5", "--set", "macro.aidac.signs=paired")
        assert wide["energy_aj"]["capacitors"] == 2 * plain["energy_aj"]["capacitors"], "pairs take twice the cells"
        assert wide["energy_aj"]["time_to_digital"] == plain["energy_aj"]["time_to_digital"]

        # Vectors that pass copies inside a crossbar together are one product.
        inside = figures(folder / "inside", "lenet5", "--replicate-in-crossbar")
        assert inside["mvm_vectors"] == plain["mvm_vectors"]
        assert inside["energy_aj"]["capacitors"] < plain["energy_aj"]["capacitors"]

        if os.environ["TESSERA_HAS_ONNX"] == "ON":
            without = figures(folder / "without", "lenet5-fashion")
            values = figures(folder / "with", "lenet5-fashion", "--values", IMAGES)
            assert values["values"] and values["energy_aj"] == without["energy_aj"]
        assert "energy_aj" not in figures(folder / "adc", "lenet5", chip="clsa-256")
        assert "energy" not in json.loads((folder / "adc/stats.json").read_text())["chip"]
    return 0


if __name__ == "__main__":
    sys.exit(main())
