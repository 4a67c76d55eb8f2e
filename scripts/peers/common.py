"""What the scripts of the peers share: to run a peer on the inputs, and to write down what it made.

A peer's script calls record() once for each profile. The full output goes to build/peers/PROFILE/CASE.bin, codes first,
then scale bytes; hashes and a sample of it go to testdata/peers/PROFILE/peer.json.
"""
import datetime
import hashlib
import importlib.metadata
import json
import os
import platform

import numpy as np

import inputs

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
FULL = os.environ.get("MXFP4Q_PEERS_OUT", os.path.join(ROOT, "build", "peers"))
COMMITTED = os.environ.get("MXFP4Q_PEERS_JSON", os.path.join(ROOT, "testdata", "peers"))
DEVICE = os.environ.get("MXFP4Q_PEERS_DEVICE", "cpu")
NUM_CHUNKS, NUM_SAMPLES = 12, 6


def every(reason, *parts):
    """Cases to exclude for a reason: all with one of these in their name."""
    found = {case: reason for case in inputs.CASES if any(p in case for p in parts)}
    assert found
    return found


NONFINITE = ("infinity", "nan")


def package(*names):
    """The versions of installed packages: the peer's own first, then what it computes with."""
    return {name: importlib.metadata.version(name) for name in names}


def pack(codes):
    """Codes (R, K) to bytes (R, K/2), the even one in the low half."""
    return (codes[:, 0::2] | codes[:, 1::2] << 4).astype(np.uint8)


def sample_blocks(nblocks):
    """Evenly spread, the first and the last among them."""
    return sorted({i * (nblocks - 1) // (NUM_SAMPLES - 1) for i in range(NUM_SAMPLES)})


def join(data, scale):
    """Blocks (n, 17), the scale byte first; codes past the end of a row are 0."""
    data = np.pad(data, ((0, 0), (0, scale.shape[1] * inputs.BLOCK // 2 - data.shape[1])))
    return np.concatenate((scale.reshape(-1, 1), data.reshape(-1, inputs.BLOCK // 2)), axis=1)


def split(raw, x):
    """The codes and the scale bytes of a matrix like x from one after the other."""
    rows, cols = x.shape
    nbytes = rows * ((cols + 1) // 2)
    return raw[:nbytes].reshape(rows, -1), raw[nbytes:].reshape(rows, -(-cols // inputs.BLOCK))


def describe(case, x, data, scale):
    """What is committed of one case: hashes of all of it and of pieces of it, and single blocks."""
    blocks = join(data, scale)
    chunks = np.array_split(blocks, NUM_CHUNKS)
    return {
        "case": case,
        "shape": list(x.shape),
        "input": inputs.digest(x),
        "codes": inputs.digest(blocks[:, 1:]),
        "scales": inputs.digest(scale),
        "chunks": " ".join(hashlib.sha256(c.tobytes()).hexdigest()[:8] for c in chunks),
        "sample": {str(i): blocks[i].tobytes().hex() for i in sample_blocks(len(blocks))},
    }


def check_output(x, data, scale):
    data, scale = np.ascontiguousarray(data), np.ascontiguousarray(scale)
    rows, cols = x.shape
    assert data.dtype == np.uint8 and data.shape == (rows, (cols + 1) // 2), (data.dtype, data.shape)
    assert scale.dtype == np.uint8 and scale.shape == (rows, -(-cols // inputs.BLOCK)), (scale.dtype, scale.shape)
    return data, scale


def write_json(name, facts):
    folder = os.path.join(COMMITTED, name)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "peer.json"), "w", encoding="ascii") as f:
        json.dump(facts, f, indent=1)
        f.write("\n")


def record(profile, packages, function, options, quantize, excluded=None, where=None, name=None, names=inputs.CASES):
    """Runs quantize(x) -> codes (R, K/2), scales (R, K/32), both uint8, on every case that is not excluded.

    excluded maps cases to the reason why the peer's output there is no promise of the profile; the peer is run on them
    too where it can be, and compare.py counts what differs. name is that of the folder when it is not the profile's,
    names are those of the cases.
    """
    excluded = excluded or {}
    folder = os.path.join(FULL, name or profile)
    os.makedirs(folder, exist_ok=True)
    cases, left_out = [], []
    for case in names:
        x = inputs.make(case)
        try:
            data, scale = check_output(x, *quantize(x))
            with open(os.path.join(folder, case + ".bin"), "wb") as f:
                f.write(data.tobytes() + scale.tobytes())
        except Exception as error:                   # the peer refuses the case; that it must be excluded is checked below
            if case not in excluded:
                raise
            left_out.append({"case": case, "reason": excluded[case], "raises": type(error).__name__})
            continue
        if case in excluded:
            left_out.append({"case": case, "reason": excluded[case]})
        else:
            cases.append(describe(case, x, data, scale))
    first = next(iter(packages))
    write_json(name or profile, {
        "profile": profile, "package": first, "version": packages[first], "with": packages, "function": function,
        "options": options, "platform": where or "%s %s, Python %s" % (platform.system(), platform.machine(), platform.python_version()),
        "date": datetime.date.today().isoformat(), "blocks": sum(c["shape"][0] * -(-c["shape"][1] // inputs.BLOCK) for c in cases),
        "cases": cases, "excluded": left_out})
    print("%s: %d cases, %d excluded" % (name or profile, len(cases), len(left_out)))


def torch_tensor(x):
    """Patterns as a tensor of BF16 or FP32, on the CPU or on $MXFP4Q_PEERS_DEVICE."""
    import torch
    integers = torch.from_numpy(x.view(np.int16 if x.dtype == np.uint16 else np.int32).copy()).to(DEVICE)
    return integers.view(torch.bfloat16 if x.dtype == np.uint16 else torch.float32)


def array(tensor):
    """A tensor of bytes, whatever it calls them."""
    import torch
    return tensor.detach().contiguous().view(torch.uint8).cpu().numpy()
