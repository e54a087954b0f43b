# SPDX-License-Identifier: Apache-2.0
"""Commands that write, and what must hold of what they leave: for tests that make writing fail.

Every command is one `Job` of the one list that `jobs` makes. `Judge` compares what a command left in its folder with
what had been there and with what the same command makes undisturbed. Its rules:
- exit code 0: everything is there, the same bytes as undisturbed, and nothing else;
- exit code 5: a message that names the file and gives the system's reason; what had been there is as it was; of a run,
  run.json says `failed` or is absent, and only what can be followed live is there in part;
- nothing hidden stays behind."""
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

try:
    import h5py
    import numpy as np
except ImportError:
    print("no h5py: nothing is tested")
    sys.exit(77)

TESSERA = os.environ["TESSERA"]
SOURCE = Path(os.environ["TESSERA_SOURCE_DIR"])
HAS_ONNX = os.environ.get("TESSERA_HAS_ONNX", "ON") == "ON"
COVERED = os.environ.get("TESSERA_COVERAGE", "") not in ("", "OFF")
SANITIZED = bool(os.environ.get("TESSERA_SANITIZE"))
NO_SPACE = "No space left on device"
TOO_LARGE = "File too large"
NO_MEMORY = "out of memory"
IO_ERROR = "Input/output error"
MOST_TOLD = int(os.environ.get("MOST_TOLD", "12"))  # of one command
ROOM = 256 << 20
TIMEOUT = 240 if SANITIZED else 60

# Of a run: what can be read while it is written, and so may be there in part.
STREAMS = {"activity.h5.part", "windows.jsonl", "log"}
# What a run writes before it begins, whole or not at all.
BEGINNING = {"config.resolved.json"}


def tessera(*arguments, limits=(), stdout=subprocess.PIPE, environment=None, cwd=None,
            before_it=(TESSERA,)):
    """Runs a command, under resource limits: pairs of a limit's number and its value."""
    def before():
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for limit, value in limits:
            resource.setrlimit(limit, (value, value))
    # restore_signals: Python ignores SIGXFSZ and SIGPIPE, and those who use a shell do not.
    return subprocess.run([*before_it, *map(str, arguments)], stdout=stdout, stderr=subprocess.PIPE, text=True,
                          errors="replace", timeout=TIMEOUT, preexec_fn=before if limits else None, cwd=cwd,
                          restore_signals=True, env={**os.environ, **environment} if environment else None)


def scratch():
    """A folder that goes with its context; in memory where there is room, as nobody waits for disks there."""
    shared = Path("/dev/shm")
    fast = shared.is_dir() and os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > ROOM
    return tempfile.TemporaryDirectory(dir=shared if fast else None)


def succeed(*arguments, **options):
    """Runs what must not fail."""
    result = tessera(*arguments, **options)
    if result.returncode != 0:
        raise RuntimeError(f"{arguments}: exit code {result.returncode}: {result.stderr}")
    return result


# Readers: what is wrong with a file, as text; empty if nothing.

def read_with(*command):
    def read(path):
        result = tessera(*[path if word is None else word for word in command])
        return "" if result.returncode == 0 else f"exit code {result.returncode}: {result.stderr.strip()}"
    return read


def read_h5(path):
    """Decodes every data set."""
    try:
        with h5py.File(path, "r") as file:
            file.visititems(lambda _, item: item[()] if isinstance(item, h5py.Dataset) else None)
    except (OSError, RuntimeError, KeyError) as error:
        return str(error)
    return ""


def read_json(path):
    try:
        json.loads(path.read_text())
    except ValueError as error:
        return str(error)
    return ""


def read_json_lines(path):
    try:
        for line in path.read_text().splitlines():
            json.loads(line)
    except ValueError as error:
        return str(error)
    return ""


def read_text(path):
    return "" if path.read_bytes().endswith(b"\n") else "its last line has no end"


