#!/usr/bin/env python3
"""Holds mxfp4q to what the peers made.

    compare.py [--full] [--case CASE] [PROFILE...]

Makes every input anew, quantizes it with $MXFP4Q (build/mxfp4q) and the profile, and compares hashes, pieces and samples
with testdata/peers/PROFILE/peer.json. With --full it compares block by block with the peer's whole output in build/peers,
which the peers' scripts have left there, and counts what differs, in excluded cases too. Exit status 1 when an output
that a profile promises differs.
"""
import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

import common
import inputs

MXFP4Q = os.environ.get("MXFP4Q", os.path.join(common.ROOT, "build", "mxfp4q"))


class Inputs:
    """Inputs as files; each is made once."""

    def __init__(self, folder):
        self.folder, self.made = folder, {}

    def get(self, case):
        if case not in self.made:
            x = inputs.make(case)
            path = os.path.join(self.folder, case + ".npy")
            with open(path, "wb") as f:
                f.write(inputs.npy_bytes(x))
            self.made[case] = (x, path)
        return self.made[case]


def quantize(path, x, profile, folder):
    """What mxfp4q makes, as join() gives it."""
    out = os.path.join(folder, "out")
    subprocess.run([MXFP4Q, "quantize", path, "-o", out, "--profile", profile, "--direction", "rowwise", "--layout", "linear",
                    "--nonfinite", "profile", "--format", "raw", "--no-fsync", "--force", "-q"], check=True)
    raw = [np.fromfile("%s.rowwise_%s.raw" % (out, b), dtype=np.uint8) for b in ("data", "scale")]
    return common.join(*common.split(np.concatenate(raw), x))


def show(index, theirs, ours, x):
    print("  block %d: theirs %02x %s\n  %sours   %02x %s" % (
        index, theirs[0], theirs[1:].tobytes().hex(), " " * len("block %d: " % index), ours[0], ours[1:].tobytes().hex()))
    row, block = divmod(index, -(-x.shape[1] // inputs.BLOCK))
    width = "%04x" if x.dtype == np.uint16 else "%08x"
    print("  input: " + " ".join(width % v for v in x[row, block * inputs.BLOCK:(block + 1) * inputs.BLOCK]))


def against_committed(committed, x, ours):
    """True when all of it has the committed hashes; else says where the first difference shows."""
    if inputs.digest(x) != committed["input"]:
        print("  the input is not the one that the peer was given")
        return False
    if inputs.digest(ours[:, 1:]) == committed["codes"] and inputs.digest(ours[:, 0]) == committed["scales"]:
        return True
    start = 0
    for chunk, wanted in zip(np.array_split(ours, common.NUM_CHUNKS), committed["chunks"].split()):
        if hashlib.sha256(chunk.tobytes()).hexdigest()[:8] != wanted:
            print("  first difference between blocks %d and %d" % (start, start + len(chunk) - 1))
            break
        start += len(chunk)
    for index, block in committed["sample"].items():
        theirs = np.frombuffer(bytes.fromhex(block), dtype=np.uint8)
        if not np.array_equal(theirs, ours[int(index)]):
            show(int(index), theirs, ours[int(index)], x)
            break
    return False


def codes_of(blocks):
    data = blocks[:, 1:]
    return np.stack((data & 15, data >> 4), axis=2).reshape(len(blocks), inputs.BLOCK)


def against_full(path, x, ours):
    """True when equal; else counts what differs, and shows the first block."""
    theirs = common.join(*common.split(np.fromfile(path, dtype=np.uint8), x))
    scale = theirs[:, 0] != ours[:, 0]
    t, o = codes_of(theirs), codes_of(ours)
    codes = (t != o) & ~scale[:, None]
    if not scale.any() and not codes.any():
        return True
    signs = codes & ((t ^ o) == 8)
    step = codes & ~signs & (np.abs((t & 7).astype(int) - (o & 7)) == 1)
    differ = np.flatnonzero((theirs != ours).any(axis=1))
    print("  of %d blocks %d differ: %d in the scale byte; in others %d codes: %d in the sign only, %d by one step" % (
        len(ours), len(differ), scale.sum(), codes.sum(), signs.sum(), step.sum()))
    if scale.any():
        pairs, counts = np.unique(np.stack((theirs[scale, 0], ours[scale, 0]), axis=1), axis=0, return_counts=True)
        print("  scale bytes, theirs/ours x count: " + ", ".join("%d/%d x %d" % (*p, n) for p, n in list(zip(pairs, counts))[:8]))
    show(differ[0], theirs[differ[0]], ours[differ[0]], x)
    return False


def compare(name, files, options, folder):
    """The number of cases that differ though the profile promises them. name is mostly the profile's."""
    with open(os.path.join(common.COMMITTED, name, "peer.json"), encoding="ascii") as f:
        facts = json.load(f)
    promised = {c["case"]: c for c in facts["cases"]}
    names = list(promised) + ([c["case"] for c in facts["excluded"]] if options.full else [])
    bad = blocks = 0
    for case in names:
        full = os.path.join(common.FULL, name, case + ".bin")
        if (options.case and case not in options.case) or (options.full and not os.path.exists(full)):
            continue
        x, path = files.get(case)
        ours = quantize(path, x, facts["profile"], folder)
        equal = against_full(full, x, ours) if options.full else against_committed(promised[case], x, ours)
        blocks += len(ours)
        if not equal:
            print("%s: %s differs%s" % (name, case, "" if case in promised else " (excluded)"))
            bad += case in promised
    print("%s, %s %s: %d blocks, %d cases differ" % (name, facts["package"], facts["version"], blocks, bad))
    return bad


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--case", action="append")
    parser.add_argument("profiles", nargs="*")
    options = parser.parse_args()
    profiles = options.profiles or sorted(p for p in os.listdir(common.COMMITTED)
                                          if os.path.isdir(os.path.join(common.COMMITTED, p)))
    with tempfile.TemporaryDirectory() as folder:
        files = Inputs(folder)
        bad = sum(compare(profile, files, options, folder) for profile in profiles)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
