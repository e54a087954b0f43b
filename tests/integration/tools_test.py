#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Scripts say what is missing: tools/run builds the Python module where its packages are installed and goes on without
them, and the plots name the packages that they need."""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(os.environ["TESSERA_SOURCE_DIR"])
PYTHON_PACKAGES = ["pybind11-dev", "python3-dev", "python3-numpy"]
DPKG = """#!/bin/sh
for last; do :; done
case " $ABSENT " in *" $last "*) exit 1;; esac
echo install ok installed
"""
# Configuring makes the targets that can be made; building makes the program.
CMAKE = """#!/bin/sh
echo "$@" >> calls
case $1 in
    --preset) mkdir -p "build/$2"; echo 'build tessera: phony' > "build/$2/build.ninja"
              [ -n "$ABSENT" ] || echo 'build tessera_python: phony' >> "build/$2/build.ninja";;
    --build) mkdir -p "build/$3/src"; printf '#!/bin/sh\\necho simulated\\n' > "build/$3/src/tessera"
             chmod +x "build/$3/src/tessera";;
esac
"""


class Run(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.root = Path(temporary.name)
        for name in ("tools/run", "tools/common.sh", "third_party/packages.txt"):
            (self.root / name).parent.mkdir(exist_ok=True)
            shutil.copy(SOURCE / name, self.root / name)
        (self.root / "bin").mkdir()
        for name, text in (("dpkg-query", DPKG), ("cmake", CMAKE)):
            (self.root / "bin" / name).write_text(text)
            (self.root / "bin" / name).chmod(0o755)

    def run_with(self, absent):
        """Its messages, and how cmake was called."""
        (self.root / "calls").unlink(missing_ok=True)
        done = subprocess.run([self.root / "tools/run"], cwd="/", text=True, capture_output=True, timeout=60, env={
            **os.environ, "PATH": f"{self.root}/bin:{os.environ['PATH']}", "ABSENT": " ".join(absent)})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("simulated", done.stdout)
        return done.stderr, (self.root / "calls").read_text().splitlines()

    def test_the_module_is_built_where_its_packages_are(self):
        said, calls = self.run_with([])
        self.assertNotIn("Python", said)
        self.assertEqual(calls, ["--preset release", "--build --preset release --target tessera tessera_python"])
        self.assertEqual(self.run_with([])[1], calls[1:], "configured once")

    def test_without_them_the_run_says_so_and_goes_on(self):
        for absent in ([name] for name in PYTHON_PACKAGES):
            said, calls = self.run_with(absent)
            self.assertIn(f"without the Python module; for it: apt install {absent[0]}", said)
            self.assertEqual(calls[-1], "--build --preset release --target tessera")
        # Once they are there, what was configured without them is configured again.
        said, calls = self.run_with([])
        self.assertEqual(calls, ["--preset release", "--build --preset release --target tessera tessera_python"])


class Plots(unittest.TestCase):
    def test_they_name_the_packages_that_they_need(self):
        for missing in ("matplotlib", "h5py"):
            for tool in (["plot_activity", "results", "-o", "a.png"], ["plot_reproduction", "results"]):
                if missing == "h5py" and tool[0] == "plot_reproduction":
                    continue  # reads no HDF5
                with tempfile.TemporaryDirectory() as folder:
                    for name in {"matplotlib", "h5py"} - {missing}:
                        Path(folder, f"{name}.py").write_text("")
                    Path(folder, f"{missing}.py").write_text(
                        f"raise ModuleNotFoundError(\"No module named '{missing}'\", name='{missing}')\n")
                    done = subprocess.run([sys.executable, SOURCE / "tools" / tool[0], *tool[1:]], cwd=folder, text=True,
                                          capture_output=True, timeout=60, env={**os.environ, "PYTHONPATH": folder})
                self.assertEqual(done.returncode, 1)
                self.assertIn(f"No module named '{missing}'", done.stderr)
                self.assertIn(f"python3-{missing}", done.stderr)
                self.assertNotIn("Traceback", done.stderr)


if __name__ == "__main__":
    unittest.main()
