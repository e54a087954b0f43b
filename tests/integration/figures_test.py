#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every figure that a run prints has one row in docs/figures.md, whose formula gives the same from activity.h5. The page
is read by this test: its formulas are evaluated as they stand there."""
import collections
import functools
import json
import math
import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np

TESSERA = os.environ["TESSERA"]
SOURCE = Path(os.environ["TESSERA_SOURCE_DIR"])
PAGE = SOURCE / "docs/figures.md"
STAGES_OF_WORK = ("read drive crossbar hold convert shift_add output charge multiply share weigh chain digitise mvm "
                  "program vector write reserve transfer memory").split()
COMPUTING = STAGES_OF_WORK[STAGES_OF_WORK.index("drive"):STAGES_OF_WORK.index("mvm") + 1]
NONE = 2**64 - 1

SMALL = "--set tiles.columns=2 --set tiles.rows=2 --set tiles.macros=4 --set memory.ports=1"
RUNS = {
    "mesh": f"-n lenet5 -c clsa-256 {SMALL}",
    "pipeline": f"-n lenet5 -c clsa-256 {SMALL} --schedule xinf --images 5",
    "arrivals": f"-n lenet5 -c clsa-256 {SMALL} --images 6 --arrivals poisson:800us",
    "cut": f"-n lenet5 -c clsa-256 {SMALL} --schedule xinf --images 5 --arrivals 300us --until 1ms --level stage",
    "bus": f"-n lenet5 -c clsa-256 {SMALL} --set noc.kind=bus --set noc.bytes_per_cycle=4",
    "ideal": "-n lenet5 -c clsa-256-ideal --schedule xinf --set tiles.columns=2",
    "staged": "-t traces/two-layer-chain.trace.jsonl -c tiny --level stage",
    "aidac": "-n lenet5 -c aidac --set tiles.columns=2",
    "digital tiles": "-n lenet5 -c clsa-256-hybrid --set tiles.rows=4",
    "in turns": "-n lenet5 -c clsa-256 --set tiles.columns=1 --set tiles.rows=1 --set memory.ports=1 "
                "--set tiles.macros=5 --time-multiplex --images 2",
}


def rows_of_page(section):
    """Figures of a section, in order: name, formula, unit."""
    text = PAGE.read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    return [(name, formula, unit) for name, formula, unit in
            re.findall(r"^\| `([^`]+)` \| (?:`([^`]*)`)? ?\| ([^|]*?) ?\|", text, re.MULTILINE)]


def tessera(*arguments):
    done = subprocess.run([TESSERA, *arguments], capture_output=True, text=True, cwd=SOURCE)
    assert done.returncode == 0, f"tessera {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def plain(name):
    """As a part of a statistic's name."""
    return re.sub(r"[.#/ ]", "_", name)