@dataclass(frozen=True)
class Job:
    """A command and what it writes into its folder."""
    name: str
    arguments: Callable[[Path], list]
    outputs: tuple  # names below the folder; of standard output the name of the file that it goes to
    reader: Callable[[Path], str]
    prints: bool = False  # into `outputs[0]`
    results: str = ""  # the folder of a run's results, below the folder
    older: Callable[[Path], None] = None  # makes older outputs
    works_in_folder: bool = False
    takes_force: bool = True

    def run(self, folder, force=False, **options):
        """In `folder`; with --force over what is there."""
        arguments = [*self.arguments(folder), *(["--force"] if force else [])]
        cwd = folder if self.works_in_folder else None
        if not self.prints:
            return tessera(*arguments, cwd=cwd, **options)
        with open(folder / self.outputs[0], "w") as out:
            return tessera(*arguments, stdout=out, cwd=cwd, **options)


class Inputs:
    """What the commands read, made once."""

    def __init__(self, folder):
        folder.mkdir()
        self.folder = folder
        self.chain = SOURCE / "traces" / "two-layer-chain.trace.jsonl"
        self.small = ["--network", "lenet5", "--chip", "clsa-256", "--schedule", "xinf", "--sets", "pixel"]
        self.trace = folder / "made.trace.jsonl"
        succeed("compile", *self.small, "-o", self.trace)
        self.results = folder / "results"
        succeed("run", "--trace", self.chain, "--chip", "tiny", "--level", "stage", "--quiet", "-o", self.results)
        if HAS_ONNX:
            self.network = folder / "qdq.onnx"
            shutil.copy(SOURCE / "tests" / "fuzz" / "corpus" / "onnx" / "qdq", self.network)
            succeed("quantize", "--network", self.network, "-o", folder / "qdq.integers")
            self.images = folder / "images.npz"
            numbers = np.random.default_rng(1)
            np.savez(self.images, images=numbers.random([1000, 2, 4, 4], dtype=np.float32) * 2 - 0.5,
                     labels=np.arange(1000) % 2)
            self.whole_network = SOURCE / "tests" / "oracle" / "lenet5-fashion-qdq.onnx"


def older_file(name):
    def make(folder):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("what was here before\n" * 100)
    return make


def older_files(names):
    def make(folder):
        for name in names:
            older_file(name)(folder)
    return make


def older_results(template, name):
    def make(folder):
        shutil.copytree(template, folder / name)
    return make


def run_outputs(*more):
    return tuple(f"r/{name}" for name in ("run.json", "config.resolved.json", "stats.json", "stats.txt", *more))


def read_run_file(path):
    """The own reader of each file of a run."""
    if path.suffix == ".h5":
        return read_h5(path) or (read_with("h5", "check", None)(path) if path.name == "activity.h5" else "")
    if path.suffix == ".json":
        return read_json(path)
    return read_json_lines(path) if path.suffix == ".jsonl" else read_text(path)


def file_jobs(inputs):
    """Commands that write one file."""
    def job(name, command, output, reader):
        return Job(name, lambda folder: [*command, folder / output], (output,), reader, older=older_file(output))

    for end in (".trace.jsonl", ".trace.jsonl.gz", ".trace.h5"):
        # Text that is packed needs more of it to fill as many pages.
        more = ["--images", 3] if end.endswith(".gz") else []
        yield job(f"compile to {end}", ["compile", *inputs.small, *more, "-o"], f"a{end}",
                  read_with("trace", "check", None))
        yield job(f"trace convert to {end}", ["trace", "convert", inputs.trace], f"b{end}",
                  read_with("trace", "check", None))
    yield job("h5 recover", ["h5", "recover", inputs.results, "-o"], "recovered.h5", read_with("h5", "check", None))
    if HAS_ONNX:
        yield job("quantize -o", ["quantize", "--network", inputs.whole_network, "-o"], "network.integers",
                  read_with("accuracy", "--network", None, "--dataset",
                            SOURCE / "tests" / "oracle" / "fashion-200-images-idx3-ubyte.gz", "--images", 1, "--chip",
                            "clsa-256", "--only", "noiseless"))
        yield job("accuracy --logits", ["accuracy", "--network", inputs.network, "--dataset", inputs.images, "--chip",
                                        "tiny", "-j", 1, "--logits"], "logits.h5", read_h5)


