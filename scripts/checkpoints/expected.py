#!/usr/bin/env python3
"""What mxfp4q must make of a model, in each format, by the model of quantization in scripts/model.

    expected.py MODEL_DIR OUT_DIR --format FORMAT [--profile PROFILE] [--include PATTERN]... [--exclude PATTERN]...
    expected.py MODEL_DIR OUT_DIR --check ...

Writes the shards and the index alone; with --check, compares those that are there: index, headers, their order, and every
byte. It shares nothing with the C program: no code, and no method, neither for the
choice of tensors nor for their bytes. Needs NumPy only.
"""
import argparse
import fnmatch
import json
import os
import re
import sys

import numpy as np

import make_model
import st

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "model"))
import mxfp4_model  # noqa: E402

FORMATS = ("quark", "compressed-tensors", "gpt-oss", "native", "buffers")
PROFILES = {"quark": "quark", "compressed-tensors": "compressed-tensors", "gpt-oss": "triton-kernels", "native": "te-hip",
            "buffers": "te-hip"}


def is_linear(name, shape):
    """The default: matrices and fused experts, but neither norms nor embeddings nor heads nor routers."""
    fused = re.search(r"\.experts\.(gate_up_proj|down_proj)$", name) is not None and len(shape) == 3
    if not (name.endswith(".weight") and len(shape) in (2, 3)) and not fused:
        return False
    module = name[:-len(".weight")] if name.endswith(".weight") else name
    last = module.split(".")[-1]
    return not (last.endswith("norm") or "embed" in module or last in ("lm_head", "router", "gate"))


def matches(patterns, name):
    return any(re.search(p[3:], name) if p.startswith("re:") else fnmatch.fnmatchcase(name, p) for p in patterns)


def values(tensors, name):
    """FP32, with the scales of FP8 blocks applied as one product in FP32."""
    dtype, shape, data = tensors[name]
    if dtype == "BF16":
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
    if dtype in ("F16", "F32"):
        return np.frombuffer(data, "<f2" if dtype == "F16" else "<f4").astype(np.float32).reshape(shape)
    assert dtype == "F8_E4M3"
    scales = values(tensors, name + "_scale_inv")
    rows, cols = shape
    x = make_model.fp8_table()[np.frombuffer(data, np.uint8)].reshape(shape)
    return x * scales.repeat(128, 0)[:rows].repeat(128, 1)[:, :cols]


def quantize(x, profile):
    """(R, K) to codes, one a byte and padded to whole blocks, and scale bytes (R, K/32)."""
    return mxfp4_model.quantize_matrix(np.ascontiguousarray(x), mxfp4_model.PROFILES[profile])


def slices(x):
    return x.reshape(-1, x.shape[-2], x.shape[-1])


def stack(parts, shape):
    return np.stack(parts).reshape(shape).tobytes()


def linear(x, profile, dtypes, transposed=False):
    """Codes and scales as (dtype, shape, bytes), fused dimensions kept."""
    x = np.swapaxes(x, -1, -2) if transposed else x
    codes, scales = zip(*(quantize(m, profile) for m in slices(x)))
    codes = [mxfp4_model.data_linear(c, x.shape[-1]) for c in codes]
    lead = x.shape[:-1]
    code_shape, scale_shape = lead + (codes[0].shape[-1],), lead + (scales[0].shape[-1],)
    stored = lead + (x.shape[-1],) if dtypes[0] == "F4" else code_shape
    return (dtypes[0], stored, stack(codes, code_shape)), (dtypes[1], scale_shape, stack(scales, scale_shape))


