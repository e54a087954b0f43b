#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What takes long tells a terminal how far it has come: phases of a compilation with percent, then the run. Nobody else
is told, nor a terminal that asked for quiet, and the line is erased in the end."""
import os
import pty
import subprocess
import sys
import tempfile

TESSERA = os.environ["TESSERA"]
NETWORK = "resnet18" if os.environ.get("TESSERA_SANITIZE") else "vit-b16"
ERASE = b"\r\x1b[K"


def errors_on_a_terminal(arguments):
    """What the command writes to a terminal as standard error."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([TESSERA, *arguments], stdout=subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)
        text = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            text += piece
    os.close(ours)
    if process.returncode != 0:
        sys.exit(f"{arguments}: exit code {process.returncode}\n{text.decode()}")
    return text


def errors_in_a_pipe(arguments):
    return subprocess.run([TESSERA, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True).stderr


def check_line(name, text, wanted):
    failures = []
    if b"%" not in text or not any(phase in text for phase in wanted):
        failures.append(f"{name}: none of {wanted} with percent in {text!r}")
    if not text.endswith(ERASE):
        failures.append(f"{name}: the line is not erased: {text[-80:]!r}")
    if b"\n" in text:
        failures.append(f"{name}: more than a line: {text!r}")
    return failures


def check_values(folder):
    """Images that are classified, or looked at for their ranges."""
    data = "/usr/share/datasets/fashion-mnist"
    if os.environ["TESSERA_HAS_ONNX"] != "ON" or not os.path.exists(data):
        print("without ONNX or Debian's dataset-fashion-mnist: nothing is classified")
        return []
    classified = ["accuracy", "-n", "lenet5-fashion", "--dataset", data, "-c", "clsa-256", "--images", "500"]
    quantized = ["quantize", "-n", "lenet5-fashion", "--calibrate", data, "--images", "2000", "--force",
                 "-o", os.path.join(folder, "out.integers")]
    return (check_line("accuracy", errors_on_a_terminal(classified), [b"integers", b"float", b"finite, noiseless"])
            + check_line("quantize", errors_on_a_terminal(quantized), [b"looking for the ranges of codes", b"counting codes"]))


def check_reproduction():
    text = errors_on_a_terminal(["reproduce", "aidac"])
    return [f"reproduce: {text!r}"] if b"errors of chip 3 of 10" not in text or not text.endswith(ERASE) else []


def main():
    with tempfile.TemporaryDirectory() as folder:
        compiled = ["compile", "-n", NETWORK, "-c", "clsa-256", "--schedule", "xinf", "--images", "2", "--force",
                    "-o", os.path.join(folder, "out.trace.h5")]
        ran = ["run", "-n", NETWORK, "-c", "clsa-256", "--schedule", "xinf", "--images", "2", "--until", "1us",
               "--force", "-o", os.path.join(folder, "results")]
        phases = [b"dividing data", b"holding producers back", b"making operations", b"writing the trace"]
        failures = check_line("compile", errors_on_a_terminal(compiled), phases)
        text = errors_on_a_terminal(ran)
        if not any(phase in text for phase in phases[:3]):
            failures.append(f"run: no phase of the compilation in {text!r}")
        failures += check_values(folder) + check_reproduction()
        for name, text in (("compile -q on a terminal", errors_on_a_terminal([*compiled, "-q"])),
                           ("compile in a pipe", errors_in_a_pipe(compiled))):
            if text:
                failures.append(f"{name}: {text!r}")
    for failure in failures:
        print(failure)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