def folder_jobs(inputs):
    """Commands that write several files."""
    pages = inputs.folder / "pages"
    succeed("help", "--pages", pages)
    names = tuple(f"p/{path.name}" for path in sorted(pages.iterdir()))
    yield Job("help --pages", lambda folder: ["help", "--pages", folder / "p"], names, read_text,
              older=older_files(names))
    reports = ("q/report.json", "q/report.txt")
    yield Job("reproduce -o", lambda folder: ["reproduce", "clsa-cim", "--quick", "-o", folder / "q"], reports,
              lambda path: (read_json if path.suffix == ".json" else read_text)(path), older=older_files(reports))


def run_jobs(inputs):
    """Runs: with records, streams, values."""
    small = ["run", "--trace", inputs.chain, "--chip", "tiny", "--quiet"]
    old = inputs.folder / "older"
    succeed(*small, "--level", "unit", "--set", "name=older", "-o", old)

    def job(name, command, *more, results="r"):
        return Job(name, lambda folder: [*command, "-o", folder / results], run_outputs(*more), read_run_file,
                   results=results, older=older_results(old, results))

    yield job("run --level off", [*small, "--level", "off"])
    yield job("run --level unit", [*small, "--level", "unit"], "activity.h5")
    yield job("run --level stage", [*small, "--level", "stage"], "activity.h5")
    yield job("run --live", [*small, "--level", "stage", "--live"], "activity.h5")
    yield job("run --uncompressed", [*small, "--level", "stage", "--uncompressed"], "activity.h5")
    yield job("run --stats-every", [*small, "--level", "off", "--stats-every", "10ns"], "windows.jsonl")
    yield Job("run --log-file", lambda folder: [*small, "--level", "off", "--log", "all", "--log-file", folder / "log",
                                                "-o", folder / "r"], (*run_outputs(), "log"), read_run_file,
              results="r", older=older_results(old, "r"))
    default = tuple(name.replace("r/", "tessera-out/", 1) for name in run_outputs("activity.h5"))
    yield Job("run to the default folder", lambda folder: small, default, read_run_file, results="tessera-out",
              older=older_results(old, "tessera-out"), works_in_folder=True, takes_force=False)
    if HAS_ONNX:
        values = ["run", "--network", inputs.network, "--chip", "tiny", "--values", inputs.images, "--images", 2,
                  "--quiet", "--level", "stage"]
        old_values = inputs.folder / "older_values"
        succeed(*values, "--seed", 9, "-o", old_values)
        yield Job("run --values", lambda folder: [*values, "-o", folder / "r"],
                  run_outputs("activity.h5", "values.h5"), read_run_file, results="r",
                  older=older_results(old_values, "r"))


def print_jobs(inputs):
    """Commands whose standard output is a file."""
    def job(name, command, output, reader):
        return Job(name, lambda folder: command, (output,), reader, prints=True, takes_force=False)

    yield job("--version", ["--version"], "version", read_text)
    yield job("completion", ["completion", "bash"], "completion", read_text)
    yield job("config show", ["config", "show", "clsa-256"], "config.json", read_json)
    yield job("config schema", ["config", "schema"], "schema.json", read_json)
    yield job("config doc", ["config", "doc"], "keys", read_text)
    yield job("network show", ["network", "show", "resnet152"], "layers", read_text)
    yield job("inspect", ["inspect", inputs.results], "tables", read_text)
    yield job("inspect --json", ["inspect", inputs.results, "--json"], "tables.json", read_json)
    yield job("trace head", ["trace", "head", inputs.trace, "-n", 200], "operations", read_json_lines)


def jobs(inputs):
    """Every command that writes."""
    return [*file_jobs(inputs), *folder_jobs(inputs), *run_jobs(inputs), *print_jobs(inputs)]


def named(list_, names, only=""):
    """Those of a list that have one of the names, and `only` in it."""
    found = {job.name: job for job in list_}
    return [found[name] for name in names if name in found and only in name]


def snapshot(folder):
    """Contents of all files below a folder, by their names there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def clear(folder):
    """Empties a folder that may be a mounted one."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def is_hidden(name):
    return any(part.startswith(".") for part in Path(name).parts)


