#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Doxygen reads the public headers without a warning, and would complain about an undocumented member."""
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(os.environ["TESSERA_SOURCE_DIR"])
BUILD = next(folder for folder in Path(os.environ["TESSERA"]).resolve().parents
             if (folder / "CMakeCache.txt").exists())


class Reference(unittest.TestCase):
    def doxygen(self, folder, headers):
        """Settings of the build, other folders."""
        settings = (BUILD / "cmake/Doxyfile").read_text()
        settings = settings.replace(f"{SOURCE}/include", str(headers))
        settings += f"\nOUTPUT_DIRECTORY = {folder}/docs\n"
        (folder / "Doxyfile").write_text(settings)
        return subprocess.run(["doxygen", folder / "Doxyfile"], cwd=folder, text=True, timeout=100,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name)
        self.addCleanup(self.temporary.cleanup)

    def test_everything_is_documented(self):
        result = self.doxygen(self.folder, SOURCE / "include")
        self.assertEqual((result.returncode, result.stdout), (0, ""))
        pages = {page.name for page in (self.folder / "docs/html").glob("*.html")}
        for page in ["index.html", "structtessera_1_1RunOptions.html", "classtessera_1_1Program.html"]:
            self.assertIn(page, pages)

    def test_an_undocumented_member_is_an_error(self):
        headers = self.folder / "include"
        shutil.copytree(SOURCE / "include", headers)
        with open(headers / "tessera/version.h", "a") as header:
            header.write("namespace tessera\n{\n/// A thing.\nstruct Thing\n{\n    int member;\n};\n}\n")
        result = self.doxygen(self.folder, headers)
        self.assertNotEqual(result.returncode, 0)
        self.assertRegex(result.stdout, r"version\.h:\d+: error: Member member .*Thing is not documented")


if __name__ == "__main__":
    unittest.main()
