#!/usr/bin/env python3
"""Writes testdata/peers/EVIDENCE: what each profile rests on, a line each: profile, peer, version, how.

    evidence.py [--check]

Where a peer has made vectors, its peer.json says it. The others could not be run; what they rest on is said here.
"""
import json
import os
import sys

import common

TE = "TransformerEngine"
FORMULAS = {
    "te-hip": (TE, "1459f9bb", "formulas of its source, and the conversion instruction executed by tests/gcnrun"),
    "te-triton": (TE, "0285870", "formulas of its source"),
    "aiter": ("AITER", "0b3d7161", "formulas of its source, and the conversion instruction executed by tests/gcnrun"),
    "aiter-even": ("AITER", "e4048607", "formulas of its source"),
    "aiter-hip-floor": ("AITER", "e4048607", "formulas of its source, and the conversion instruction executed by tests/gcnrun"),
    "primus-hip": ("Primus-Turbo", "03927e18", "formulas of its source, and the conversion instruction executed by tests/gcnrun"),
    "primus-triton": ("Primus-Turbo", "3e1d3292", "formulas of its source, and the conversion instruction executed by tests/gcnrun"),
    "mlx-gpu": ("MLX", "0ae28ee7", "formulas of its source"),
    "mlx-gpu-nearlog": ("MLX", "846d1762", "formulas of its source"),
    "microxcaling": ("microxcaling", "7bc4195", "formulas of its source; it is no package"),
}
PATH = os.path.join(common.COMMITTED, "EVIDENCE")


def lines():
    found = dict(FORMULAS)
    for name in sorted(os.listdir(common.COMMITTED)):
        path = os.path.join(common.COMMITTED, name, "peer.json")
        if os.path.exists(path):
            with open(path, encoding="ascii") as f:
                facts = json.load(f)
            if facts["profile"] != name:             # it proves a part of one
                continue
            only = "" if any(c["case"].startswith("bf16-") for c in facts["cases"]) else " FP32"
            found[name] = (facts["package"], facts["version"],
                           "%s: %s%s blocks, all equal" % (facts["function"], format(facts["blocks"], ","), only))
    return "".join("\t".join((name,) + found[name]) + "\n" for name in sorted(found))


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        with open(PATH, encoding="ascii") as f:
            sys.exit(0 if f.read() == lines() else "EVIDENCE is not what evidence.py writes")
    with open(PATH, "w", encoding="ascii") as f:
        f.write(lines())
