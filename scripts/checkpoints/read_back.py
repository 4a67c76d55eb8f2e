#!/usr/bin/env python3
"""Reads checkpoints that mxfp4q made with the reference safetensors package and PyTorch, and decodes them independently.

    read_back.py MODEL_DIR OUT_DIR...

Every tensor of every file is read by safetensors' own reader; F4 and F8_E8M0 as torch.float4_e2m1fn_x2 and
torch.float8_e8m0fnu; buffers are brought back into order by the view and permutation of AITER's shuffles; gpt-oss's blocks
go through transformers' convert_moe_packed_tensors as well. Each decoded value must be within the rounding error of its
place on the E2M1 grid, and the SNR must be the one in mxfp4q-report.json. What is not MXFP4 must have the source's bytes.

    pip install safetensors==0.8.0 torch==2.11.0 transformers==5.24.0 numpy==2.4.6
"""
import json
import math
import os
import sys

import torch
from safetensors import safe_open

GRID = torch.tensor([0, .5, 1, 1.5, 2, 3, 4, 6], dtype=torch.float64)


def load(folder):
    """{name: tensor}, by the reference reader."""
    index = os.path.join(folder, "model.safetensors.index.json")
    tensors, where = {}, {}
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".safetensors"):
            continue
        with safe_open(os.path.join(folder, name), framework="pt") as f:
            for key in f.keys():
                assert key not in tensors, key
                tensors[key], where[key] = f.get_tensor(key), name
    if os.path.exists(index):
        with open(index, encoding="utf-8") as f:
            index = json.load(f)
        assert index["weight_map"] == where, folder
        assert index["metadata"]["total_size"] == sum(t.numel() * t.element_size() for t in tensors.values()), folder
    return tensors


def as_bytes(tensor):
    return tensor.contiguous().view(torch.uint8)


def source_values(model, name):
    x = model[name]
    scale = model.get(name + "_scale_inv")
    if scale is None:
        return x.to(torch.float64)
    scale = scale.to(torch.float32).repeat_interleave(128, -2).repeat_interleave(128, -1)
    return (x.to(torch.float32) * scale[..., :x.shape[-2], :x.shape[-1]]).to(torch.float64)


def decode(packed, scales):
    """(..., R, K/2) and (..., R, K/32) to values and the step that each has at its scale."""
    codes = torch.stack((packed & 15, packed >> 4), dim=-1).flatten(-2).long()
    step = torch.exp2(scales.to(torch.float64) - 127).repeat_interleave(32, -1)[..., :codes.shape[-1]]
    return GRID[codes & 7] * torch.where(codes & 8 != 0, -1.0, 1.0) * step, step