def make(name, x, form, profile, transposed):
    """{name: (dtype, shape, bytes)} of one weight."""
    if form == "gpt-oss":
        if x.ndim != 3:
            raise SystemExit("gpt-oss has fused experts only: " + name)
        (_, shape, codes), scale = linear(x, profile, ("U8", "U8"), transposed)
        return {name + "_blocks": ("U8", shape[:-1] + (shape[-1] // 16, 16), codes), name + "_scales": scale}
    if form == "native":
        codes, scale = linear(x, profile, ("F4", "F8_E8M0"), transposed)
        return {name: codes, name + "_scale": scale}
    codes, scale = linear(x, profile, ("U8", "U8"), transposed)
    return {name + ("_packed" if form == "compressed-tensors" else ""): codes, name + "_scale": scale}


def buffers(name, x, profile):
    made, recipe = {}, mxfp4_model.PROFILES[profile]
    for kind, m in (("rowwise", x), ("columnwise", np.swapaxes(x, -1, -2))):
        codes, scales = zip(*(quantize(s, profile) for s in slices(m)))
        codes = [mxfp4_model.data_aiter(c) for c in codes]
        scales = [mxfp4_model.scale_aiter(s, recipe.pad_fill) for s in scales]
        lead = x.shape[:-2]
        for what, parts in (("data", codes), ("scale", scales)):
            shape = lead + parts[0].shape
            made["%s.%s_%s" % (name, kind, what)] = ("U8", shape, stack(parts, shape))
    return made


def expected_tensors(tensors, form, profile, include=(), exclude=(), input_first=False):
    """Of all tensors of a model: {source name: {name: (dtype, shape, bytes)}}. input_first: experts are [E, inputs, outputs]."""
    result = {}
    for name, (dtype, shape, data) in tensors.items():
        if name.endswith("_scale_inv"):
            continue
        chosen = matches(include, name) if include else is_linear(name, shape)
        if form == "gpt-oss":
            chosen = chosen and len(shape) == 3
        if chosen and not matches(exclude, name):
            x = values(tensors, name)
            transposed = input_first and len(shape) == 3
            made = buffers(name, x, profile) if form == "buffers" else make(name, x, form, profile, transposed)
        elif dtype == "F8_E4M3":
            made = {name: ("BF16", shape, make_model.to_bf16(values(tensors, name)).tobytes())}
        else:
            made = {name: (dtype, shape, data)}
        result[name] = made
    return result


def plan(source, form, profile, include, exclude):
    """{shard: {name: (dtype, shape, bytes)}}, and the index or None."""
    tensors = st.read_checkpoint(source)
    config = os.path.join(source, "config.json")
    if os.path.exists(config):
        with open(config, encoding="utf-8") as f:
            config = json.load(f)
    else:
        config = {}
    input_first = config.get("model_type") == "gpt_oss"
    made = expected_tensors(tensors, form, profile or PROFILES[form], include, exclude, input_first)
    names, index = st.shards(source)
    shards = {}
    for shard in names:
        shards[shard] = {}
        for name in st.read_header(os.path.join(source, shard))[0]:
            shards[shard].update(made.get(name, {}))
    return shards, index


def write(folder, shards, index):
    os.makedirs(folder, exist_ok=True)
    for shard, content in shards.items():
        st.write(os.path.join(folder, shard), content, {"format": "pt"})
    if index is not None:
        total = sum(len(t[2]) for content in shards.values() for t in content.values())
        make_model.write_json(os.path.join(folder, "model.safetensors.index.json"),
                              {"metadata": {"total_size": total},
                               "weight_map": {name: shard for shard, content in shards.items() for name in content}})


def compare(folder, shards):
    """What is wrong with a checkpoint, as lines. Reading it checks index, offsets and sizes."""
    wrong = []
    st.read_checkpoint(folder)
    if st.shards(folder)[0] != sorted(shards):
        wrong.append("its shards are %s" % st.shards(folder)[0])
    for shard, content in shards.items():
        there, metadata = st.read(os.path.join(folder, shard))
        if list(there) != [e[0] for e in st.order([(n, t[0], t[1]) for n, t in content.items()])]:
            wrong.append("%s: other tensors, or in another order: %s" % (shard, sorted(set(there) ^ set(content))))
        if (metadata or {}).get("format") != "pt":
            wrong.append("%s: __metadata__ is lost" % shard)
        for name, want in content.items():
            got = there.get(name, (None, None, b""))
            if tuple(got[:2]) != tuple(want[:2]):
                wrong.append("%s: %s %s, and must be %s %s" % (name, got[0], got[1], want[0], tuple(want[1])))
            elif got[2] != want[2]:
                wrong.append("%s: %d bytes differ" % (name, sum(x != y for x, y in zip(got[2], want[2]))))
    return wrong


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("folder")
    parser.add_argument("--format", choices=FORMATS, default="quark")
    parser.add_argument("--profile", choices=mxfp4_model.PROFILES)
    parser.add_argument("--include", action="append", default=[])
    parser.add_argument("--exclude", action="append", default=[])
    parser.add_argument("--check", action="store_true")
    o = parser.parse_args(arguments)
    shards, index = plan(o.source, o.format, o.profile, o.include, o.exclude)
    if o.check:
        wrong = compare(o.folder, shards)
        print("\n".join(wrong) if wrong else "%d tensors as expected" % sum(map(len, shards.values())))
        return bool(wrong)
    write(o.folder, shards, index)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
