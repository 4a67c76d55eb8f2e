#!/usr/bin/env python3
"""Holds `mxfp4q profiles --json` against the model.

    profiles_model.py PROGRAM list   the bytes of special inputs, of every profile
"""
import json
import subprocess
import sys

import numpy as np

import mxfp4_model as model


def run(program, *words, status=(0,)):
    done = subprocess.run([program, "profiles", "--json", *words], capture_output=True, text=True)
    if done.returncode not in status:
        sys.exit("%s: status %d: %s" % (" ".join(words), done.returncode, done.stderr))
    return json.loads(done.stdout), done.returncode


def bf16(patterns):
    return (np.asarray(patterns, dtype=np.uint32) << 16).view(np.float32)


def quantize(values, profile):
    """float32 (blocks, n), n <= 32: codes (blocks, n) and scale bytes (blocks,)."""
    values = np.ascontiguousarray(values, dtype=np.float32)
    codes, scales = model.quantize_matrix(values, model.PROFILES[profile])
    return codes[:, :values.shape[1]], scales[:, 0]


def check_list(program):
    told, _ = run(program)
    assert [entry["profile"] for entry in told] == list(model.PROFILES), told
    assert [entry["default"] for entry in told] == [True] + [False] * (len(told) - 1)
    for entry in told:
        name = entry["profile"]
        for key, value in (("zero", 0.0), ("huge", bf16([0x7f7f])[0]), ("infinity", np.inf)):
            assert entry["makes"][key] == quantize([[value]], name)[1][0], (name, key)
        codes, scales = quantize([[4, np.nan, -np.nan]], name)
        assert entry["makes"]["nan"] == {"scale": scales[0], "codes": codes[0, 1:].tolist()}, name
        assert entry["pad_fill"] == model.PROFILES[name].pad_fill, name


def main():
    program, what = sys.argv[1:3]
    if what == "list":
        check_list(program)


if __name__ == "__main__":
    main()
