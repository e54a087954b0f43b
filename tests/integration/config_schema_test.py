# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of chip configs is a valid schema, takes every shipped file and refuses wrong ones."""

import copy
import json
import os
import pathlib
import unittest

import jsonschema

CONFIGS = pathlib.Path(
    os.environ.get("TESSERA_SOURCE_DIR", pathlib.Path(__file__).resolve().parents[2])
) / "configs"

WRONG = {
    "unknown key": {"noc": {"vcz": 1}},
    "unknown section": {"nocs": {}},
    "section that is none": {"noc": 3},
    "below the range": {"noc": {"vcs": 0}},
    "above the range": {"tiles": {"rows": 4097}},
    "not a multiple": {"noc": {"flit_bits": 100}},
    "number for a quantity": {"clock": 1000},
    "no unit": {"clock": "1.28"},
    "wrong unit": {"clock": "1 ns"},
    "negative time": {"macro": {"t_mvm": "-1 ns"}},
    "unit of cycles": {"macro": {"adc": {"time": "3 bicycles"}}},
    "null where none is allowed": {"macro": {"adc": {"time": None}}},
    "flag as a number": {"macro": {"sample_hold": {"present": 1}}},
    "unknown choice": {"noc": {"kind": "torus"}},
    "unlimited where nothing is": {"noc": {"vcs": "unlimited"}},
    "listed twice": {"mapping": {"on_crossbar": ["conv2d", "conv2d"]}},
    "empty group": {"macro": {"pipeline": {"groups": [[]]}}},
    "function name": {"vector": {"cost": {"Mish": 3}}},
    "empty base": {"extends": ""},
    "preset at the top": {"$preset": "x"},
    "not an object": [],
}

RIGHT = {
    "nothing": {},
    "notes": {"x-note": [1], "noc": {"x-note": None}},
    "unlimited": {"buffer": {"capacity": "unlimited", "ports": "unlimited"}},
    "cycles": {"macro": {"adc": {"time": "1 cycle"}, "crossbar": {"time": "30 cycles"}}},
    "micro sign": {"macro": {"t_mvm": "1.4 \u00b5s"}},
    "null": {"macro": {"t_mvm": None}},
    "bits": {"buffer": {"capacity": "128 Kibit"}},
    "cost": {"vector": {"cost": {"mish": 4, "x-why": "measured"}}},
}


class ChipSchema(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        schema = json.loads((CONFIGS / "schema" / "chip-1.0.schema.json").read_text())
        jsonschema.Draft202012Validator.check_schema(schema)
        cls.schema = schema
        cls.validator = jsonschema.Draft202012Validator(schema)

    def test_takes_the_shipped_chips(self):
        chips = sorted(CONFIGS.glob("*.json"))
        self.assertGreaterEqual(len(chips), 4)
        for chip in chips:
            with self.subTest(chip.name):
                self.validator.validate(json.loads(chip.read_text()))

    def test_takes_the_shipped_presets(self):
        presets = sorted((CONFIGS / "presets").glob("*/*.json"))
        self.assertTrue(presets)
        for preset in presets:
            chip = json.loads(preset.read_text())
            for section in reversed(preset.parent.name.split(".")):
                chip = {section: chip}
            with self.subTest(preset.name):
                self.validator.validate(chip)

    def test_takes_its_own_defaults(self):
        def defaults(schema):
            members = {}
            for name, member in schema["properties"].items():
                if "properties" in member:
                    members[name] = defaults(member)
                elif "default" in member:
                    members[name] = copy.deepcopy(member["default"])
            return members

        chip = defaults(self.schema)
        self.assertEqual(chip["noc"]["vcs"], 4)
        self.validator.validate(chip)

    def test_takes_what_is_right(self):
        for what, chip in RIGHT.items():
            with self.subTest(what):
                self.validator.validate(chip)

    def test_refuses_what_is_wrong(self):
        for what, chip in WRONG.items():
            with self.subTest(what):
                self.assertFalse(self.validator.is_valid(chip))


if __name__ == "__main__":
    unittest.main()
