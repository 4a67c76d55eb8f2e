#!/usr/bin/env python3
"""Holds `mxfp4q profiles --json`, `--diff` and `--measure` against the model.

The program finds differences of profiles by quantizing many small blocks; here the same inputs go through
mxfp4_model.py, classes are told apart by comparing float64 values, and what counts is which classes differ, how many of
all BF16 amax, and that every example is what both profiles make of it.

    profiles_model.py PROGRAM list               the bytes of special inputs, of every profile
    profiles_model.py PROGRAM diff               each profile with the next one
    profiles_model.py PROGRAM measure FILE.npy   every profile against the first one, in both directions
"""
import json
import subprocess
import sys
from functools import lru_cache
from math import ldexp

import numpy as np

import mxfp4_model as model

INFINITY = 0x7f80
TIES = (0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0)
# Under these, every BF16 value is tried: ordinary, tiny and huge ones.
AMAX = (0x4080, 0x40a0, 0x40c0, 0x40e0, 0x0001, 0x0040, 0x0080, 0x00c0, 0x0100, 0x0140, 0x7f00, 0x7f40, 0x7f7f)


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


# ---- what differs, by the model

def amax_class(pattern):
    value = float(bf16([pattern])[0])
    if value == 0:
        return "amax-zero"
    if value < 2.0 ** -126:
        return "amax-subnormal"
    if value < 2.0 ** -123:
        return "amax-tiny"
    if value >= 1.75 * 2.0 ** 127:
        return "amax-huge"
    mantissa = value / 2.0 ** np.floor(np.log2(value))
    for bound, below, exact in ((1, None, "amax-1"), (1.5, "amax-1-1.5", "amax-1.5"), (1.75, "amax-1.5-1.75", "amax-1.75"),
                                (2, "amax-1.75-2", None)):
        if mantissa < bound:
            return below
        if mantissa == bound:
            return exact
    raise AssertionError(value)


def value_class(x, scale):
    v = ldexp(abs(x), 127 - int(scale))
    if scale == 255:
        return "unscaled"
    if x == 0:
        return "minus-zero" if np.signbit(x) else "plus-zero"
    if v in TIES:
        return "tie-%g" % v
    if v <= 2.0 ** -150:
        return "vanishing"
    return "small" if v < 0.25 else "other"


@lru_cache(maxsize=None)
def scales_of_all_amax(profile):
    return quantize(bf16(np.arange(INFINITY))[:, None], profile)[1]


def values_under(amax):
    return bf16(np.concatenate((np.arange(amax + 1), np.arange(amax + 1) | 0x8000)))