def unshuffle_data(x):
    """AITER's shuffle_weight (16, 16), undone: (R/16, Kp/32, 2, 16 rows, 16 bytes)."""
    r, k = x.shape[-2:]
    lead = x.shape[:-2]
    if k % 32:      # a half tile at the end
        return x.reshape(*lead, r // 16, k // 16, 16, 16).transpose(-3, -2).reshape(*lead, r, k)
    n = len(lead)
    x = x.reshape(*lead, r // 16, k // 32, 2, 16, 16)
    return x.permute(*range(n), n, n + 3, n + 1, n + 2, n + 4).reshape(*lead, r, k)


def unshuffle_scale(x):
    """AITER's e8m0_shuffle, undone: stored as (Rp/32, Sp/8, 4, 16, 2, 2) of (Rp/32, 2, 16, Sp/8, 2, 4)."""
    r, s = x.shape[-2:]
    lead, n = x.shape[:-2], x.dim() - 2
    x = x.reshape(*lead, r // 32, s // 8, 4, 16, 2, 2)
    return x.permute(*range(n), n, n + 5, n + 3, n + 1, n + 4, n + 2).reshape(*lead, r, s)


class Reader:
    def __init__(self, folder):
        self.folder, self.tensors, self.used = folder, load(folder), set()
        path = os.path.join(folder, "mxfp4q-report.json")
        self.told = {}
        if os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                self.told = {t["name"]: t for t in json.load(f)["tensors"]}
        self.worst, self.npacked, self.nplain, self.nconverted = math.inf, 0, 0, 0

    def take(self, *names):
        if not all(n in self.tensors for n in names):
            return None
        self.used.update(names)
        return [self.tensors[n] for n in names]

    def judge(self, name, x, packed, scales, direction):
        """x has the orientation of the blocks. Returns the decoded values."""
        y, step = decode(packed[..., :x.shape[-2], :(x.shape[-1] + 1) // 2],
                         scales[..., :x.shape[-2], :-(-x.shape[-1] // 32)])
        y, step = y[..., :x.shape[-1]], step[..., :x.shape[-1]]
        v = (x / step).abs()
        room = torch.where(v < 2, 0.25, torch.where(v < 4, 0.5, torch.where(v <= 6, 1.0, v - 6)))
        bad = (x - y).abs() > step * room
        assert not bad.any(), (self.folder, name, bad.nonzero()[0].tolist())
        assert v.max() <= 8, (name, "a scale that is too small", v.max())
        snr = 10 * math.log10((x ** 2).sum() / ((x - y) ** 2).sum())
        if name in self.told:
            assert abs(self.told[name][direction]["snr_db"] - snr) < 1e-4, (name, snr, self.told[name])
        self.worst, self.npacked = min(self.worst, snr), self.npacked + 1
        return y

    def read_gpt_oss(self, name, x, pair):
        from transformers.integrations.mxfp4 import convert_moe_packed_tensors
        blocks, scales = pair
        y = self.judge(name, x.transpose(-1, -2), blocks.flatten(-2), scales, "columnwise")
        theirs = convert_moe_packed_tensors(blocks, scales)
        assert theirs.shape == x.shape, (name, theirs.shape, x.shape)
        tiny = scales.repeat_interleave(32, -1).transpose(-1, -2) < 8      # their ldexp() goes through BF16 subnormals
        same = theirs.to(torch.float64) == y.transpose(-1, -2)
        assert (same | tiny).all(), (name, "transformers decodes it otherwise")
        self.nconverted += 1

    def read_matrix(self, name, x):
        """True when the weight is MXFP4 in some format."""
        pair = self.take(name + "_blocks", name + "_scales")
        if pair:
            self.read_gpt_oss(name, x, pair)
            return True
        for direction, m in (("rowwise", x), ("columnwise", x.transpose(-1, -2))):
            pair = self.take("%s.%s_data" % (name, direction), "%s.%s_scale" % (name, direction))
            if pair:
                self.judge(name, m, unshuffle_data(pair[0]), unshuffle_scale(pair[1]), direction)
                found = True
        if "found" in locals():
            return True
        pair = self.take(name + "_packed", name + "_scale") or self.take(name, name + "_scale")
        if not pair:
            return False
        codes, scales = as_bytes(pair[0]), as_bytes(pair[1])
        across = codes.shape[-2:] == (x.shape[-2], x.shape[-1] // 2)
        self.judge(name, x if across else x.transpose(-1, -2), codes, scales, "rowwise" if across else "columnwise")
        return True

    def read_plain(self, name, source, x):
        there, = self.take(name)
        if there.dtype == source.dtype:
            assert there.shape == source.shape and torch.equal(as_bytes(there), as_bytes(source)), name
        else:
            assert there.dtype == torch.bfloat16 and torch.equal(there, x.to(torch.float32).to(torch.bfloat16)), name
        self.nplain += 1


def main(arguments):
    model = load(arguments[0])
    for folder in arguments[1:]:
        reader = Reader(folder)
        for name, source in model.items():
            if name.endswith("_scale_inv"):
                continue
            x = source_values(model, name)
            if x.dim() < 2 or not reader.read_matrix(name, x):
                reader.read_plain(name, source, x)
        extra = set(reader.tensors) - reader.used
        assert not extra, (folder, extra)
        print("%s: %d MXFP4 matrices decoded (SNR from %.2f dB on), %d by transformers too, %d tensors as in the source" % (
            folder, reader.npacked, reader.worst, reader.nconverted, reader.nplain))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
