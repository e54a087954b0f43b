#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs what the guide (README.md and the pages of docs) tells its readers to run, in an empty folder: every `sh` block,
every `$` line (whose output must be what the guide shows), the chip config and the Python snippets. Links between
pages lead somewhere."""
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(os.environ["TESSERA_SOURCE_DIR"])
PAGES = [SOURCE / "README.md", *sorted((SOURCE / "docs").glob("*.md"))]
GUIDE = "\n".join(page.read_text() for page in PAGES)


def blocks(language):
    """The fenced blocks of a language, in order, each with a newline at its end."""
    found = []
    inside = None
    for line in GUIDE.splitlines():
        if inside is None and line.startswith("```"):
            inside = (line[3:].strip(), [])
        elif inside is not None and line == "```":
            if inside[0] == language:
                found.append("".join(text + "\n" for text in inside[1]))
            inside = None
        elif inside is not None:
            inside[1].append(line)
    return found


def run(command, folder):
    return subprocess.run(["bash", "-c", command], cwd=folder, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=280)


def anchors(page):
    """Names of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)]*)\)", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)):
            if "://" in target:
                continue
            file, _, anchor = target.partition("#")
            other = (page.parent / file) if file else page
            if not other.exists() or (anchor and anchor not in anchors(other)):
                yield f"{page.name}: the link to {target} leads nowhere"


def needs_onnx(command):
    return ".onnx" in command or "-fashion" in command


def main():
    onnx = os.environ["TESSERA_HAS_ONNX"] == "ON"
    failures = [f"left in the text: {word}" for word in re.findall(r"@[A-Z]+@", GUIDE)]
    failures += broken_links()
    ran = len(failures)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tessera").symlink_to(os.environ["TESSERA"])
        for shared in ("traces", "configs", "models", "tools", "tests"):
            (folder / shared).symlink_to(SOURCE / shared)
        (folder / "results").mkdir()
        (folder / "my-chip.json").write_text(blocks("json")[0])
        commands = ["./tessera config check my-chip.json"]
        commands += [line for block in blocks("sh") for line in block.splitlines() if line.strip()]
        for command in commands:
            if needs_onnx(command) and not onnx:
                continue
            ran += 1
            result = run(command, folder)
            if result.returncode != 0:
                failures.append(f"{command}\nexit code {result.returncode}\n{result.stdout}")
        for block in blocks(""):
            lines = block.splitlines()
            if lines[0].startswith("$ ") and (onnx or not needs_onnx(lines[0])):
                ran += 1
                result = run(lines[0][2:], folder)
                if result.stdout.rstrip().splitlines() != lines[1:]:
                    failures.append(f"{lines[0]}\nprinted\n{result.stdout}")
        for snippet in blocks("python"):
            if "import tessera" in snippet and not os.environ["TESSERA_PYTHON"]:
                continue
            ran += 1
            result = subprocess.run(["/usr/bin/python3", "-c", snippet], cwd=folder, text=True,
                                    env={**os.environ, "PYTHONPATH": os.environ["TESSERA_PYTHON"]}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
            if result.returncode != 0:
                failures.append(f"python snippet\n{result.stdout}")
    for failure in failures:
        print(failure, file=sys.stderr)
    print(f"{ran - len(failures)} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
