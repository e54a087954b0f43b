# SPDX-License-Identifier: Apache-2.0
"""Keys of chips and what they do to every command: converters, cells that are written, dumps that are read again, what
`config check` refuses and runs refuse, and where the shipped chips are looked for."""
import json
import os
import random
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

TESSERA = Path(os.environ["TESSERA"])
SOURCE = Path(os.environ["TESSERA_SOURCE_DIR"])
IMAGES = SOURCE / "tests/oracle/fashion-200-images-idx3-ubyte.gz"
HAS_ONNX = os.environ.get("TESSERA_HAS_ONNX", "ON") == "ON"

# Chip and settings; what they lack or contradict, or nothing.
ODD = [
    ("aidac", ["macro.t_mvm=100 ns"], "macro.t_mvm"),
    ("aidac", ["macro.weight_bits=30"], "weight_bits"),
    ("aidac", ["macro.aidac.model=nowhere"], "nowhere"),
    ("aidac", ["macro.rows=512", "macro.columns=64"], None),
    ("aidac", ["macro.adc.bits=4"], "macro.kind is aidac"),
    ("aidac", ["macro.cell.device=generic"], "macro.kind is aidac"),
    ("clsa-256", ["macro.kind=aidac"], "macro.t_mvm"),
    ("clsa-256", ["macro.aidac.signs=paired"], "macro.kind is adc"),
    ("clsa-256", ["macro.cell.device=nowhere"], "nowhere"),
    ("clsa-256", ["macro.cell.device=generic", 'macro.cell.steps=["verify"]'], "steps"),
    ("clsa-256", ["macro.weight_bits=30"], None),  # times need no values
    ("clsa-256", ["macro.adc.range=lossless", "macro.adc.bits=8"], "macro.adc.range"),
    ("clsa-256", ["macro.adc.count=7"], "macro.t_mvm"),
    ("clsa-256", ["macro.cells_per_weight=2"], "macro.t_mvm"),
    ("clsa-256", ["noc.latency=1 ns"], "noc.kind"),
    ("clsa-256", ["digital.step_bits=2"], "digital.tile_columns"),
    ("isaac-ce", ["macro.adc.count=7"], None),
]
# For random chips: nothing that decides whether a network fits.
SOME = ["macro.kind=aidac", "macro.kind=adc", "macro.t_mvm=1 us", "macro.t_mvm=null", "macro.dac.bits=2",
        "macro.adc.bits=4", "macro.adc.range=granular", "macro.adc.range=lossless", "macro.adc.offset=0.5",
        "macro.adc.circuit=sar", "macro.adc.mismatch=0.01", "macro.cell.bits=4", "macro.cell.device=generic",
        "macro.cell.device=none", "macro.cell.row_ohm=1", "macro.cell.age=10", "macro.weight_bits=9",
        "macro.input_bits=10", "macro.aidac.model=yoco-28nm", "macro.aidac.signs=paired", "macro.sample_hold.present=false",
        "macro.cell.signed_inputs=twos-complement", "noc.kind=ideal", "noc.vcs=2", "noc.bytes_per_cycle=8",
        "memory.channels=unlimited", "memory.latency=1 ns", "vector.lanes=unlimited", "vector.startup=1 ns"]


def tessera(*arguments, program=TESSERA, **environment):
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=300,
                          env={**os.environ, **environment})


def settings(all_of_them):
    return [word for one in all_of_them for word in ("--set", one)]


