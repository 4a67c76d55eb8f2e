#!/usr/bin/env python3
"""GGUF files, written and read without the program, and what must become of one.

    gguf_model.py make FILE [KIND]            a small model with experts; KIND: one that is wrong, or unusual, in one way
    gguf_model.py bad FOLDER                  FOLDER/KIND.gguf of every kind that must be refused
    gguf_model.py check SOURCE OUT [--profile P] [--chosen NAME,NAME]    OUT byte for byte; the chosen tensors are MXFP4
"""
import argparse
import os
import struct
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "model"))
import mxfp4_model  # noqa: E402

U8, U16, U32, F32, BOOL, STRING, ARRAY, U64 = 0, 2, 4, 6, 7, 8, 9, 10
PACK = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
# Bytes of a block of a type, and its values.
TYPES = {0: (4, 1), 1: (2, 1), 8: (34, 32), 26: (4, 1), 30: (2, 1), 39: (17, 32)}
MXFP4 = 39

# What the default takes of make()'s model.
CHOSEN = ("blk.0.attn_q.weight", "blk.0.attn_output.weight", "blk.0.ffn_gate.weight", "blk.0.ffn_down.weight",
          "blk.1.ffn_gate_exps.weight", "blk.1.ffn_down_exps.weight")


def string(text):
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(data)) + data


def value(kind, v):
    if kind == STRING:
        return string(v)
    if kind == ARRAY:
        inner, items = v
        return struct.pack("<IQ", inner, len(items)) + b"".join(value(inner, x) for x in items)
    return struct.pack("<" + PACK[kind], v)


def key(name, kind, v):
    return string(name) + struct.pack("<I", kind) + value(kind, v)


