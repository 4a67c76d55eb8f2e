#!/usr/bin/env python3
"""Makes synthetic models in Hugging Face's form, without PyTorch: the same options make the same bytes.

    make_model.py dense OUT_DIR     LLaMA's names, BF16 (or --dtype), an index and --shards files
    make_model.py moe OUT_DIR       gpt-oss's names: fused experts [E, H, 2I] and [E, I, H], biases, sinks
    make_model.py fp8 OUT_DIR       DeepSeek-V3's: F8_E4M3 in blocks of 128 x 128 with F32 weight_scale_inv
    make_model.py bad OUT_DIR --kind KIND    a dense model that is wrong in one way; --kind list names the ways;
                                             --kind all makes OUT_DIR/KIND/model for each

Sizes: --hidden, --inter, --layers, --vocab, --experts, or --bytes 8G, which chooses layers to reach about that size.
Needs NumPy only.
"""
import argparse
import json
import os
import shutil
import struct
import sys
import zlib

import numpy as np

import st

CHUNK = 1 << 22      # values made at a time
FORMATS = {"BF16": 2, "F16": 2, "F32": 4}

# ---------------------------------------------------------------------------------------------------------------------
# Values


def to_bf16(x):
    """FP32 to BF16, to nearest even."""
    bits = np.asarray(x, dtype=np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def fp8_table():
    """The values of E4M3 codes (the kind without infinities)."""
    values = []
    for code in range(256):
        exponent, fraction = code >> 3 & 15, code & 7
        value = fraction * 2.0 ** -9 if exponent == 0 else (8 + fraction) * 2.0 ** (exponent - 10)
        values.append(float("nan") if code & 127 == 127 else -value if code & 128 else value)
    return np.array(values, dtype=np.float32)


class Values:
    """Normal numbers, cut for each tensor out of one table at a place that its name gives, so that gigabytes cost little."""

    NTABLE = (1 << 22) - 3

    def __init__(self, seed):
        self.table = np.random.Generator(np.random.PCG64(seed)).standard_normal(self.NTABLE, dtype=np.float32)

    def some(self, name, start, count):
        at = np.arange(start, start + count, dtype=np.int64) + zlib.crc32(name.encode())
        return self.table[at % self.NTABLE]

    def weight(self, name, shape, spread):
        """Pieces of FP32 values. The first row begins with blocks that are special: zeros, an outlier, ties, tiny values."""
        count = int(np.prod(shape, dtype=np.int64))
        for start in range(0, count, CHUNK):
            x = self.some(name, start, min(CHUNK, count - start)) * np.float32(spread)
            if start == 0 and len(shape) > 1 and shape[-1] >= 160:
                x[0:32] = 0
                x[32:64] = -0.0
                x[64] = 1000 * spread
                x[96:128] = np.tile(np.array([0.25, -0.75, 1.25, -1.75, 2.5, -3.5, 5, 6], np.float32), 4) / 64
                x[128:160] = np.float32(2.0 ** -130) * np.arange(32, dtype=np.float32)
            yield x


def encode(dtype, x):
    if dtype == "BF16":
        return to_bf16(x).tobytes()
    return x.astype(np.float16 if dtype == "F16" else np.float32).tobytes()


# ---------------------------------------------------------------------------------------------------------------------
# Models: lists of (name, dtype, shape, function that yields bytes), in an order in which they are cut into shards


class Model:
    def __init__(self, options):
        self.options, self.values, self.tensors = options, Values(options.seed), []

    def add(self, name, shape, dtype=None, spread=0.02):
        dtype = dtype or self.options.dtype
        self.tensors.append((name, dtype, shape, lambda: (encode(dtype, x) for x in self.values.weight(name, shape, spread))))

    def add_ones(self, name, shape, dtype=None):
        dtype = dtype or self.options.dtype
        self.tensors.append((name, dtype, shape, lambda: [encode(dtype, 1 + self.values.some(name, 0, int(np.prod(shape))) / 16)]))

    def add_fp8(self, name, shape):
        """Every block of 128 x 128 uses E4M3 up to 448 and has a scale of its own."""
        scales = tuple(-(-n // 128) for n in shape)
        count = int(np.prod(scales))
        inverse = (np.exp2(self.values.some(name + "_scale_inv", 0, count) / 2) * 2e-4).astype(np.float32)
        finite = np.array([c for c in range(256) if c & 127 != 127])
        middle = np.argsort(fp8_table()[finite], kind="stable")

        def codes():
            for x in self.values.weight(name, shape, 0.2):
                place = np.clip((x + 1) / 2 * len(finite), 0, len(finite) - 1).astype(np.int64)
                yield finite[middle[place]].astype(np.uint8).tobytes()
        self.tensors.append((name, "F8_E4M3", shape, codes))
        self.tensors.append((name + "_scale_inv", "F32", scales, lambda: [inverse.tobytes()]))

    def nbytes(self):
        return sum(st.nbytes(dtype, shape) for _, dtype, shape, _ in self.tensors)


def attention(m, p, hidden, bias=False):
    for name, rows in (("q", hidden), ("k", hidden // 4), ("v", hidden // 4), ("o", hidden)):
        m.add(p + "self_attn.%s_proj.weight" % name, (rows, hidden))
        if bias:
            m.add(p + "self_attn.%s_proj.bias" % name, (rows,))


def norms(m, p, hidden):
    for name in ("input_layernorm", "post_attention_layernorm"):
        m.add_ones(p + name + ".weight", (hidden,))


def ends(m, o):
    m.add_ones("model.norm.weight", (o.hidden,))
    if not o.tied:
        m.add("lm_head.weight", (o.vocab, o.hidden))


def dense(m, o):
    m.add("model.embed_tokens.weight", (o.vocab, o.hidden), spread=0.05)
    for layer in range(o.layers):
        p = "model.layers.%d." % layer
        norms(m, p, o.hidden)
        attention(m, p, o.hidden)
        m.add(p + "mlp.gate_proj.weight", (o.inter, o.hidden))
        m.add(p + "mlp.up_proj.weight", (o.inter, o.hidden))
        m.add(p + "mlp.down_proj.weight", (o.hidden, o.inter))
    ends(m, o)
    return {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_attention_heads": 4, "num_key_value_heads": 1}


def moe(m, o):
    m.add("model.embed_tokens.weight", (o.vocab, o.hidden), spread=0.05)
    for layer in range(o.layers):
        p = "model.layers.%d." % layer
        norms(m, p, o.hidden)
        attention(m, p, o.hidden, bias=True)
        m.add(p + "self_attn.sinks", (4,))
        m.add(p + "mlp.router.weight", (o.experts, o.hidden))
        m.add(p + "mlp.router.bias", (o.experts,))
        m.add(p + "mlp.experts.gate_up_proj", (o.experts, o.hidden, 2 * o.inter))
        m.add(p + "mlp.experts.gate_up_proj_bias", (o.experts, 2 * o.inter))
        m.add(p + "mlp.experts.down_proj", (o.experts, o.inter, o.hidden))
        m.add(p + "mlp.experts.down_proj_bias", (o.experts, o.hidden))
    ends(m, o)
    return {"model_type": "gpt_oss", "architectures": ["GptOssForCausalLM"], "num_local_experts": o.experts,
            "num_experts_per_tok": 2, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": o.hidden // 4}


def fp8(m, o):
    m.add("model.embed_tokens.weight", (o.vocab, o.hidden), spread=0.05)
    for layer in range(o.layers):
        p = "model.layers.%d." % layer
        norms(m, p, o.hidden)
        m.add_fp8(p + "self_attn.q_a_proj.weight", (o.hidden // 2 + 64, o.hidden))
        m.add_fp8(p + "self_attn.o_proj.weight", (o.hidden, o.hidden))
        m.add(p + "mlp.gate.weight", (o.experts, o.hidden))
        m.add(p + "mlp.gate.e_score_correction_bias", (o.experts,), dtype="F32")
        for e in range(o.experts):
            m.add_fp8(p + "mlp.experts.%d.gate_proj.weight" % e, (o.inter, o.hidden))
            m.add_fp8(p + "mlp.experts.%d.up_proj.weight" % e, (o.inter, o.hidden))
            m.add_fp8(p + "mlp.experts.%d.down_proj.weight" % e, (o.hidden, o.inter))
    ends(m, o)
    return {"model_type": "deepseek_v3", "architectures": ["DeepseekV3ForCausalLM"], "n_routed_experts": o.experts,
            "quantization_config": {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
                                    "weight_block_size": [128, 128]}}


KINDS = {"dense": dense, "moe": moe, "fp8": fp8}


def build(kind, options):
    m = Model(options)
    config = KINDS[kind](m, options)
    config.update(hidden_size=options.hidden, intermediate_size=options.inter, num_hidden_layers=options.layers,
                  vocab_size=options.vocab, tie_word_embeddings=options.tied, rms_norm_eps=1e-05,
                  torch_dtype={"BF16": "bfloat16", "F16": "float16", "F32": "float32"}[options.dtype])
    return m, config


# ---------------------------------------------------------------------------------------------------------------------
# Writing


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, indent=2)
        f.write("\n")


def cut(tensors, nshards):
    """Consecutive tensors, about as many bytes in each shard."""
    total, done, groups = sum(st.nbytes(t[1], t[2]) for t in tensors), 0, [[] for _ in range(nshards)]
    for t in tensors:
        groups[min(done * nshards // max(total, 1), nshards - 1)].append(t)
        done += st.nbytes(t[1], t[2])
    return [g for g in groups if g]


def write_model(folder, model, config, nshards):
    os.makedirs(os.path.join(folder, "original"), exist_ok=True)
    groups, where = cut(model.tensors, nshards), {}
    for i, group in enumerate(groups):
        single = len(groups) == 1
        name = "model.safetensors" if single else "model-%05d-of-%05d.safetensors" % (i + 1, len(groups))
        st.write(os.path.join(folder, name), {t[0]: t[1:] for t in group}, {"format": "pt"})
        where.update({t[0]: name for t in group})
    if len(groups) > 1:
        write_json(os.path.join(folder, "model.safetensors.index.json"),
                   {"metadata": {"total_size": model.nbytes()}, "weight_map": where})
    write_json(os.path.join(folder, "config.json"), config)
    write_json(os.path.join(folder, "generation_config.json"), {"do_sample": True, "temperature": 0.6})
    write_json(os.path.join(folder, "tokenizer_config.json"), {"tokenizer_class": "PreTrainedTokenizerFast"})
    write_json(os.path.join(folder, "tokenizer.json"), {"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}})
    write_json(os.path.join(folder, "original", "params.json"), {"dim": config["hidden_size"]})
    with open(os.path.join(folder, "modeling_synthetic.py"), "w", encoding="utf-8") as f:
        f.write("# code that a checkpoint carries along\n")


# ---------------------------------------------------------------------------------------------------------------------
# Models that are wrong in one way. Each function changes a good one.

FIRST, LAST = "model-00001-of-00003.safetensors", "model-00003-of-00003.safetensors"
INDEX = "model.safetensors.index.json"


def edit_index(folder, change):
    path = os.path.join(folder, INDEX)
    with open(path, encoding="utf-8") as f:
        index = json.load(f)
    change(index)
    write_json(path, index)


def point_to(shard, copy=None):
    """All tensors of the first shard are said to be in another file, which there is."""
    def change(folder):
        if copy:
            path = os.path.normpath(os.path.join(folder, copy))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            shutil.copy(os.path.join(folder, FIRST), path)
        edit_index(folder, lambda index: index["weight_map"].update(
            {n: shard for n, s in index["weight_map"].items() if s == FIRST}))
    return change


def edit_header(change):
    """Rewrites the header of the last shard as text; change gets a list of [name, entry] and returns it or a string."""
    def run(folder):
        path = os.path.join(folder, LAST)
        with open(path, "rb") as f:
            length, = struct.unpack("<Q", f.read(8))
            pairs = json.loads(f.read(length), object_pairs_hook=lambda p: p)
            data = f.read()
        entries = [[name, dict(entry)] for name, entry in pairs]
        text = change(entries)
        if text is None:
            text = "{" + ",".join(json.dumps(n) + ":" + json.dumps(e) for n, e in entries) + "}"
        with open(path, "wb") as f:
            f.write(st.pack_header(text) + data)
    return run


def some_entry(entries, position=0):
    """By offset."""
    tensors = sorted((e for e in entries if e[0] != "__metadata__"), key=lambda e: e[1]["data_offsets"])
    return tensors[position]


def overlap(entries):
    first, second = some_entry(entries)[1], some_entry(entries, 1)[1]
    second["data_offsets"][0] = first["data_offsets"][1] - 2
    second["shape"] = [(second["data_offsets"][1] - second["data_offsets"][0]) // 2]


def hole(entries):
    entry = some_entry(entries)[1]
    entry["data_offsets"][0] += 2
    entry["shape"] = [(entry["data_offsets"][1] - entry["data_offsets"][0]) // 2]


def reverse(entries):
    some_entry(entries)[1]["data_offsets"].reverse()


def set_entry(**values):
    def change(entries):
        some_entry(entries)[1].update(values)
    return change


def repeat_name(entries):
    """The same tensor twice, word for word, which a dictionary would swallow."""
    entries.append([some_entry(entries)[0], dict(some_entry(entries)[1])])


def resize(by):
    def change(folder):
        path = os.path.join(folder, LAST)
        if by < 0:
            os.truncate(path, os.path.getsize(path) + by)
        else:
            with open(path, "ab") as f:
                f.write(b"\0" * by)
    return change


def replace(name, content):
    def change(folder):
        with open(os.path.join(folder, name), "wb") as f:
            f.write(content)
    return change


def remove(name):
    return lambda folder: os.remove(os.path.join(folder, name))


def move_name(folder):
    """The index says of a tensor that it is in another shard."""
    def change(index):
        name = min(n for n, s in index["weight_map"].items() if s == FIRST)
        index["weight_map"][name] = LAST
    edit_index(folder, change)


def drop_name(folder):
    edit_index(folder, lambda index: index["weight_map"].pop(min(index["weight_map"])))


def put_twice(folder):
    """A tensor of the first shard is in the last one, too."""
    tensors, metadata = st.read(os.path.join(folder, LAST))
    name, value = next(iter(st.read(os.path.join(folder, FIRST))[0].items()))
    tensors[name] = value
    st.write(os.path.join(folder, LAST), tensors, metadata)


def put_nan(folder):
    """In the last weight of a layer that will be quantized."""
    path = os.path.join(folder, LAST)
    tensors = st.read_header(path)[0]
    name = max(n for n in tensors if "proj" in n)
    with open(path, "r+b") as f:
        f.seek(tensors[name][2] + 2 * (tensors[name][1][1] + 5))     # row 1, column 5
        f.write(b"\xc0\x7f")


BAD = {
    "path-up": point_to("../outside.safetensors", "../outside.safetensors"),
    "path-absolute": point_to("/etc/passwd"),
    "path-slash": point_to("sub/inside.safetensors", "sub/inside.safetensors"),
    "path-dots": point_to(".."),
    "path-empty": point_to(""),
    "shard-missing": remove(FIRST),
    "shard-truncated": resize(-100),
    "shard-long": resize(3),
    "shard-empty": replace(LAST, b""),
    "header-cut": replace(LAST, struct.pack("<Q", 1000) + b"{}"),
    "header-huge": replace(LAST, struct.pack("<Q", 1 << 40) + b"{}      "),
    "header-text": edit_header(lambda entries: "no JSON"),
    "header-array": edit_header(lambda entries: "[]"),
    "overlap": edit_header(overlap),
    "hole": edit_header(hole),
    "offsets-reversed": edit_header(reverse),
    "name-twice": edit_header(repeat_name),
    "dtype-unknown": edit_header(set_entry(dtype="Q4_K")),
    "dtype-size": edit_header(set_entry(dtype="F32")),
    "shape-huge": edit_header(set_entry(shape=[1 << 62, 1 << 62])),
    "shape-negative": edit_header(set_entry(shape=[-1])),
    "shape-fraction": edit_header(set_entry(shape=[1.5])),
    "metadata-number": edit_header(lambda entries: entries[0].__setitem__(1, {"format": 1}) if entries[0][0] == "__metadata__" else None),
    "tensor-moved": move_name,
    "tensor-unindexed": drop_name,
    "tensor-in-two": put_twice,
    "index-text": replace(INDEX, b"{"),
    "index-array": replace(INDEX, b"[]\n"),
    "index-empty": replace(INDEX, b"{}\n"),
    "config-array": replace("config.json", b"[]\n"),
    "nan": put_nan,
}


# ---------------------------------------------------------------------------------------------------------------------


def parse_size(text):
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    return int(float(text[:-1]) * units[text[-1]]) if text[-1] in units else int(text)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=[*KINDS, "bad"])
    parser.add_argument("folder")
    parser.add_argument("--kind", help="of a bad model")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--inter", type=int, default=320)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--vocab", type=int, default=320)
    parser.add_argument("--experts", type=int, default=4)
    parser.add_argument("--shards", type=int, default=3)
    parser.add_argument("--dtype", choices=FORMATS, default="BF16")
    parser.add_argument("--tied", action="store_true", help="no lm_head; the embedding serves")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bytes", type=parse_size, help="about this size: chooses --layers")
    return parser.parse_args(arguments)


def fit_layers(kind, options):
    options.layers = 1
    one = build(kind, options)[0].nbytes()
    options.layers = 2
    layer = build(kind, options)[0].nbytes() - one
    options.layers = max(1, 1 + round((options.bytes - one) / layer))


def main(arguments):
    options = parse(arguments)
    kind = "dense" if options.model == "bad" else options.model
    if options.model == "bad" and options.kind not in [*BAD, "all"]:
        print("\n".join(BAD))
        return options.kind != "list"
    if options.bytes:
        fit_layers(kind, options)
    model, config = build(kind, options)
    if options.model != "bad":
        write_model(options.folder, model, config, options.shards)
        return 0
    for bad in BAD if options.kind == "all" else [options.kind]:
        folder = os.path.join(options.folder, bad, "model") if options.kind == "all" else options.folder
        write_model(folder, model, config, 3)
        BAD[bad](folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
