#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Installs the build, moves the installation, and uses it as others would: the program, a CMake
project, pkg-config, each public header alone, the Python package; then the Debian packages
(tools/package_check installs them)."""
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import h5py

SOURCE = Path(os.environ["TESSERA_SOURCE_DIR"])
BUILD = next(folder for folder in Path(os.environ["TESSERA"]).resolve().parents
             if (folder / "CMakeCache.txt").exists())
CONSUMER = SOURCE / "tests/integration/consumer"
IMAGES = SOURCE / "tests/oracle/fashion-200-images-idx3-ubyte.gz"
CHIP = ["--chip", "clsa-256", "--set", "noc.vcs=2"]


def cached(name):
    found = re.search(rf"^{name}:\w+=(.*)$", (BUILD / "CMakeCache.txt").read_text(), re.MULTILINE)
    return found.group(1) if found else ""


SHARED = cached("BUILD_SHARED_LIBS") == "ON"
PYTHON = bool(os.environ["TESSERA_PYTHON"])


def sanitizer_flags():
    """An instrumented library needs programs that are linked so."""
    flags = []
    if cached("TESSERA_SANITIZE"):
        flags.append("-fsanitize=" + cached("TESSERA_SANITIZE"))
    if cached("TESSERA_COVERAGE") == "ON":
        flags.append("--coverage")
    return flags


def run(*command, cwd, env=None, check=True):
    """Nothing of this environment but what finds programs; output and errors as one text."""
    plain = {key: os.environ[key] for key in ("PATH", "HOME", "TMPDIR") if key in os.environ}
    result = subprocess.run([str(word) for word in command], cwd=cwd, env={**plain, **(env or {})},
                            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=250)
    if check and result.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: exit code {result.returncode}\n{result.stdout}")
    return result.stdout


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.temporary.name)
        first = cls.folder / "first"
        run("cmake", "--install", BUILD, "--prefix", first, cwd=cls.folder)
        cls.prefix = cls.folder / "moved" / "prefix"
        cls.prefix.parent.mkdir()
        first.rename(cls.prefix)
        # Recognisable: the source tree and other installations have chips of the same names.
        config = cls.prefix / "share/tessera/configs/clsa-256.json"
        text = config.read_text()
        cls.chip_name = "clsa-256-moved"
        assert text.count('"name": "clsa-256"') == 1
        config.write_text(text.replace('"name": "clsa-256"', f'"name": "{cls.chip_name}"'))
        lib = next(cls.prefix.glob("lib*/**/pkgconfig"))
        cls.pkg_config = {"PKG_CONFIG_PATH": str(lib)}
        cls.tessera = cls.prefix / "bin/tessera"

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def expected(self):
        """Makespan, and the time that crossbars computed, by the installed program."""
        out = self.folder / "expected"
        run(self.tessera, "run", "--network", "lenet5", *CHIP, "--level", "stage", "-o", out,
            "--force", "--quiet", cwd=self.folder)
        statistics = json.loads((out / "stats.json").read_text())
        with h5py.File(out / "activity.h5") as file:
            rows = file["intervals"][:]
            stages = h5py.check_enum_dtype(rows.dtype["stage"])
            mvm = rows[rows["stage"] == stages["mvm"]]
            computing = int((mvm["count"] * (mvm["end"] - mvm["begin"])).sum())
        return statistics["chip"]["makespan"]["value"], computing

    def expected_values(self):
        """What values.cpp prints, by the installed program."""
        out = self.folder / "values"
        told = run(self.tessera, "run", "--network", "lenet5-fashion", "--chip", "aidac", "--values", IMAGES,
                   "--errors", "noiseless", "-o", out, "--force", "--json", cwd=self.folder)
        figures = json.loads(told)
        with h5py.File(out / "values.h5") as file:
            best = int(file["layers"][sorted(file["layers"])[-1]][:].argmax())
        return [f"{layer['layer']}: {layer['different']} of {layer['elements']} are not the whole numbers"
                for layer in figures["values"]] + [f"class {best} after {figures['makespan_ps']} ps"]

    def test_program_finds_its_data(self):
        listed = run(self.tessera, "config", "show", "clsa-256", cwd="/")
        self.assertEqual(json.loads(listed)["name"], self.chip_name)
        self.assertIn("resnet50", run(self.tessera, "network", "list", cwd="/"))

    def test_data_can_be_elsewhere(self):
        out = run(self.tessera, "config", "show", "clsa-256", cwd="/", env={"TESSERA_DATA": str(SOURCE)})
        self.assertEqual(json.loads(out)["name"], "clsa-256")

    def test_missing_data_is_explained(self):
        result = subprocess.run([self.tessera, "network", "list"], env={"TESSERA_DATA": "/nonexistent"}, text=True,
                                capture_output=True)
        self.assertEqual((result.returncode, result.stdout), (5, ""))
        self.assertRegex(result.stderr, "/nonexistent/models/networks: .*TESSERA_DATA")

    def test_layout(self):
        ending = "so" if SHARED else "a"
        for name in ["bin/tessera", f"lib/libtessera.{ending}", f"lib/libtessera_platform.{ending}",
                     "include/tessera/tessera.h", "include/tessera/platform.h",
                     "share/tessera/configs/schema/chip-1.0.schema.json",
                     "share/tessera/models/networks/resnet50.json",
                     "share/tessera/traces/two-layer-chain.trace.jsonl",
                     "share/bash-completion/completions/tessera",
                     "share/zsh/vendor-completions/_tessera",
                     "share/fish/vendor_completions.d/tessera.fish",
                     "share/doc/tessera/README.md", "share/doc/tessera/LICENSE"]:
            with self.subTest(name):
                self.assertTrue((self.prefix / name).is_file())
        self.assertEqual([path.name for path in (self.prefix / "include").iterdir()], ["tessera"])

    @unittest.skipIf(cached("TESSERA_COVERAGE") == "ON" or cached("TESSERA_SANITIZE"), "their runtimes name sources")
    def test_no_file_names_the_build(self):
        """Whoever may write where it was built must not be able to say what installed programs read."""
        of_release = cached("CMAKE_BUILD_TYPE") == "Release"
        seen = 0
        for path in sorted(self.prefix.rglob("*")):
            if not path.is_file() or path.is_symlink():
                continue
            content = path.read_bytes()
            if not of_release and (content[:4] == b"\x7fELF" or content[:8] == b"!<arch>\n"):
                run("objcopy", "--strip-debug", path, "stripped", cwd=self.folder) # for developers' debuggers
                content = (self.folder / "stripped").read_bytes()
            seen += content[:4] == b"\x7fELF" or content[:8] == b"!<arch>\n"
            with self.subTest(path.relative_to(self.prefix)):
                for folder in {str(SOURCE), str(BUILD)}:
                    self.assertNotIn(folder.encode(), content)
        self.assertGreaterEqual(seen, 4 if PYTHON else 3)

    def test_shared_libraries(self):
        if not SHARED:
            self.assertEqual(list(self.prefix.rglob("libtessera*.so*")), [])
            return
        minor = re.match(r"tessera (\d+\.\d+)", run(self.tessera, "--version", cwd="/")).group(1)
        for name in ("libtessera", "libtessera_platform"):
            library = self.prefix / "lib" / f"{name}.so.{minor}"
            self.assertIn(f"SONAME               {library.name}", run("objdump", "-p", library, cwd="/"))
            self.assertTrue(library.is_symlink() and library.resolve().name.startswith(library.name + "."))
            # All of Tessera and nothing of what it is made with.
            shown = [line.split()[2] for line in
                     run("nm", "-D", "--defined-only", library, cwd="/").splitlines()]
            self.assertGreater(len(shown), 10)
            ours = re.compile(r"_Z(T[a-zA-Z]|T[hvc][n0-9_]+|GV|GVZ|Z)?N[KOR]*7tessera")
            self.assertEqual([name for name in shown if not ours.match(name)], [])
        self.assertIn(f"libtessera.so.{minor}", run("ldd", self.tessera, cwd="/"))
        self.assertIn(str(self.prefix.resolve()), run("ldd", self.tessera, cwd="/"))

    @unittest.skipUnless(PYTHON, "built without the Python module")
    def test_python_package(self):
        packages = self.prefix / "lib/python3/dist-packages"
        out = run("/usr/bin/python3", "-c", "import tessera; print(tessera.__file__); print(tessera.data_directory())",
                  cwd="/", env={"PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": "1"}).splitlines()
        self.assertEqual(out, [str(packages / "tessera/__init__.py"), str(self.prefix.resolve() / "share/tessera")])

    def test_manual_pages(self):
        commands = re.findall(r"^  (\w+) ", run(self.tessera, "--help", cwd="/"), re.MULTILINE)
        self.assertIn("run", commands)
        pages = sorted((self.prefix / "share/man/man1").iterdir())
        self.assertEqual([page.name for page in pages],
                         sorted(["tessera.1.gz"] + [f"tessera-{name}.1.gz" for name in commands]))
        for page in pages:
            with self.subTest(page.name):
                plain = self.folder / page.stem
                plain.write_bytes(gzip.decompress(page.read_bytes()))
                shown = subprocess.run(["man", "--warnings", "-l", plain], env={**os.environ, "MANWIDTH": "100"},
                                       text=True, capture_output=True, timeout=60, check=True)
                self.assertEqual(shown.stderr, "")
                self.assertIn("SYNOPSIS", shown.stdout)
        # Every option that --help knows has its place in the manual.
        for name in commands:
            known = re.findall(r"^  (?:-\w \[ )?--([\w-]+)", run(self.tessera, name, "--help", cwd="/"),
                               re.MULTILINE)
            page = run(self.tessera, "help", "--man", name, cwd="/").replace("\\", "")
            self.assertIn("help", known)
            for option in known:
                with self.subTest(command=name, option=option):
                    self.assertRegex(page, rf"(?m)^\.B .*--{option}\b")

    def test_cmake_project(self):
        build = self.folder / "consumer"
        flags = " ".join(["-Wall -Wextra -Werror", *sanitizer_flags()])
        run("cmake", "-S", CONSUMER, "-B", build, "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={self.prefix}",
            f"-DCMAKE_CXX_FLAGS={flags}", f"-DCMAKE_CXX_COMPILER={cached('CMAKE_CXX_COMPILER')}",
            cwd=self.folder)
        run("cmake", "--build", build, cwd=self.folder)
        makespan, computing = self.expected()
        self.assertEqual(run(build / "simulate", cwd=self.folder).splitlines(),
                         [f"{self.chip_name}: {makespan} ps, 6 crossbars",
                          f"its crossbars computed for {computing} ps"])
        if os.environ["TESSERA_HAS_ONNX"] == "ON":
            self.assertEqual(run(build / "values", IMAGES, cwd=self.folder).splitlines(), self.expected_values())
            self.assertIn("nowhere.npy", run(build / "values", "nowhere.npy", cwd=self.folder, check=False))
        platform = run(build / "platform", cwd=self.folder, env={"SC_COPYRIGHT_MESSAGE": "DISABLE"})
        self.assertIn(f"{makespan} ps", platform.splitlines())

    def test_find_package_refuses(self):
        for words, reason in [("1.0", "not compatible|version"), ("0.1 COMPONENTS nonsense", "nonsense")]:
            with self.subTest(words):
                project = self.folder / "refused"
                project.mkdir(exist_ok=True)
                (project / "CMakeLists.txt").write_text(
                    "cmake_minimum_required(VERSION 3.25)\nproject(refused LANGUAGES CXX)\n"
                    f"find_package(tessera {words} REQUIRED)\n")
                result = run("cmake", "-S", project, "-B", project / "build", "--fresh", "-G", "Ninja",
                             f"-DCMAKE_PREFIX_PATH={self.prefix}", cwd=self.folder, check=False)
                self.assertIn("CMake Error", result)
                self.assertRegex(result, reason)

    def test_pkg_config(self):
        def ask(*words):
            return run("pkg-config", *words, cwd="/", env=self.pkg_config).split()
        compiler = cached("CMAKE_CXX_COMPILER")
        run(compiler, "-std=c++17", *sanitizer_flags(), "-c", CONSUMER / "simulate.cpp", *ask("--cflags", "tessera"),
            "-o", "simulate.o", cwd=self.folder)
        data = Path(ask("--variable=datadir", "tessera")[0])
        self.assertEqual(data.resolve(), (self.prefix / "share/tessera").resolve())
        makespan, _ = self.expected()
        libraries = {"LD_LIBRARY_PATH": str(self.prefix / "lib")} if SHARED else {}
        for static in ([],) if SHARED else ([], ["--static"]):
            with self.subTest(static):
                run(compiler, *sanitizer_flags(), "simulate.o", *ask(*static, "--libs", "tessera"), "-o", "simulate",
                    cwd=self.folder)
                out = run("./simulate", cwd=self.folder, env=libraries)
                self.assertIn(f"{self.chip_name}: {makespan} ps", out)
        # Without its installation a program takes no other: not that of another version, not the source tree.
        if not SHARED:
            away = self.prefix.with_name("away")
            self.prefix.rename(away)
            try:
                self.assertRegex(run("./simulate", cwd=self.folder, check=False),
                                 rf"{re.escape(str(self.prefix))}/share/tessera/configs")
                out = run("./simulate", cwd=self.folder, env={"TESSERA_DATA": str(away / "share/tessera")})
                self.assertIn(f"{self.chip_name}: {makespan} ps", out)
            finally:
                away.rename(self.prefix)
        self.assertIn("-lsystemc", ask("--libs", "tessera-platform"))
        self.assertEqual(ask("--modversion", "tessera"), ask("--modversion", "tessera-platform"))

    def test_platforms_of_another_standard_are_told(self):
        """SystemC itself would only fail to link, with a symbol that nobody knows."""
        flags = run("pkg-config", "--cflags", "tessera-platform", cwd="/", env=self.pkg_config).split()
        def compiled(standard, *more):
            return run(cached("CMAKE_CXX_COMPILER"), f"-std={standard}", "-fsyntax-only", *flags, *more,
                       CONSUMER / "platform.cpp", cwd=self.folder, check=False)
        self.assertEqual(compiled("c++17"), "")
        self.assertEqual(compiled("gnu++17"), "")
        self.assertRegex(compiled("c++20"), r'platform\.h:\d+:\d+: error: #error "tessera::platform .*-std=c\+\+17')
        self.assertEqual(compiled("c++20", "-DSC_DISABLE_API_VERSION_CHECK"), "", "at the user's own risk")

    def test_headers_stand_alone(self):
        headers = sorted((self.prefix / "include/tessera").glob("*.h"))
        self.assertGreaterEqual(len(headers), 10)
        for header in headers:
            with self.subTest(header.name):
                unit = self.folder / "alone.cpp"
                unit.write_text(f"#include <tessera/{header.name}>\n#include <tessera/{header.name}>\n")
                used = run(cached("CMAKE_CXX_COMPILER"), "-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion",
                           "-Werror", "-I", self.prefix / "include", "-MD", "-MF", "alone.d", "-fsyntax-only",
                           unit, cwd=self.folder)
                self.assertEqual(used, "")
                needed = (self.folder / "alone.d").read_text().replace("\\\n", " ").split()
                foreign = re.compile(r"hdf5|nlohmann|/fmt/|simdjson|robin|include/boost"
                                     + ("" if header.name == "platform.h" else r"|systemc|/sysc/|/tlm"))
                self.assertEqual([path for path in needed if foreign.search(path)], [])

    def test_examples_are_those_in_the_guide(self):
        shown = re.findall(r"```cpp\n(.*?)```\n", (SOURCE / "README.md").read_text(), re.DOTALL)
        for name in ("simulate.cpp", "values.cpp"):
            self.assertIn((CONSUMER / name).read_text().split("\n", 1)[1], shown)


# Packages that hold nothing and depend on one of several builds, with the build that is installed to compile with.
BUILDS = {"libopenblas0": "libopenblas0-pthread"}


class Packages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.temporary.name)
        run("cpack", "-G", "DEB", "-B", cls.folder, "--config", BUILD / "CPackConfig.cmake",
            cwd=cls.folder)
        cls.packages = {path.name.split("_")[0]: path for path in cls.folder.glob("*.deb")}

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def field(self, package, name):
        return run("dpkg-deb", "-f", self.packages[package], name, cwd=self.folder).strip()

    def content(self, package):
        rows = run("dpkg-deb", "-c", self.packages[package], cwd=self.folder).splitlines()
        return {row.split()[5]: row.split()[:2] for row in rows}

    def test_content(self):
        self.assertEqual(sorted(self.packages), ["libtessera-dev", *["python3-tessera"] * PYTHON, "tessera"])
        program, library = self.content("tessera"), self.content("libtessera-dev")
        for package in self.packages:
            for name in ("copyright", "changelog.gz", "changelog.Debian.gz"):
                self.assertEqual(self.content(package)[f"./usr/share/doc/{package}/{name}"], ["-rw-r--r--", "root/root"])
        self.assertEqual(program["./usr/bin/tessera"], ["-rwxr-xr-x", "root/root"])
        for name in ["./usr/share/tessera/configs/tiny.json", "./usr/share/man/man1/tessera-run.1.gz",
                     "./usr/share/doc/tessera/copyright"]:
            self.assertEqual(program[name], ["-rw-r--r--", "root/root"])
        self.assertIn("./usr/include/tessera/tessera.h", library)
        self.assertTrue(any(name.endswith("/tessera-config.cmake") for name in library))
        files = {name for name in program if not name.endswith("/")}
        self.assertFalse(files & set(library), "both packages own a file")
        if PYTHON:
            package = self.content("python3-tessera")
            modules = {name.rsplit("/", 1)[1] for name in package if "/dist-packages/tessera/" in name}
            expected = {path.name for path in (SOURCE / "src/python/tessera").glob("*.*") if path.is_file()}
            self.assertEqual({name for name in modules if name and ".so" not in name}, expected)
            self.assertTrue(any(re.fullmatch(r"_tessera\.cpython-.*\.so", name) for name in modules))
            needed = self.field("python3-tessera", "Depends")
            for name in (f"tessera (= {self.field('tessera', 'Version')})", "python3-numpy", "libfmt"):
                self.assertIn(name, needed)

    def test_dependencies(self):
        needed = {BUILDS.get(name.split()[0].split(":")[0], name.split()[0].split(":")[0])
                  for name in self.field("tessera", "Depends").split(",")}
        loaded = run("objdump", "-p", os.environ["TESSERA"], cwd=self.folder)
        for library in re.findall(r"NEEDED\s+(\S+)", loaded):
            if "san.so" in library:
                continue # of the instrumented build
            with self.subTest(library):
                owner = run("dpkg", "-S", f"*/{library}", cwd=self.folder)
                packages = {line.split(":")[0] for line in owner.splitlines()}
                self.assertTrue(packages & needed, f"{packages} not in {needed}")
        # Loaded when it is needed: linked, it would start threads in every process.
        self.assertIn("libopenblas0-pthread", needed)
        self.assertNotIn("libopenblas", loaded)
        development = self.field("libtessera-dev", "Depends")
        for name in [f"tessera (= {self.field('tessera', 'Version')})", "libhdf5-dev", "libfmt-dev",
                     "libsimdjson-dev", "zlib1g-dev"]:
            self.assertIn(name, development)

    @unittest.skipUnless(os.geteuid() == 0 and not cached("TESSERA_SANITIZE"), "needs chroot")
    def test_dependencies_are_enough(self):
        """In a root that holds nothing but the package and the shared libraries of what it depends on."""
        root = self.folder / "bare"
        (root / "usr").mkdir(parents=True)
        for folder in ("lib", "lib64"):
            (root / "usr" / folder).mkdir()
            (root / folder).symlink_to(f"usr/{folder}")
        names = re.findall(r"([a-z0-9][a-z0-9.+-]+)(?: \([^)]*\))?(?:,|$)", self.field("tessera", "Depends"))
        seen = set()
        while names:
            name = names.pop()
            name = BUILDS.get(name, name)
            if name not in seen:
                seen.add(name)
                depends = run("dpkg-query", "-W", "-f", "${Depends}, ${Pre-Depends}\n", name, cwd="/", check=False)
                names += [word.split()[0].split(":")[0] for word in depends.split(",")
                          if word.strip() and "no packages" not in depends]
                for file in run("dpkg", "-L", name, cwd="/", check=False).splitlines():
                    if re.search(r"\.so(\.|$)", file) and "/lib" in file and not os.path.isdir(file):
                        target = root / file.lstrip("/")
                        target.parent.mkdir(parents=True, exist_ok=True)
                        if not target.exists() and not target.is_symlink():
                            shutil.copy2(file, target, follow_symlinks=False)
                        chosen = Path(file).parent.parent / target.name
                        if chosen.is_symlink() and os.readlink(chosen).startswith("/etc/alternatives/"):
                            (root / str(chosen).lstrip("/")).symlink_to(f"{target.parent.name}/{target.name}")
        self.assertIn("libc6", seen)
        run("dpkg-deb", "-x", self.packages["tessera"], self.folder / "unpacked", cwd=self.folder)
        shutil.copytree(self.folder / "unpacked/usr", root / "usr", dirs_exist_ok=True, symlinks=True)
        out = run("chroot", root, "/usr/bin/tessera", "run", "--network", "lenet5", "--chip", "clsa-256",
                  "-o", "/out", cwd=self.folder)
        self.assertIn("lenet5 on clsa-256", out)
        self.assertTrue((root / "out/activity.h5").is_file())

    def test_installs_and_runs(self):
        root = self.folder / "root"
        if os.geteuid() == 0:
            database = root / "var/lib/dpkg"
            for folder in ("info", "updates", "triggers"):
                (database / folder).mkdir(parents=True)
            (database / "status").touch()
            # The libraries it depends on are outside this root; test_dependencies looks after them.
            dpkg = ["dpkg", f"--root={root}", "--force-depends", "--log=/dev/null"]
            run(*dpkg, "-i", *(self.packages[name] for name in ("tessera", "libtessera-dev")), cwd=self.folder)
            status = run("dpkg-query", f"--admindir={database}", "-W", "-f", "${Package} ${db:Status-Status}\n",
                         cwd=self.folder)
            self.assertEqual(sorted(status.split("\n"))[1:], ["libtessera-dev installed", "tessera installed"])
        else:
            for package in self.packages.values():
                run("dpkg-deb", "-x", package, root, cwd=self.folder)
        data = root / "usr/share/tessera/configs/tiny.json"
        data.write_text(data.read_text().replace('"name": "tiny"', '"name": "tiny-packaged"'))
        trace = root / "usr/share/tessera/traces/two-layer-chain.trace.jsonl"
        out = run(root / "usr/bin/tessera", "run", "--trace", trace, "--chip", "tiny", "-o", "out", cwd=self.folder)
        self.assertIn("on tiny-packaged", out)
        self.assertTrue((self.folder / "out/activity.h5").is_file())
        if os.geteuid() == 0:
            run(*dpkg, "--purge", "libtessera-dev", "tessera", cwd=self.folder)
            left = [path for path in (root / "usr").rglob("*") if path.is_file()]
            self.assertEqual(left, [])


if __name__ == "__main__":
    unittest.main()