def status_of(content):
    """What a run.json says; nothing if there is none."""
    if content is None:
        return None
    try:
        return json.loads(content)["status"]
    except (ValueError, KeyError, TypeError):
        return "not JSON"


@dataclass
class Judge:
    """What a job leaves, in view of what had been there and of what it makes undisturbed."""
    job: Job
    good: dict  # undisturbed
    printed: str  # undisturbed
    before: dict = field(default_factory=dict)

    def is_run_file(self, name, which):
        return bool(self.job.results) and name == f"{self.job.results}/{which}"

    def same(self, name, content):
        """As undisturbed; run.json says when and how long a run was."""
        if self.is_run_file(name, "run.json"):
            return status_of(content) == "complete"
        return content == self.good.get(name)

    def whole(self, after, folder):
        """What is wrong with results that are said to be whole."""
        problems = []
        for name in self.job.outputs:
            if name not in after:
                problems.append(f"{name} is missing")
            elif not self.same(name, after[name]):
                wrong = self.job.reader(folder / name)
                problems.append(f"{name} differs from the undisturbed one "
                                f"({'refused: ' + wrong if wrong else 'its reader accepts it'})")
        extra = [name for name in after if name not in self.job.outputs and name not in self.before]
        return problems + [f"left {extra}"] * bool(extra)

    def failed_run(self, after, text):
        """What is wrong with the folder of results of a run that failed."""
        problems = []
        home = self.job.results + "/"
        status = status_of(after.get(home + "run.json"))
        kept = {name: content for name, content in after.items() if name.startswith(home)}
        old = {name: content for name, content in self.before.items() if name.startswith(home)}
        if status == "complete":
            # Nothing had been touched; or all is there, and what was printed or logged is not.
            told = "standard output" in text or "/log:" in text
            if kept != old and not (told and all(self.same(name, after.get(name)) for name in self.job.outputs
                                                 if name.startswith(home))):
                problems.append(f"run.json says complete, with {sorted(kept)}")
            return problems
        if status not in ("failed", None):
            problems.append(f"run.json says {status}, with {sorted(kept)}")
        for name, content in after.items():
            base = Path(name).name
            if base == "run.json" or content == self.before.get(name) or base in STREAMS:
                continue
            if not (base in BEGINNING and self.same(name, content)):
                problems.append(f"left {name}, {'whole' if self.same(name, content) else 'not whole'}")
        return problems

    def reason(self, text, reasons, folder):
        """What is wrong with a message."""
        named = any(name in text for name in ("standard output", f"{folder}/", "tessera-out"))
        if reasons == [NO_MEMORY]:
            said = any(line.startswith("tessera: ") and NO_MEMORY in line for line in text.splitlines())
            return [] if said else [f"no reason: {text}"]
        said = text.startswith("tessera: cannot ") and any(f": {reason}" in text for reason in reasons)
        return [] if named and said else [f"no reason, or no file: {text or '(nothing said)'}"]

    def left(self, after, text):
        """What is wrong with what is there after a failure."""
        if self.job.results:
            return self.failed_run(after, text)
        problems = []
        for name in {*after, *self.before}:
            now, old = after.get(name), self.before.get(name)
            if now == old:
                continue
            # One file of several may have been made; what is printed is followed live.
            if self.job.prints or (len(self.job.outputs) > 1 and now is not None and self.same(name, now)):
                continue
            problems.append(f"{name}: the older one is gone" if now is None else
                            f"left {name} of {len(now)} bytes" + (" in place of the older one" if old else "") +
                            (" (whole)" if self.same(name, now) else ""))
        return problems

    def problems(self, result, folder, reasons):
        """All that is wrong; `folder` holds what the command left."""
        after = snapshot(folder)
        hidden = [name for name in after if is_hidden(name)]
        problems = [f"left {hidden}"] if hidden else []
        after = {name: content for name, content in after.items() if not is_hidden(name)}
        if result.returncode == 0:
            problems += self.whole(after, folder)
            if not self.job.prints and result.stdout != self.printed:
                problems.append("printed something else than undisturbed")
        elif result.returncode == 5:
            text = result.stderr.strip()
            problems += self.reason(text, reasons, folder) + self.left(after, text)
        else:
            problems.append(f"exit code {result.returncode}: {result.stderr.strip()}")
        return problems