class Run:
    """One run, and what formulas of the page may use."""

    def __init__(self, folder, options):
        self.printed = json.loads(tessera("run", *options.split(), "--json", "-o", str(folder), "--force"))
        self.statistics = dict(self.leaves(json.loads((folder / "stats.json").read_text())))
        self.inspected = json.loads(tessera("inspect", str(folder), "--json", "--top", "100000"))
        with h5py.File(folder / "activity.h5") as file:
            self.file = dict(file.attrs)
            self.tables = {name: file[path][:].view(np.recarray) for name, path in
                           {"ops": "ops", "units": "units", "layers": "layers", "buffers": "buffers",
                            "images": "images", "links": "noc/links"}.items()}
            self.header = json.loads(file["meta/trace_header"][()])
            clock = file["meta"].attrs
            self.period = clock["reference_clock.numerator"] / clock["reference_clock.denominator"]
            self.config = json.loads(file["meta/config"][()])
            self.kinds = h5py.check_enum_dtype(file["units"].dtype["kind"])
            self.operation_kinds = h5py.check_enum_dtype(file["ops"].dtype["kind"])
            self.causes = h5py.check_enum_dtype(file["ops"].dtype["cause"])
        self.stages = [name[5:] for name in self.tables["units"].dtype.names if name.startswith("time_")]
        self.names = {table: [name.decode() for name in self.tables[table].name]
                      for table in ("units", "layers", "buffers", "links")}

    @classmethod
    def leaves(cls, tree, prefix=""):
        for name, value in tree.items():
            if "value" in value and not isinstance(value["value"], dict):
                yield prefix + name, value
            for other in [key for key in value if isinstance(value[key], dict)]:
                yield from cls.leaves({other: value[other]}, f"{prefix}{name}.")

    @functools.lru_cache(maxsize=None)
    def of_kind(self, kind):
        return self.tables["units"].kind == self.kinds[kind]

    def time(self, stages):
        return self.time_in(tuple(stages))

    @functools.lru_cache(maxsize=None)
    def time_in(self, stages):
        return sum(self.tables["units"][f"time_{stage}"].astype(object) for stage in stages)

    def crossbars(self):
        """Digital tiles are the last columns of the grid."""
        tiles = self.config["tiles"]
        digital = self.config["digital"]["tile_columns"]
        node = self.tables["units"].node
        return self.of_kind("macro") & (node % tiles["columns"] < tiles["columns"] - digital)

    def placed(self, layers):
        return self.placed_of(tuple(layers))

    @functools.lru_cache(maxsize=None)
    def placed_of(self, wanted):
        crossbars = {name for name, its in zip(self.names["units"], self.crossbars()) if its}
        return {block["at"] for block in self.header["placement"]["blocks"] if block["layer"] in wanted} & crossbars

    def reads(self, layer):
        """Which operations of a layer read more than padding; all of them if none does."""
        ops = self.tables["ops"]
        its = ops.layer == layer
        return its & (ops.padding == 0) if (its & (ops.padding == 0)).any() else its

    def energy(self):
        """Of the components of all products."""
        return [its["value"] for name, its in self.statistics.items()
                if name.startswith("chip.energy.") and name != "chip.energy.total"]

    def path(self, what=..., layer=...):
        """The span by what let the next operation start, walked back from its end; of these names, if given."""
        return sum(time for key, time in self.walk().items()
                   if what in (..., key[0]) and layer in (..., key[1]))

    @functools.lru_cache(maxsize=None)
    def walk(self):
        ops = self.tables["ops"]
        kinds = {value: name for name, value in self.operation_kinds.items()}
        causes = {value: name for name, value in self.causes.items()}
        by_id = {int(record.id): record for record in ops}
        parts = collections.Counter()
        record = max(ops, key=lambda its: (its.end, -int(its.id)))
        upper = int(record.end)
        parts["nothing in flight", None] += int(self.file["span_ps"]) - upper
        while record is not None:
            layer = self.names["layers"][record.layer] if record.layer < 2**32 - 1 else None
            kind = kinds[record.kind]
            contention = min(int(record.wait), upper - int(record.start))
            parts[kind, layer] += upper - int(record.start) - contention
            parts[f"{kind} contention", layer] += contention
            upper = int(record.start)
            cause = causes[record.cause]
            before = by_id[int(record.because)] if cause not in ("none", "release") else None
            if before is None:
                parts["release" if cause == "release" else "start", layer] += upper
            else:
                caused = min(int(before.end), upper)
                parts["alignment", layer] += upper - caused
                upper = caused
            record = before
        return +parts

    @staticmethod
    def sum(values):
        """Exact."""
        values = np.asarray(values) if not isinstance(values, list) else np.array(values, dtype=object)
        return int(np.count_nonzero(values)) if values.dtype == bool else int(sum(map(int, values[values != 0])))

    @staticmethod
    def rank(values, percent):
        ordered = sorted(int(value) for value in values)
        return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]

    @functools.cached_property
    def names_of_formulas(self):
        images = self.tables["images"]
        done = images[images.end != NONE]
        end, start, arrival = (done[name].astype(object) for name in ("end", "start", "arrival"))
        timed = bool(len(done)) and arrival[0] != NONE
        return {**self.tables, "file": self.file, "span": int(self.file["span_ps"]), "path": self.path,
                "energy": self.energy(), "ended": self.tables["ops"].unfinished == 0, "of_kind": self.of_kind,
                "time": self.time, "computing": COMPUTING, "working": STAGES_OF_WORK, "crossbars": self.crossbars(),
                "placed": self.placed, "reads": self.reads, "period": self.period, "done": done,
                "latency": end - (arrival if timed else start), "service": end - start,
                "waiting": start - (arrival if timed else start), "ends": sorted(end),
                "in_turns": bool(self.file["in_turns"]), "rank": self.rank,
                "mean": lambda values: sum(values) / len(values), "sum": self.sum,
                "len": len, "int": int, "range": range, "ceil": math.ceil,
                "max": lambda values: int(np.max(values)), "min": lambda values: int(np.min(values))}

    def value(self, formula, **names):
        return eval(formula, {"__builtins__": {}}, {**self.names_of_formulas, **names})  # pylint: disable=eval-used


