#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Completion in a real bash (its function, called with the words as readline splits them, and once through
readline itself), and in zsh and fish where they are installed."""
import os
import pty
import re
import select
import shutil
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

TESSERA = os.environ["TESSERA"]
SHELLS = ["bash", "zsh", "fish"]

# COMP_WORDS as readline makes them: split at blanks, and at each = and :.
DRIVER = r'''
source <("$TESSERA" completion bash)
PATH="${TESSERA%/*}:$PATH"
complete -p tessera >/dev/null || exit 1
COMP_LINE=$1
COMP_POINT=${#COMP_LINE}
mapfile -t COMP_WORDS < <(grep -oE '[=:]|[^=: ]+' <<< "$COMP_LINE")
[[ $COMP_LINE == *[\ ] ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_tessera
printf '%s\n' "${COMPREPLY[@]}"
'''


def script(shell):
    return subprocess.run([TESSERA, "completion", shell], text=True, capture_output=True, check=True).stdout


class Completion(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        (self.folder / "clsa own.json").write_text("{}")
        (self.folder / "traces").mkdir()

    def bash(self, line):
        result = subprocess.run(["bash", "--norc", "-c", DRIVER, "driver", line], cwd=self.folder, text=True,
                                capture_output=True, timeout=30)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout.split("\n")[:-1] if result.stdout.strip() else []

    def test_commands(self):
        commands = self.bash("tessera ")
        for name in ["run", "compile", "trace", "config", "network", "inspect", "help", "completion"]:
            self.assertIn(name, commands)
        self.assertEqual(self.bash("tessera ru"), ["run"])
        self.assertEqual(self.bash("tessera help insp"), ["inspect"])
        self.assertEqual(self.bash("tessera --ver"), ["--version"])
        self.assertEqual(self.bash("tessera nonsense "), [])

    def test_every_command_says_what_it_takes(self):
        for command in self.bash("tessera "):
            with self.subTest(command):
                text = subprocess.run([TESSERA, command, "--help"], text=True, capture_output=True).stdout
                known = re.findall(r"(?m)^  (?:-\w \[ )?--([\w-]+)", text)
                self.assertEqual(sorted(self.bash(f"tessera {command} --")),
                                 sorted("--" + option for option in known))

    def test_options(self):
        self.assertEqual(self.bash("tessera run --lev"), ["--level"])
        self.assertNotIn("--level", self.bash("tessera run --level unit --"))
        self.assertIn("--set", self.bash("tessera run --set noc.vcs=2 --"))
        self.assertIn("--chip", self.bash("tessera run "))

    def test_values(self):
        for line in ["tessera run --level ", "tessera run --level=", "tessera run --lev "]:
            with self.subTest(line):
                self.assertEqual(self.bash(line)[:3], ["off", "unit", "stage"])
        self.assertEqual(self.bash("tessera run --level=st"), ["stage"])
        self.assertEqual(self.bash("tessera run --kernel n"), ["native"])
        self.assertEqual(self.bash("tessera run --seed "), [])

    def test_shipped_names_and_files(self):
        self.assertEqual(self.bash("tessera run -n resnet5"), ["resnet50"])
        self.assertEqual(self.bash("tessera run --network=resnet5"), ["resnet50"])
        self.assertEqual(self.bash("tessera run --chip cls"), ["clsa-256", "clsa-256-hybrid", "clsa-256-ideal", "clsa own.json"])
        self.assertEqual(self.bash("tessera config show isa"), ["isaac-ce"])
        self.assertEqual(self.bash("tessera run -t tr"), ["traces"])
        self.assertEqual(self.bash("tessera trace check tr"), ["traces"])
        self.assertEqual(self.bash("tessera trace che"), ["check"])

    def test_settings(self):
        self.assertEqual(self.bash("tessera run --set noc.vcs"), ["noc.vcs="])
        self.assertEqual(self.bash("tessera config show tiny --set noc.kind=m"), ["mesh"])
        self.assertEqual(self.bash("tessera config show tiny --set noc.vcs=4 --set noc.kin"),
                         ["noc.kind=ideal", "noc.kind=bus", "noc.kind=mesh"])

    def test_through_readline(self):
        """What a person gets who presses the tabulator."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.folder)
            os.environ.update(PS1="ready> ", TERM="dumb", PATH=f"{Path(TESSERA).parent}:{os.environ['PATH']}")
            os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
        shown = ""

        def until(text):
            nonlocal shown
            end = time.monotonic() + 20
            while text not in shown:
                self.assertLess(time.monotonic(), end, f"{text!r} did not come:\n{shown}")
                if select.select([terminal], [], [], 1)[0]:
                    shown += os.read(terminal, 4096).decode(errors="replace").replace("\a", "")
            shown = shown.split(text, 1)[1]
        try:
            until("ready> ")
            os.write(terminal, b"source <(tessera completion bash)\n")
            until("ready> ")
            os.write(terminal, b"tessera ru\t--lev\tst\t--set noc.rout\t")
            until("tessera run --level stage --set noc.routing")
            os.write(terminal, b"\x15tessera run --kernel=n\t--se\t")
            until("--kernel=native --se")
        finally:
            os.close(terminal)
            os.waitpid(pid, 0)

    def test_syntax(self):
        for shell in SHELLS:
            with self.subTest(shell):
                text = script(shell)
                self.assertIn("completion candidates", text)
                if shutil.which(shell):
                    file = self.folder / shell
                    file.write_text(text)
                    result = subprocess.run([shell, "-n", file], text=True, capture_output=True)
                    self.assertEqual((result.returncode, result.stderr), (0, ""))

    @unittest.skipUnless(shutil.which("fish"), "fish is not installed")
    def test_fish(self):
        code = script("fish") + "\ncomplete -C 'tessera run --level s'\n"
        result = subprocess.run(["fish", "--no-config", "-c", code], text=True, capture_output=True,
                                env={**os.environ, "PATH": f"{Path(TESSERA).parent}:{os.environ['PATH']}"})
        self.assertIn("stage", result.stdout)

    def test_wrong_words_do_no_harm(self):
        for words in [[], [""], ["run", "-"], ["run", "--"], ["run", "--", ""], ["run", "--=", "="], ["run", "-o"],
                      ["trace", "head", "-n", "-1"], ["run", "--no-such=x"], ["\n", "\t"], ["help", "x", ""]]:
            with self.subTest(words):
                result = subprocess.run([TESSERA, "completion", "candidates", *words], text=True,
                                        capture_output=True, timeout=30)
                self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_usage(self):
        result = subprocess.run([TESSERA, "completion", "csh"], text=True, capture_output=True)
        self.assertEqual((result.returncode, result.stdout), (2, ""))
        self.assertIn("bash, zsh or fish", result.stderr)


if __name__ == "__main__":
    unittest.main()
