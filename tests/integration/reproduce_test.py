# SPDX-License-Identifier: Apache-2.0
"""`tessera reproduce`: the form of its JSON, and that published figures are never ours by entry."""
import json
import os
import subprocess
import sys
import tempfile
import time

TESSERA = os.environ["TESSERA"]
STATUSES = {"prediction", "accounting check", "calibration", "reference model"}


def run(*arguments):
    return subprocess.run([TESSERA, "reproduce", *arguments], capture_output=True, text=True)


def main():
    with tempfile.TemporaryDirectory() as folder:
        done = run("aidac", "--json", "-o", folder)
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        with open(os.path.join(folder, "report.json")) as file:
            assert json.load(file) == result
        assert run("aidac", "--json", "-o", folder).returncode == 2, "replaces a file unasked"
    for row in result["rows"]:
        assert list(row) == ["quantity", "published", "ours", "unit", "difference_percent", "status", "note"], row
        assert row["status"] in STATUSES, row
        if row["published"] is not None:
            expected = 100 * (row["ours"] - row["published"]) / row["published"]
            assert abs(row["difference_percent"] - expected) < 1e-9, row
        constants = result["constants"]
    calibrated = {c["constant"]: c["calibrated on"] for c in constants if c["status"] == "calibrated"}
    assert calibrated == {"unit_fF": "efficiency", "vtc_samples": "throughput"}, calibrated
    assert all(c["low"] <= c["value"] <= c["high"] and c["source"] for c in constants)

    ours = {row["quantity"]: row["ours"] for row in result["rows"]}
    operations = 2 * 1024 * 256
    picojoules = sum(term["pJ a product"] for term in result["energy"])
    assert abs(operations / picojoules / ours["AiDAC: efficiency"] - 1) < 1e-9, "the terms are the sum"
    sweep = result["sweep"][0]
    assert sweep["samples"] == 1000
    assert sweep["least output [%]"] < 1 and sweep["greatest output [%]"] > 99
    chains = [row["latency [ns]"] for row in result["rows_trend"]]
    assert chains == sorted(chains) and len(chains) == 4
    assert all(row["samples"] > 0 for trend in ("rows_trend", "bits_trend", "errors") for row in result[trend])
    alone = {row["alone"]: row for row in result["errors"]}
    step = 100 / 256  # of full scale; the greatest code is one below it
    assert alone["quantisation"]["max [%]"] <= step * 1.01, alone
    for layer in result["layers"]:
        assert layer["SNR calibrated [dB]"] > layer["SNR as built [dB]"], layer

    begin = time.monotonic()
    nowhere = run("clsa-cim", "-o", "/dev/null/report")  # takes a minute
    assert nowhere.returncode == 5 and "cannot create /dev/null/report" in nowhere.stderr, nowhere.stderr
    assert time.monotonic() - begin < 20, "computes before it looks where the report goes"

    wrong = run("aidca")
    assert wrong.returncode == 2 and "aidac" in wrong.stderr, wrong.stderr
    assert run().returncode == 2


if __name__ == "__main__":
    sys.exit(main())