def pad(n, alignment):
    return -(-n // alignment) * alignment


def nbytes(kind, shape):
    """shape: rows last, as in NumPy."""
    size, block = TYPES[kind]
    return int(np.prod(shape, dtype=object)) // block * size


def describe(tensors, alignment):
    out, offset = b"", 0
    for name, kind, shape, data in tensors:
        out += string(name) + struct.pack("<I%dQ" % len(shape), len(shape), *shape[::-1]) + struct.pack("<IQ", kind, offset)
        offset += pad(len(data), alignment)
    return out


def assemble(keys, tensors, alignment=32, version=3, last=True):
    """keys: encoded. last: the last tensor is padded, too."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys)) + b"".join(keys) + describe(tensors, alignment)
    blob = head + bytes(pad(len(head), alignment) - len(head))
    for i, (_, _, _, data) in enumerate(tensors):
        blob += data
        if last or i + 1 < len(tensors):
            blob += bytes(pad(len(data), alignment) - len(data))
    return blob


# ---- reading

class Reader:
    def __init__(self, blob):
        self.blob, self.at = blob, 0

    def number(self, code):
        (v,) = struct.unpack_from("<" + code, self.blob, self.at)
        self.at += struct.calcsize("<" + code)
        return v

    def string(self):
        n = self.number("Q")
        self.at += n
        return self.blob[self.at - n:self.at]

    def value(self, kind):
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            inner, n = self.number("I"), self.number("Q")
            return [self.value(inner) for _ in range(n)]
        return self.number(PACK[kind])


def read(blob):
    """(version, {key: (its bytes, value)}, [(name, type, shape, data)], alignment)"""
    r = Reader(blob)
    assert blob[:4] == b"GGUF"
    r.at = 4
    version, ntensors, nkeys = r.number("I"), r.number("Q"), r.number("Q")
    keys, described = {}, []
    for _ in range(nkeys):
        begin, name = r.at, r.string().decode()
        v = r.value(r.number("I"))
        keys[name] = (blob[begin:r.at], v)
    alignment = keys["general.alignment"][1] if "general.alignment" in keys else 32
    for _ in range(ntensors):
        name, rank = r.string().decode(), r.number("I")
        shape = tuple(r.number("Q") for _ in range(rank))[::-1]
        described.append((name, r.number("I"), shape, r.number("Q")))
    start = pad(r.at, alignment)
    tensors = []
    for name, kind, shape, offset in described:
        begin = start + offset
        data = blob[begin:begin + nbytes(kind, shape)]
        assert len(data) == nbytes(kind, shape), name
        tensors.append((name, kind, shape, data))
    return version, keys, tensors, alignment


# ---- what must come out

def values(kind, shape, data):
    if kind == 30:
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
    return np.frombuffer(data, "<f2" if kind == 1 else "<f4").astype(np.float32).reshape(shape)


def blocks(x, profile):
    codes, scales = mxfp4_model.quantize_matrix(np.ascontiguousarray(x.reshape(-1, x.shape[-1])),
                                                mxfp4_model.PROFILES[profile])
    codes = codes.reshape(-1, 32).astype(np.uint8)
    out = np.empty((len(codes), 17), np.uint8)
    out[:, 0] = scales.reshape(-1)
    out[:, 1:] = codes[:, :16] | codes[:, 16:] << 4
    return out.tobytes()


def expected(blob, profile, chosen):
    version, keys, tensors, alignment = read(blob)
    made = [(n, MXFP4, s, blocks(values(k, s, d), profile)) if n in chosen else (n, k, s, d) for n, k, s, d in tensors]
    encoded = {name: data for name, (data, _) in keys.items()}
    if chosen:
        encoded["general.file_type"] = key("general.file_type", U32, 38)
        encoded["general.quantization_version"] = key("general.quantization_version", U32, 2)
    return assemble(list(encoded.values()), made, alignment, version)


# ---- models

def bf16(x):
    return (np.asarray(x, np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()


def hard(rng, shape):
    """Values with ties, zeros of both signs, subnormals and the largest among them."""
    x = rng.standard_normal(shape).astype(np.float32) * np.float32(2.0) ** rng.integers(-20, 20, shape[:-1] + (1,))
    flat = x.reshape(-1, 32)
    if len(flat) < 5:
        return x
    flat[0] = 0
    flat[1] = -0.0
    flat[2, :8] = (4, 0.25, -0.75, 1.25, 1.75, 2.5, -3.5, 5)
    flat[2, 8:] = 0
    flat[3] = np.float32(1e-40)
    flat[4, 0] = 3e38
    return flat.reshape(shape)


def parts(rng, rows):
    keys = [key("general.architecture", STRING, "llama"), key("general.file_type", U32, 1),
            key("llama.block_count", U32, 2), key("llama.rope.freq_base", F32, 10000.0),
            key("tokenizer.ggml.tokens", ARRAY, (STRING, ["<s>", "", "\u00e9\n"])),
            key("tokenizer.ggml.scores", ARRAY, (F32, [0.5, -1.0, 2.0])), key("tokenizer.ggml.add_bos_token", BOOL, 1),
            key("general.empty", STRING, "")]

    def f32(*shape):
        return 0, shape, hard(rng, shape).astype("<f4").tobytes()

    def f16(*shape):
        return 1, shape, np.clip(hard(rng, shape), -60000, 60000).astype("<f2").tobytes()

    def b16(*shape):
        return 30, shape, bf16(hard(rng, shape))

    def raw(kind, *shape):
        return kind, shape, rng.integers(0, 256, nbytes(kind, shape), dtype=np.uint8).tobytes()

    tensors = [("token_embd.weight", *f16(40, 64)), ("blk.0.attn_norm.weight", *f32(64)), ("blk.0.attn_q.weight", *b16(64, 64)),
               ("blk.0.attn_q.bias", *f32(5, 32)), ("blk.0.attn_k.weight", *raw(30, 7, 33)),
               ("blk.0.attn_v.weight", *raw(8, 32, 64)), ("blk.0.attn_output.weight", *f32(37, 96)),
               ("blk.0.ffn_gate.weight", *f16(96, 64)), ("blk.0.ffn_up.weight", *raw(MXFP4, 96, 64)),
               ("blk.0.ffn_down.weight", *b16(rows, 1056)), ("blk.1.ffn_gate_inp.weight", *f32(4, 64)),
               ("blk.1.ffn_gate_exps.weight", *b16(4, 33, 64)), ("blk.1.ffn_down_exps.weight", *f16(4, 64, 32)),
               ("blk.1.exp_ids", *raw(26, 3)), ("blk.1.ssm_conv1d.weight", *f32(8, 32)), ("output_norm.weight", *f32(64)),
               ("output.weight", *raw(30, 41, 33))]
    return keys, tensors


def poke(blob, tensor, extra, data):
    """Overwrites what stands so many bytes after a tensor's name."""
    at = blob.index(string(tensor)) + len(string(tensor)) + extra
    return blob[:at] + data + blob[at + len(data):]


def first(blob, data, at):
    return blob[:at] + data + blob[at + len(data):]


BAD = """magic empty short v1 v4 big-endian tensors-huge keys-huge keys-more cut-keys cut-tensor long rank shape-huge
shape-grown type type-removed type-block offset offset-huge split file-type-twice alignment-odd alignment-zero alignment-type
value-type array-array array-huge strings-huge string-huge key-huge key-nul name-twice nan inf""".split()


def make(kind):
    # More values in one tensor than the program takes at a time.
    keys, tensors = parts(np.random.default_rng(20), 34 if kind in BAD else 1030)
    if kind in ("aligned", "no-padding"):
        keys.insert(2, key("general.alignment", U32, 256))
        keys.insert(1, key("general.quantization_version", U32, 1))
        return assemble(keys, tensors, 256, 2, kind == "aligned")
    if kind in ("nan", "inf"):
        name, code, shape, data = tensors[6]
        x = np.frombuffer(data, "<f4").copy()
        x[96 * 3 + 5] = np.nan if kind == "nan" else -np.inf
        tensors[6] = (name, code, shape, x.tobytes())
    extra = {"split": key("split.count", U16, 2), "file-type-twice": key("general.file_type", U32, 1),
             "alignment-odd": key("general.alignment", U32, 24), "alignment-zero": key("general.alignment", U32, 0),
             "alignment-type": key("general.alignment", U64, 32),
             "value-type": string("a.b") + struct.pack("<I", 13), "array-array": key("a.b", ARRAY, (ARRAY, [])),
             "array-huge": string("a.b") + struct.pack("<IIQ", ARRAY, U64, 1 << 61),
             "strings-huge": string("a.b") + struct.pack("<IIQ", ARRAY, STRING, 1 << 62),
             "string-huge": string("a.b") + struct.pack("<IQ", STRING, (1 << 64) - 1),
             "key-huge": struct.pack("<Q", 1 << 40) + b"a", "key-nul": key("a\0b", U8, 1), "one-part": key("split.count", U16, 1)}
    if kind in extra:
        keys.append(extra[kind])
    if kind == "name-twice":
        tensors.append(tensors[2])
    blob = assemble(keys, tensors)
    q = "blk.0.attn_q.weight"
    return {"magic": lambda: b"GGUX" + blob[4:], "empty": lambda: b"", "short": lambda: blob[:20],
            "v1": lambda: first(blob, struct.pack("<I", 1), 4), "v4": lambda: first(blob, struct.pack("<I", 4), 4),
            "big-endian": lambda: first(blob, struct.pack(">I", 3), 4),
            "tensors-huge": lambda: first(blob, struct.pack("<Q", 1 << 60), 8),
            "keys-huge": lambda: first(blob, struct.pack("<Q", (1 << 64) - 1), 16),
            "keys-more": lambda: first(blob, struct.pack("<Q", len(keys) + 1), 16),
            "cut-keys": lambda: blob[:500], "cut-tensor": lambda: blob[:-4000], "long": lambda: blob + b"abc",
            "rank": lambda: poke(blob, q, 0, struct.pack("<I", 5)),
            "shape-huge": lambda: poke(blob, q, 4, struct.pack("<QQ", 1 << 40, 1 << 40)),
            "shape-grown": lambda: poke(blob, q, 4, struct.pack("<QQ", 64, 1 << 30)),
            "type": lambda: poke(blob, q, 20, struct.pack("<I", 99)), "type-removed": lambda: poke(blob, q, 20, struct.pack("<I", 4)),
            "type-block": lambda: poke(blob, "blk.0.attn_k.weight", 20, struct.pack("<I", 8)),
            "offset": lambda: poke(blob, q, 24, struct.pack("<Q", 32)),
            "offset-huge": lambda: poke(blob, q, 24, struct.pack("<Q", (1 << 64) - 32))}.get(kind, lambda: blob)()


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("make", "bad", "check"))
    parser.add_argument("file")
    parser.add_argument("other", nargs="?", default="good")
    parser.add_argument("--profile", default="ggml")
    parser.add_argument("--chosen", default=",".join(CHOSEN))
    o = parser.parse_args(arguments)
    if o.action == "make":
        with open(o.file, "wb") as f:
            f.write(make(o.other))
        return 0
    if o.action == "bad":
        for kind in BAD:
            with open(os.path.join(o.file, kind + ".gguf"), "wb") as f:
                f.write(make(kind))
        return 0
    with open(o.file, "rb") as f:
        want = expected(f.read(), o.profile, [n for n in o.chosen.split(",") if n])
    with open(o.other, "rb") as f:
        got = f.read()
    if want == got:
        print("as expected")
        return 0
    for (name, kind, _, data), (got_name, got_kind, _, got_data) in zip(read(want)[2], read(got)[2]):
        if (name, kind, data) != (got_name, got_kind, got_data):
            print("%s: type %d, must be %s: type %d; %d bytes differ" % (
                got_name, got_kind, name, kind, sum(a != b for a, b in zip(data, got_data))))
    print("%d bytes, must be %d" % (len(got), len(want)))
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
