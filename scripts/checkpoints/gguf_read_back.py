#!/usr/bin/env python3
"""Reads a GGUF file that `mxfp4q quantize` made with gguf, llama.cpp's Python package (0.19.0), beside its source.

    python3 -m venv gguf && gguf/bin/pip install gguf==0.19.0
    gguf/bin/python gguf_read_back.py SOURCE.gguf OUT.gguf

The keys must be the source's but for two, the other tensors too, and every MXFP4 tensor what gguf's own quantizer makes of
the source, bit for bit, and gguf must decode it to the numbers that the bytes stand for. Its logarithm in FP32 is one too high for an amax a few units below a power of two, so FP32 values
may differ there; such blocks are counted, and must be right by the definition.
"""
import os
import sys

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader
from gguf.quants import dequantize, quantize

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import gguf_model  # noqa: E402

SET = {"general.file_type": 38, "general.quantization_version": 2}
VALUES = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6])
HEADER = {"GGUF.version", "GGUF.tensor_count", "GGUF.kv_count"}


def check_keys(source, out):
    wrong = []
    for name in sorted(set(source.fields) | set(out.fields) | set(SET)):
        a, b = source.fields.get(name), out.fields.get(name)
        if name in SET:
            if b is None or b.contents() != SET[name]:
                wrong.append("%s is %s" % (name, b and b.contents()))
        elif name not in HEADER and (a is None or b is None or a.types != b.types or a.contents() != b.contents()):
            wrong.append("%s differs" % name)
    return wrong


def main(source_path, out_path):
    source, out = GGUFReader(source_path), GGUFReader(out_path)
    wrong = check_keys(source, out)
    counts = {"MXFP4 as gguf makes it": 0, "MXFP4, blocks that gguf's logarithm gets wrong": 0, "copied": 0}
    for a, b in zip(source.tensors, out.tensors, strict=True):
        if a.name != b.name or list(a.shape) != list(b.shape):
            wrong.append("%s: became %s" % (a.name, b.name))
        elif a.tensor_type == b.tensor_type:
            counts["copied"] += 1
            if a.data.tobytes() != b.data.tobytes():
                wrong.append("%s: its bytes differ" % a.name)
        elif b.tensor_type != GGMLQuantizationType.MXFP4:
            wrong.append("%s: type %s" % (a.name, b.tensor_type))
        else:
            values = dequantize(a.data, a.tensor_type).astype(np.float32)
            theirs = quantize(values, GGMLQuantizationType.MXFP4).reshape(-1, 17)
            ours = np.asarray(b.data).reshape(-1, 17)
            right = np.frombuffer(gguf_model.blocks(values, "ggml"), np.uint8).reshape(-1, 17)
            differ = (theirs != ours).any(axis=1)
            counts["MXFP4 as gguf makes it"] += int((~differ).sum())
            counts["MXFP4, blocks that gguf's logarithm gets wrong"] += int(differ.sum())
            if (ours[differ] != right[differ]).any():
                wrong.append("%s: blocks differ" % a.name)
            codes = np.concatenate((ours[:, 1:] & 15, ours[:, 1:] >> 4), axis=1)
            decoded = np.ldexp(VALUES[codes], ours[:, :1].astype(int) - 127).reshape(values.shape)
            if (dequantize(b.data, b.tensor_type) != decoded).any():
                wrong.append("%s: gguf decodes it to other values" % a.name)
    print("\n".join(wrong + ["%8d %s" % (n, what) for what, n in counts.items()]))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