class ChipKeys(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)

    def succeed(self, *arguments, **options):
        done = tessera(*arguments, **options)
        self.assertEqual(done.returncode, 0, f"{arguments}: {done.stderr}")
        return done

    def refused(self, chip, given):
        """What `config check` refuses, which is what the others refuse, word for word; or nothing."""
        chip_and_settings = ["--chip", chip, *settings(given)]
        check = tessera("config", "check", chip, *settings(given))
        run = tessera("run", "--network", "lenet5", *chip_and_settings, "-o", self.folder / "out", "--force", "-q",
                      "--level", "off")
        explained = tessera("compile", "--network", "lenet5", *chip_and_settings, "--explain")
        self.assertIn(check.returncode, (0, 3), check.stderr)
        for done in (run, explained):
            self.assertEqual((done.returncode, done.stderr), (check.returncode, check.stderr), (chip, given))
        if HAS_ONNX and check.returncode != 0:
            accuracy = tessera("accuracy", "--network", "lenet5-fashion", "--dataset", IMAGES, *chip_and_settings)
            self.assertEqual((accuracy.returncode, accuracy.stderr), (3, check.stderr), (chip, given))
        return check.stderr

    def test_what_check_refuses_is_what_runs_refuse(self):
        for chip, given, why in ODD:
            with self.subTest(chip=chip, given=given):
                refusal = self.refused(chip, given)
                self.assertIn(why or "", refusal)
                self.assertEqual(refusal == "", why is None, refusal)

    def test_the_same_for_random_settings(self):
        dice = random.Random(17)
        refusals = [self.refused(dice.choice(["aidac", "clsa-256", "isaac-ce"]), dice.sample(SOME, dice.randint(1, 2)))
                    for _ in range(25)]
        self.assertTrue(5 < sum(refusal != "" for refusal in refusals) < 20, refusals)

    def test_bits_count(self):
        """Converters of one bit give other numbers than those which lose nothing."""
        if not HAS_ONNX:
            self.skipTest("built without ONNX")

        def different(*given):
            done = self.succeed("run", "--network", "lenet5-fashion", "--chip", "clsa-256", *settings(given), "--values",
                                IMAGES, "--errors", "noiseless", "-o", self.folder / "out", "--force", "--json")
            return sum(layer["different"] for layer in json.loads(done.stdout)["values"])

        self.assertEqual(different(), 0)
        self.assertGreater(different("macro.adc.bits=1"), 1000)
        self.assertGreater(different("macro.adc.offset=2"), 100)

    def test_dumps_are_read_again(self):
        for chip, given in [("clsa-256", ["macro.adc.bits=5"]), ("tiny", ["macro.adc.gain=1.1", "macro.t_mvm=1 us"]),
                            ("aidac", []), ("clsa-256-hybrid", ["digital.tile_columns=0"])]:
            dump = self.succeed("config", "show", chip, *settings(given)).stdout
            path = self.folder / "dump.json"
            path.write_text(dump)
            again = self.succeed("config", "show", path)
            self.assertEqual((again.stdout, again.stderr), (dump, ""))

    def test_dumps_of_earlier_versions(self):
        plain = self.succeed("config", "show", "clsa-256").stdout
        dump = json.loads(plain)
        self.assertIsNone(dump["macro"]["adc"]["bits"])
        dump["macro"]["adc"]["bits"] = 8
        path = self.folder / "old.json"
        path.write_text(json.dumps(dump))
        for command in (["config", "show", path], ["config", "check", path],
                        ["run", "-n", "lenet5", "-c", path, "-q", "-o", self.folder / "run"],
                        ["compile", "-n", "lenet5", "-c", path, "-q", "-o", self.folder / "a.trace.h5"]):
            done = self.succeed(*command)
            self.assertRegex(done.stderr, "^tessera: note: .*old.json: .*macro.adc.bits.*null")
            if command[1] == "show":
                self.assertEqual(done.stdout, plain)

    def test_idle_keys_are_named_by_check(self):
        told = self.succeed("config", "check", "isaac-ce", "--set", "macro.t_mvm=1 us").stdout
        self.assertRegex(told, "no effect while macro.t_mvm is given: macro.cells_per_weight, .*macro.crossbar.time")

    def test_every_cell_of_a_weight_is_written(self):
        def written(*given):
            done = self.succeed("compile", "-n", "lenet5", "-c", "clsa-256", *settings(
                ["tiles.columns=1", "tiles.rows=1", "memory.ports=1", "tiles.macros=5", *given]), "--time-multiplex",
                "--json", "-o", self.folder / "a.trace.h5", "--force")
            figures = json.loads(done.stdout)
            self.assertEqual(figures["write_energy_aj"], figures["cells_written"] * 10_000_000)
            return figures["cells_written"]

        weights = 61470
        self.assertEqual(written(), 8 * weights)
        self.assertEqual(written("macro.cell.bits=1"), 16 * weights)
        self.assertEqual(written("macro.cell.bits=3"), 6 * weights)
        self.assertEqual(written("macro.cell.signs=sign-magnitude"), 4 * weights)
        self.assertEqual(written("macro.cell.signs=differential-separate"), 8 * weights)
        # A reference beside every row of every block.
        self.assertGreater(written("macro.cell.signs=offset"), 4 * weights)

    def test_a_copied_tree_reads_its_own_chips(self):
        """The program and its data, wherever they are: not those of the tree that was copied."""
        if list(TESSERA.parent.glob("libtessera.so*")):
            self.skipTest("the library that the program loads is not in the copy")
        tree = self.folder / "copy"
        program = tree / "build/dev/src/tessera"
        program.parent.mkdir(parents=True)
        shutil.copy2(TESSERA, program)
        shutil.copytree(SOURCE / "configs", tree / "configs")
        shutil.copytree(SOURCE / "models/macros", tree / "models/macros")
        chip = json.loads((tree / "configs/tiny.json").read_text())
        chip["tiles"]["columns"] = 7
        (tree / "configs/tiny.json").write_text(json.dumps(chip))

        def columns(of, **environment):
            shown = self.succeed("config", "show", "tiny", program=of, **environment).stdout
            return json.loads(shown)["tiles"]["columns"]

        self.assertEqual(columns(program), 7)
        self.assertEqual(columns(TESSERA), 2)
        self.assertEqual(columns(program, TESSERA_DATA=str(SOURCE)), 2)
        moved = self.folder / "moved"
        tree.rename(moved)
        self.assertEqual(columns(moved / "build/dev/src/tessera"), 7)

        # An installation's data come first, even in such a tree.
        installed = moved / "prefix"
        (installed / "bin").mkdir(parents=True)
        os.link(moved / "build/dev/src/tessera", installed / "bin/tessera")
        shutil.copytree(SOURCE / "configs", installed / "share/tessera/configs")
        self.assertEqual(columns(installed / "bin/tessera"), 2)
        shutil.rmtree(installed / "share")
        self.assertEqual(columns(installed / "bin/tessera"), 7)


if __name__ == "__main__":
    unittest.main()