class Figures(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.runs = {name: Run(Path(cls.temporary.name) / name.replace(" ", "-"), options)
                    for name, options in RUNS.items()}

    def compare(self, run, name, printed, formula, **names):
        expected = run.value(formula, **names)
        if isinstance(expected, float) or isinstance(printed, float):
            self.assertTrue(math.isclose(printed, expected, rel_tol=1e-12, abs_tol=1e-12),
                            f"{name}: printed {printed}, {formula} is {expected}")
        else:
            self.assertEqual(printed, expected, f"{name}: {formula}")

    @staticmethod
    def bound(run, pattern):
        """Names that a pattern of the page stands for, with what its formula may use."""
        kinds = {"<unit>": "units", "<layer>": "layers", "<tile>": "buffers", "<link>": "links"}
        for word, table in kinds.items():
            if word in pattern:
                found = [(pattern.replace(word, name if word == "<unit>" else plain(name)), {"row": row})
                         for row, name in enumerate(run.names[table])]
                break
        else:
            found = [(pattern, {})]
        if "<component>" in pattern:
            found = [(name, {}) for name in run.statistics if name.startswith("chip.energy.")]
        for name, names in found:
            if "<stage>" in name:
                for stage in run.stages:
                    yield name.replace("<stage>", stage), {**names, "stage": stage}
            else:
                yield name, names

    def test_statistics(self):
        page = rows_of_page("Statistics")
        tested = set()
        for title, run in self.runs.items():
            with self.subTest(title):
                left = dict(run.statistics)
                for pattern, formula, unit in page:
                    for name, names in self.bound(run, pattern):
                        if name in left:
                            statistic = left.pop(name)
                            tested.add(pattern)
                            self.assertEqual(statistic["unit"], unit.split(",")[0], name)
                            if formula:
                                self.compare(run, name, statistic["value"], formula, **names)
                self.assertEqual(list(left), [], "have no row in the page")
        self.assertEqual([pattern for pattern, *_ in page if pattern not in tested], [], "were printed by no run")

    def test_units_add_up(self):
        for title, run in self.runs.items():
            with self.subTest(title):
                self.assertEqual(set(run.time(run.stages)), {int(run.file["span_ps"])})
                self.assertEqual(sum(run.walk().values()), int(run.file["span_ps"]))

    def test_json_of_run(self):
        page = rows_of_page("`run --json`")
        tested = set()
        for title, run in self.runs.items():
            with self.subTest(title):
                left = dict(flat(run.printed))
                for name, formula, _ in page:
                    if name in left:
                        tested.add(name)
                        printed = left.pop(name)
                        if printed is not None and formula:
                            self.compare(run, name, printed, formula)
                self.assertEqual([name for name in left if not name.startswith(("energy_aj.", "mapping."))], [],
                                 "have no row in the page")
                self.assertEqual(run.printed["makespan_ps"] is None, not run.printed["complete"])
        self.assertEqual([name for name, *_ in page if name not in tested], [], "were printed by no run")

    def test_tables_of_inspect(self):
        page = rows_of_page("Tables of `inspect`")
        tested = set()
        tables = {"Layers": "layers", "Busiest units": "units", "Busiest links": "links",
                  "Buffers in use, in bytes": "buffers"}
        formulas = {}
        for name, formula, _ in page:
            table, _, column = name.rpartition(": ")
            formulas.setdefault(table, {})[column] = formula
        for title, run in self.runs.items():
            with self.subTest(title):
                for table, rows in run.inspected.items():
                    known = formulas[table]
                    for printed in rows:
                        self.one_row(run, table, printed, known, tables, tested)
        self.assertEqual([name for name, *_ in page if name not in tested], [],
                         "were printed by no run")

    def one_row(self, run, table, printed, known, tables, tested):
        if table == "Summary":
            figure = printed["figure"].replace("makespan", "span")
            self.assertIn(figure, known)
            tested.add(f"Summary: {figure}")
            if known[figure]:
                self.compare(run, figure, printed["value"], known[figure])
            return
        row = None
        if table in tables:
            row = run.names[tables[table]].index(printed[next(iter(printed))])
        for column, value in printed.items():
            self.assertIn(column, known, table)
            tested.add(f"{table}: {column}")
            if known[column] and value is not None:
                self.compare(run, f"{table}: {column} of {printed}", value, known[column], row=row,
                             times=run.names_of_formulas.get(printed.get("time")), what=printed.get("what"), layer=printed.get("layer"))


def flat(tree, prefix=""):
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


class Glossary(unittest.TestCase):
    def test_has_every_cause_and_stage(self):
        words = set(re.findall(r"`([^`]*)`", (SOURCE / "docs/glossary.md").read_text()))
        with tempfile.TemporaryDirectory() as folder:
            tessera("run", "-t", "traces/two-layer-chain.trace.jsonl", "-c", "tiny", "-q", "-o", f"{folder}/run")
            with h5py.File(f"{folder}/run/activity.h5") as file:
                self.assertEqual(set(h5py.check_enum_dtype(file["ops"].dtype["cause"])) - words, set())
                self.assertEqual({name[5:] for name in file["units"].dtype.names if name.startswith("time_")} - words,
                                 set())


if __name__ == "__main__":
    unittest.main()