@lru_cache(maxsize=None)
def codes_under(amax, profile):
    """Of every value up to amax, and the scale of a block that has amax."""
    x = values_under(amax)
    rows = -(-len(x) // (model.BLOCK - 1))
    blocks = np.full((rows, model.BLOCK), bf16([amax])[0])
    padded = np.concatenate((x, np.zeros(rows * (model.BLOCK - 1) - len(x), dtype=np.float32)))
    blocks[:, 1:] = padded.reshape(rows, model.BLOCK - 1)
    codes, scales = quantize(blocks, profile)
    return codes[:, 1:].reshape(-1)[:len(x)], scales[0]


def differing_amax(a, b):
    """{class: how many BF16 amax have other scales}."""
    counts = {}
    for pattern in np.flatnonzero(scales_of_all_amax(a) != scales_of_all_amax(b)):
        name = amax_class(pattern)
        counts[name] = counts.get(name, 0) + 1
    return counts


def differing_values(a, b):
    """{class: its signs} of the values that get other codes under scales that both have."""
    found = {}
    ordinary = {}
    for amax in AMAX:
        (codes_a, scale_a), (codes_b, scale_b) = codes_under(amax, a), codes_under(amax, b)
        if scale_a != scale_b:
            continue
        x = values_under(amax)
        for i in np.flatnonzero(codes_a != codes_b):
            name = value_class(float(x[i]), scale_a)
            if scale_a <= 1 and x[i] != 0 and name not in ordinary:
                name = "tiny-scale"
            found.setdefault(name, set()).add("negative" if np.signbit(x[i]) else "positive")
        if amax >= 0x4080 and amax < 0x4100:
            ordinary = dict(found)
    return found


# ---- against what the program says

def is_value(name):
    return name.startswith("tie-") or name in ("minus-zero", "plus-zero", "small", "vanishing", "unscaled", "other", "tiny-scale")


def check_example(entry, names):
    values = entry["example"]["values"]
    if not values:
        return
    block = np.array([[float(text.replace("-nan", "nan")) for text in values]], dtype=np.float32)
    for i, text in enumerate(values):
        block[0, i] = np.copysign(block[0, i], -1.0 if text.startswith("-") else 1.0)
    for side, name in zip("ab", names):
        codes, scales = quantize(block, name)
        told = entry["example"][side]
        # Past the end of a row there is a code more than values.
        assert told["codes"][:len(values)] == codes[0].tolist(), (name, entry, codes)
        assert told["scale"] == scales[0], (name, entry, scales)


def check_diff(program, a, b):
    told, status = run(program, "--diff", a, b, status=(0, 1))
    classes = {entry["class"]: entry for entry in told["classes"]}
    assert status == (1 if classes else 0) and told["equal"] == (not classes), (a, b, status)
    amax = {name: entry["different"] for name, entry in classes.items() if entry["share_of_amax"] is not None}
    assert amax == differing_amax(a, b), (a, b, amax, differing_amax(a, b))
    assert told["different_amax"] == sum(amax.values()) and told["amax"] == INFINITY
    for name, count in amax.items():
        assert abs(classes[name]["share_of_amax"] - count / INFINITY) < 1e-9
    values = {name: {sign for sign in ("positive", "negative") if entry[sign]} for name, entry in classes.items()
              if is_value(name)}
    assert values == differing_values(a, b), (a, b, values, differing_values(a, b))
    for entry in classes.values():
        check_example(entry, (a, b))
    # These are one input each.
    for name, block in (("amax-infinite", [np.inf, -np.inf, 2.0 ** 127, -(2.0 ** 127)]), ("nan", [4, -4, np.nan]),
                        ("nan-negative", [4, -4, -np.nan]), ("nan-only", [np.nan] * 3),
                        ("nan-infinity", [np.inf, -np.inf, np.nan])):
        results = [quantize([block], profile) for profile in (a, b)]
        different = any((x != y).any() for x, y in zip(*results))
        assert (name in classes) == different, (a, b, name)
    pads = [model.PROFILES[profile].pad_fill for profile in (a, b)]
    assert ("padding" in classes) == (pads[0] != pads[1]), (a, b, pads)


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


def check_measure(program, path):
    with open(path, "rb") as file:
        kind, raw = model.parse_npy(file.read(), None)
    rowwise = model.widen(model.flatten(raw, None), kind)
    for direction, x in (("rowwise", rowwise), ("columnwise", rowwise.T)):
        told, _ = run(program, "--measure", path, "--direction", direction)
        assert len(told) == 1 and len(told[0]["profiles"]) == len(model.PROFILES), told
        codes, scales = model.quantize_matrix(x, model.PROFILES[told[0]["reference"]])
        for entry in told[0]["profiles"]:
            other_codes, other_scales = model.quantize_matrix(x, model.PROFILES[entry["profile"]])
            assert (entry["codes"], entry["scales"]) == (x.size, scales.size), entry
            assert entry["different_codes"] == np.count_nonzero(codes != other_codes), entry
            assert entry["different_scales"] == np.count_nonzero(scales != other_scales), entry
            check_losses(entry, x.astype(np.float64), other_codes, other_scales)


def check_losses(entry, x, codes, scales):
    values = np.concatenate((model.MAGNITUDES, -model.MAGNITUDES))
    scale = np.repeat(2.0 ** (scales.astype(np.float64) - 127), model.BLOCK, axis=1)[:, :x.shape[1]]
    decoded = values[codes[:, :x.shape[1]]] * scale
    snr = 10 * np.log10(np.sum(x * x) / np.sum((x - decoded) ** 2))
    # The program adds the errors of a run of blocks in FP32.
    assert abs(entry["snr_db"] - snr) < 1e-6 * snr, (entry, snr)
    assert abs(entry["saturated"] - np.mean(np.abs(x) > 6 * scale)) < 1e-12, entry


def main():
    program, what = sys.argv[1:3]
    names = list(model.PROFILES)
    if what == "list":
        check_list(program)
    elif what == "measure":
        check_measure(program, sys.argv[3])
    else:
        for a, b in zip(names, names[1:] + names[:1]):
            check_diff(program, a, b)


if __name__ == "__main__":
    main()