@dataclass
class Campaign:
    """Counts, and problems told as they come."""
    counts: dict = field(default_factory=lambda: {"done": 0, "failed as they should": 0})
    problems: dict = field(default_factory=dict)

    def tell(self, name, what, problems):
        for problem in problems:
            told = self.problems.setdefault(name, [])
            told.append(problem)
            if len(told) <= MOST_TOLD:
                print(f"failed: {name}, {what}: {problem}", file=sys.stderr)
                sys.stderr.flush()

    def expect(self, condition, name, problem):
        if not condition:
            self.tell(name, "always", [problem])
        return condition

    def count(self, result):
        what = {0: "done", 5: "failed as they should"}.get(result.returncode, f"exit code {result.returncode}")
        self.counts[what] = self.counts.get(what, 0) + 1

    def count_hang(self):
        self.counts["hangs"] = self.counts.get("hangs", 0) + 1

    def end(self):
        """The exit code."""
        failures = sum(len(list_) for list_ in self.problems.values())
        print(", ".join(f"{text}: {count}" for text, count in self.counts.items()) + f", failures: {failures}")
        for name, problems in self.problems.items():
            print(f"  {name}: {len(problems)}", file=sys.stderr)
        return 1 if failures else 0


class Bench:
    """A job and its folder, where it is run again and again."""

    def __init__(self, campaign, job, folder):
        self.campaign = campaign
        self.job = job
        self.folder = folder
        self.force = False
        self.judge = None

    def prepare(self, older):
        """Undisturbed once: what must come out."""
        command = self.job.arguments(self.folder)[0]
        self.force = older and self.job.takes_force and "--force" in tessera(command, "--help").stdout
        clear(self.folder)
        result = self.job.run(self.folder)
        if result.returncode != 0:
            self.campaign.tell(self.job.name, "undisturbed", [f"exit code {result.returncode}: {result.stderr}"])
            return False
        good = snapshot(self.folder)
        self.judge = Judge(self.job, good, result.stdout)
        if not older:
            for name in self.job.outputs:
                wrong = self.job.reader(self.folder / name) if name in good else "it is missing"
                self.campaign.expect(not wrong, self.job.name, f"{name}, undisturbed: {wrong}")
        self.restore(older)
        return True

    def restore(self, older):
        """What is there before the command."""
        clear(self.folder)
        if older:
            self.job.older(self.folder)
        self.judge.before = snapshot(self.folder)

    def attempt(self, older, what, reasons, before=None, **options):
        """Runs and judges; `before`: called when older outputs are in place. Gives the result."""
        self.restore(older)
        after = before() if before else None
        try:
            result = self.job.run(self.folder, self.force, **options)
        except subprocess.TimeoutExpired:
            self.campaign.count_hang()
            self.campaign.tell(self.job.name, what, ["it hangs"])
            return None
        if after:
            after()
        self.campaign.count(result)
        self.campaign.tell(self.job.name, what, self.judge.problems(result, self.folder, reasons))
        return result


def spread(top, count):
    """Limits from nothing to `top`: the last ones next to each other, the others evenly."""
    near = max(1, count // 3)
    wanted = {top - i for i in range(near)} | {top * i // max(1, count - near) for i in range(count - near)}
    return sorted(limit for limit in wanted if limit >= 0)


def sweep(attempt, guess, count):
    """Runs `attempt(limit)`, true where it went well, at about `count` limits around the least that suffices. Gives
    what went well by limit; `guess`: a limit that should suffice nearly."""
    well = {}

    def good(limit):
        if limit not in well:
            well[limit] = attempt(limit)
        return well[limit]

    most = 4 * guess + 64
    high = guess
    while not good(high) and high < most:
        high = min(most, high + max(1, high // 4))
    if not well[high]:
        return well
    low = max([limit for limit, ok in well.items() if not ok], default=-1)
    while high - low > max(1, guess // 64):
        middle = (low + high) // 2
        if good(middle):
            high = middle
        else:
            low = middle
    for limit in spread(high, max(4, count - len(well))):
        good(limit)
    return well
