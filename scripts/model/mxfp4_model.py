#!/usr/bin/env python3
"""A slow, independent model of what `mxfp4q quantize` computes.

It shares nothing with the C code: no bit tricks, no thresholds in the bits of a float. Every FP32 number times a power
of two is exact in float64, so a value is scaled with ldexp, compared with the exact midpoints, and that is the rounding.
Only two things are done in FP32, because the rules say so: the Hadamard butterflies and a sixth of amax. Random bits are
computed for all elements at once, from their numbers in the matrix.

As a program it writes the raw buffers of one input:
    mxfp4_model.py INPUT.npy -o PREFIX [the options of mxfp4q quantize]
Needs NumPy >= 1.24 only.
"""
import argparse
import ast
import sys
from dataclasses import dataclass, replace

import numpy as np

BLOCK = 32           # values that share one scale
UNIT = BLOCK // 2    # bytes of codes per block

# ---------------------------------------------------------------------------------------------------------------------
# Recipes: which bits?


@dataclass(frozen=True)
class Recipe:
    scale: str                    # even, floor, ceil, rceil, even-above, nearlog
    ties: str                     # even, away, zero, stochastic
    sign: str                     # keep, value, drop, nonpositive
    zero_byte: int                # byte of a block whose amax is 0
    huge_byte: int                # rule even: byte for a finite amax >= 1.75 * 2^127
    inf_byte: int                 # byte when amax is infinite
    nan_byte: object              # None: amax ignores NaN; 255: a NaN makes the block's byte 255
    nan_code: int                 # code of a NaN element
    nan_sign: bool                # ... with the NaN's own sign bit or'ed in
    nan_scale_codes: str = "zero"  # codes under a 255 from Inf or NaN: zero (x * 0) or nan (every element is NaN)
    underflow: str = "plain"      # plain; exact (rceil); wrap (floor); normal, unscaled, raised: see underflow_bytes()
    sixth: str = "quotient"       # rceil: amax/6 in FP32 as a quotient, or as the product with the FP32 number 1/6
    pad_fill: int = 0             # byte in the padding of a shuffled scale
    hadamard: int = 0             # points of the transform, 0 for none
    hadamard_signs: int = 0       # bit c % 128 set: the value in column c is negated before the transform
    block: str = "1x32"           # or 32x32: which values have one scale
    amax_floor: float = 0.0       # a smaller amax counts as this FP32 number
    seed: int = 0                 # of ties stochastic


def _torchao(scale):
    return Recipe(scale, "even", "keep", 0, 253, 253, 255, 3, True, underflow="normal")


PROFILES = {
    #                            scale    ties    sign        zero huge inf  nan_byte code sign
    "te-hip":             Recipe("even",  "even", "keep",      127, 253, 253, None, 7, True, pad_fill=127),
    "te-triton":          Recipe("even",  "away", "value",     127, 254, 254, None, 0, False, pad_fill=127),
    "aiter":              Recipe("rceil", "even", "keep",        0, 253, 255, None, 7, True, sixth="product"),
    "aiter-even":         Recipe("even",  "even", "keep",        0, 254, 254, None, 3, True),
    "quark":              Recipe("even",  "even", "drop",        1, 254, 254, 255,  7, False, "nan", "raised"),
    "torchao-floor":      _torchao("floor"),
    "torchao-even":       _torchao("even"),
    "torchao-rceil":      Recipe("rceil", "even", "keep",        0, 253, 254, 255,  3, False, "nan", "unscaled"),
    "torchao-ceil":       _torchao("ceil"),
    "triton-kernels":     Recipe("rceil", "away", "keep",        0, 253, 255, None, 7, False, sixth="product"),
    "ggml":               Recipe("floor", "zero", "drop",        0, 253, 253, None, 0, False, underflow="wrap"),
    "compressed-tensors": Recipe("even",  "even", "value",       0, 255, 255, 255,  0, True),
    "modelopt":           Recipe("rceil", "zero", "nonpositive", 0, 253, 255, 255,  8, False, underflow="exact"),
    "flashinfer":         Recipe("rceil", "even", "keep",        0, 253, 254, None, 7, False, underflow="unscaled", sixth="product"),
    "microxcaling":       Recipe("floor", "away", "keep",        0, 253, 255, 255,  7, True, "nan"),
    "fbgemm-even":        Recipe("even-above", "away", "keep",   0, 252, 252, None, 7, False),
    "primus-hip":         Recipe("even",  "even", "keep",        0, 253, 253, None, 7, True),
    "primus-triton":      Recipe("even",  "even", "keep",        1, 253, 253, None, 7, True, amax_floor=1.75 * 2.0 ** -125),
    "aiter-hip-floor":    Recipe("rceil", "even", "keep",       92, 253, 255, None, 7, True, sixth="product", amax_floor=1e-10),
    "mlx-cpu":            Recipe("rceil", "zero", "drop",      127, 253, 255, None, 0, False),
    "mlx-gpu":            Recipe("rceil", "even", "keep",        0, 253, 255, None, 7, False, underflow="exact"),
    "mlx-cpu-nearlog":    Recipe("nearlog", "zero", "drop",    127, 253, 255, None, 0, False),
    "mlx-gpu-nearlog":    Recipe("nearlog", "even", "keep",      0, 253, 255, None, 7, False),
}

# ---------------------------------------------------------------------------------------------------------------------
# Arithmetic of blocks. x is float32 of shape (blocks, 32); padding is already +0.0.

MAGNITUDES = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])
MIDPOINTS = (MAGNITUDES[:-1] + MAGNITUDES[1:]) / 2


def repeat_signs(signs, columns):
    """Which columns are negated: bit c % 128."""
    return np.array([signs >> c % 128 & 1 for c in range(columns)], dtype=bool)


def butterflies(y, points):
    """The Sylvester-Hadamard matrix of that order times each `points` values of a row; the order of the additions is
    part of the definition."""
    rows, columns = y.shape
    stride = 1
    while stride < points:
        y = y.reshape(rows, columns // (2 * stride), 2, stride)
        a, b = y[:, :, 0, :], y[:, :, 1, :]
        y = np.stack((a + b, a - b), axis=2).reshape(rows, columns)
        stride *= 2
    return y


def hadamard(x, points, signs):
    """Rows of float32, a multiple of `points` long, transformed in float32."""
    y = np.where(repeat_signs(signs, x.shape[1]), -x, x).astype(np.float32)
    y = butterflies(y, points) * np.float32(1 / np.sqrt(points))
    return np.where(np.isnan(y), np.float32(np.nan), y)   # machines differ in the sign of Inf - Inf; here it is positive


def philox4x32(counter, key):
    """Ten rounds of Philox4x32: counter is four arrays of 32 bits, key two numbers."""
    low = np.uint64(0xFFFFFFFF)
    c = [np.asarray(word, dtype=np.uint64) for word in counter]
    k = [int(word) for word in key]
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [p1 >> np.uint64(32) ^ c[1] ^ np.uint64(k[0]), p1 & low,
             p0 >> np.uint64(32) ^ c[3] ^ np.uint64(k[1]), p0 & low]
        k = [(k[0] + 0x9E3779B9) % 2 ** 32, (k[1] + 0xBB67AE85) % 2 ** 32]
    return c


def random_bits(seed, elements):
    """The 32 bits of each of these elements, as float64."""
    elements = np.asarray(elements, dtype=np.uint64)
    number = elements // np.uint64(4)
    zero = np.zeros_like(number)
    words = philox4x32((number & np.uint64(0xFFFFFFFF), number >> np.uint64(32), zero, zero), (seed % 2 ** 32, seed >> 32))
    return np.choose((elements % np.uint64(4)).astype(int), words).astype(np.float64)


def seeded_signs(seed):
    words = philox4x32((0, 0, 1, 0), (seed % 2 ** 32, seed >> 32))
    return sum(int(word) << 32 * i for i, word in enumerate(words))


def floor_log2(x):
    """Exact for any positive finite x, subnormals too: frexp gives x = m * 2^e with 0.5 <= m < 1."""
    return np.frexp(np.asarray(x, dtype=np.float64))[1].astype(int) - 1


def rule_byte(amax, recipe):
    """The scale rule for finite positive float32 amax, with the result as the rule gives it (not clamped)."""
    amax64 = amax.astype(np.float64)
    k = floor_log2(amax64)
    two_k = np.ldexp(1.0, k)
    if recipe.scale == "floor":
        return k + 125
    if recipe.scale == "ceil":
        return k + 125 + (amax64 > two_k)
    if recipe.scale == "even":
        return k + 125 + (amax64 >= 1.75 * two_k)
    if recipe.scale == "even-above":
        return k + 125 + (amax64 > 1.75 * two_k)
    if recipe.scale == "nearlog":                     # float64 is far finer than the distance of FP32 numbers
        return np.rint(np.log2(amax64 / 6)).astype(int) + 127
    assert recipe.scale == "rceil"
    sixth = amax / np.float32(6) if recipe.sixth == "quotient" else amax * np.float32(1 / 6)
    q = sixth.astype(np.float64)                      # rounded correctly once, to float32; exact from here on
    kq = floor_log2(q)                                # q == 0 is settled below
    normal = kq + 127 + (q > np.ldexp(1.0, kq))
    smallest = np.ldexp(1.0, -127) if recipe.underflow in ("exact", "unscaled") else 0.0
    subnormal = (q > smallest).astype(int)
    return np.where(q >= np.ldexp(1.0, -126), normal, subnormal)


def underflow_bytes(byte, ordinary, recipe):
    """The bytes to write, and those by which values are divided, where they differ: under a byte 0 that the rule gave."""
    lowest = ordinary & (byte == 0)
    divisor = np.where(lowest, {"normal": 1, "unscaled": 127}.get(recipe.underflow, 0), byte)
    return np.where(lowest & (recipe.underflow == "raised"), 1, byte).astype(np.uint8), divisor


def scale_bytes(x, recipe, neighbours):
    """One scale byte per block, the byte to divide by, and whether it is a NaN scale (255 because of NaN, Inf or a huge
    amax). neighbours: for each block the numbers of those that share its scale."""
    amax = np.where(np.isnan(x), np.float32(0), np.abs(x)).max(axis=1)
    has_nan = np.isnan(x).any(axis=1)
    amax = np.array([amax[n].max() for n in neighbours], dtype=np.float32)
    has_nan = np.array([has_nan[n].any() for n in neighbours])
    amax = np.maximum(amax, np.float32(recipe.amax_floor))
    ordinary = (amax > 0) & np.isfinite(amax)
    byte = rule_byte(np.where(ordinary, amax, np.float32(1)), recipe)
    byte = byte % 256 if recipe.underflow == "wrap" else np.clip(byte, 0, 254)
    byte = np.where(amax == 0, recipe.zero_byte, byte)
    edge = np.isinf(amax)
    byte = np.where(edge, recipe.inf_byte, byte)
    if recipe.scale in ("even", "even-above"):
        huge = ordinary & (rule_byte(np.where(ordinary, amax, np.float32(1)), recipe) > 252)
        byte = np.where(huge, recipe.huge_byte, byte)
        edge = edge | huge
    if recipe.nan_byte is not None:
        byte = np.where(has_nan, recipe.nan_byte, byte)
        edge = edge | has_nan
    byte, divisor = underflow_bytes(byte, ordinary & ~edge, recipe)
    return byte, divisor, edge & (byte == 255)


def stochastic_index(v, u):
    """The lower neighbour on the grid, or the upper one when u is below the part of the way to it. All of it is exact."""
    v = np.abs(v)
    lower = np.searchsorted(MAGNITUDES, np.minimum(v, 6), side="right") - 1
    upper = np.minimum(lower + 1, 7)
    way = np.where(upper > lower, (np.minimum(v, 6) - MAGNITUDES[lower]) / np.where(upper > lower, MAGNITUDES[upper] -
                                                                                     MAGNITUDES[lower], 1), 0)
    return np.where(u < way * 2.0 ** 32, upper, lower).astype(np.uint8)


def magnitude_index(v, ties):
    """Index of the magnitude nearest to |v|: how many midpoints lie below it, ties counted by their rule."""
    index = np.zeros(v.shape, dtype=np.uint8)
    for i, midpoint in enumerate(MIDPOINTS):
        tie_goes_up = {"even": i % 2 == 1, "away": True, "zero": False}[ties]
        index += np.abs(v) >= midpoint if tie_goes_up else np.abs(v) > midpoint
    return index


def sign_bits(x, v, index, sign):
    """Bit 3 of the codes. The rules that look at the scaled value see it rounded to float32."""
    with np.errstate(over="ignore", under="ignore"):
        v32 = v.astype(np.float32)
    if sign == "keep":
        return np.signbit(x)
    if sign == "value":
        return v32 < 0
    if sign == "drop":
        return np.signbit(x) & (index != 0)
    assert sign == "nonpositive"
    return ~(v32 > 0)


def encode(x, byte, nan_scale, recipe, elements):
    """Codes of the blocks under the bytes by which values are divided."""
    nan = np.isnan(x)
    x64 = np.where(nan, np.float32(0), x).astype(np.float64)
    v = np.ldexp(x64, 127 - byte.astype(int)[:, None])
    under_nan = nan_scale[:, None] & np.isfinite(x)
    v = np.where(under_nan, np.copysign(0.0, x64), v)
    if recipe.ties == "stochastic":
        index = stochastic_index(v, random_bits(recipe.seed, elements))
    else:
        index = magnitude_index(v, recipe.ties)
    code = index + 8 * sign_bits(x, v, index, recipe.sign)
    as_nan = nan | (nan_scale[:, None] & (np.isinf(x) if recipe.nan_scale_codes == "zero" else True))
    # Under "zero" an Inf keeps its own sign (0 * Inf is a NaN whose sign is x's); under "nan" only a NaN element does.
    own_sign = np.signbit(x) if recipe.nan_scale_codes == "zero" else np.signbit(x) & nan
    nan_code = recipe.nan_code | (8 * own_sign if recipe.nan_sign else 0)
    return np.where(as_nan, nan_code, code).astype(np.uint8)


def quantize_blocks(x, recipe, neighbours=None, elements=None):
    """float32 (blocks, 32), transformed already -> codes (blocks, 32), scale bytes (blocks,)."""
    with np.errstate(all="ignore"):
        byte, divisor, nan_scale = scale_bytes(x, recipe, np.arange(len(x))[:, None] if neighbours is None else neighbours)
        return encode(x, divisor, nan_scale, recipe, elements), byte


def decode(codes, byte):
    """The values that codes stand for under scale bytes 0..254."""
    magnitude = MAGNITUDES[codes & 7]
    return np.ldexp(np.where(codes & 8, -magnitude, magnitude), byte.astype(int)[..., None] - 127)


# ---------------------------------------------------------------------------------------------------------------------
# Matrices: rows of blocks, ragged at the end. A direction is just a transposition of the source.


def ceil_div(a, b):
    return -(-a // b)


def round_up(a, b):
    return ceil_div(a, b) * b


def number_elements(rows, columns, width, transposed):
    """What the elements of a direction are in the input, which is `width` wide, counted row after row."""
    r, c = np.indices((rows, columns), dtype=np.uint64)
    return c * np.uint64(width) + r if transposed else r * np.uint64(width) + c


def quantize_matrix(x, recipe, transposed=False):
    """float32 (R, K) -> codes (R, 32*S) and scale bytes (R, S), S = ceil(K/32). Codes past the end are 0, but with a
    Hadamard transform, where they belong to the transformed block."""
    rows, cols = x.shape
    blocks = ceil_div(cols, BLOCK)
    if recipe.hadamard > BLOCK and cols % recipe.hadamard:
        raise ValueError("rows of %d values, which %d does not divide" % (cols, recipe.hadamard))
    padded = np.zeros((rows, blocks * BLOCK), dtype=np.float32)
    padded[:, :cols] = x
    if not padded.size:
        return padded.astype(np.uint8), np.zeros((rows, blocks), np.uint8)
    if recipe.hadamard:
        with np.errstate(all="ignore"):
            padded = hadamard(padded, recipe.hadamard, recipe.hadamard_signs)
    tile = [slice(row // 32 * 32 * blocks + block, (row // 32 + 1) * 32 * blocks, blocks) for row in range(rows)
            for block in range(blocks)]
    elements = number_elements(rows, blocks * BLOCK, rows if transposed else cols, transposed)
    codes, scales = quantize_blocks(padded.reshape(-1, BLOCK), recipe, tile if recipe.block == "32x32" else None,
                                    elements.reshape(-1, BLOCK))
    codes = codes.reshape(padded.shape).astype(np.uint8)
    if not recipe.hadamard:
        codes[:, cols:] = 0
    return codes, scales.reshape(rows, blocks).astype(np.uint8)


def pack(codes):
    """Two codes a byte, the even element in the low nibble."""
    return codes[:, 0::2] | codes[:, 1::2] << 4


# ---------------------------------------------------------------------------------------------------------------------
# Layouts: where do the bytes go?


def data_linear(codes, cols):
    return np.ascontiguousarray(pack(codes)[:, :ceil_div(cols, 2)])


def scale_linear(scales):
    return np.ascontiguousarray(scales)


def data_aiter(codes):
    """16x16 shuffle: 16 rows by 16 bytes make a tile, tiles of a row follow each other."""
    packed = pack(codes)
    rows, row_bytes = packed.shape
    out = np.zeros((round_up(rows, 16), row_bytes), dtype=np.uint8)
    r, c = np.indices(packed.shape)
    out.reshape(-1)[(r // 16) * 16 * row_bytes + (c // 16) * 256 + (r % 16) * 16 + c % 16] = packed
    return out


def scale_aiter(scales, pad_fill):
    """e8m0_shuffle: rows padded to 256, columns to 8."""
    rows, cols = scales.shape
    out = np.full((round_up(rows, 256), round_up(cols, 8)), pad_fill, dtype=np.uint8)
    r, y = np.indices(scales.shape)
    offset = (r // 32 * 32 * out.shape[1] + y // 8 * 256 + y % 4 * 64 + r % 16 * 4 + y % 8 // 4 * 2 + r % 32 // 16)
    out.reshape(-1)[offset] = scales
    return out


# ---------------------------------------------------------------------------------------------------------------------
# Inputs


def widen(raw, kind):
    """Raw 16- or 32-bit patterns (native uint16/uint32) to float32, exactly."""
    if kind == "bf16":
        return (raw.astype(np.uint32) << 16).view(np.float32)
    if kind == "f16":
        return raw.view(np.float16).astype(np.float32)
    return raw.view(np.float32)


def parse_npy(blob, dtype=None):
    """(kind, native unsigned integers in their shape) of a .npy file's bytes. dtype settles what '<u2' means."""
    if blob[:6] != b"\x93NUMPY" or blob[6] not in (1, 2, 3):
        raise ValueError("not a .npy file of version 1, 2 or 3")
    size_bytes = 2 if blob[6] == 1 else 4
    start = 8 + size_bytes
    end = start + int.from_bytes(blob[8:start], "little")
    header = ast.literal_eval(blob[start:end].decode("utf-8" if blob[6] == 3 else "latin-1").strip())
    descr = header["descr"]
    order = ">" if descr[0] == ">" else "<"
    name = descr.lstrip("<>=|")
    kind = {"V2": "bf16", "bfloat16": "bf16", "f2": "f16", "f4": "f32"}.get(name, dtype)
    if name in ("V2", "u2", "i2") and dtype:
        kind = dtype
    width = 4 if kind == "f32" else 2
    shape = tuple(header["shape"])
    count = int(np.prod(shape, dtype=np.int64))
    raw = np.frombuffer(blob, dtype="%su%d" % (order, width), count=count, offset=end).astype("u%d" % width)
    return kind, raw.reshape(shape, order="F" if header["fortran_order"] else "C")


def flatten(x, axis=None):
    """rows = the product of shape[:axis], cols = the product of shape[axis:]; rank 0 is 1 x 1."""
    rank = x.ndim
    if axis is None:
        axis = max(rank - 1, 0)
    if axis < 0:
        axis += rank
    rows = int(np.prod(x.shape[:axis], dtype=np.int64))
    cols = int(np.prod(x.shape[axis:], dtype=np.int64))
    return np.ascontiguousarray(x).reshape(rows, cols)


# ---------------------------------------------------------------------------------------------------------------------
# The command line

BUFFERS = ("rowwise_data", "rowwise_scale", "columnwise_data", "columnwise_scale")


def parse_signs(digits):
    """Up to 8 digits are 32 signs, again and again; 32 digits are all of them."""
    return int(digits, 16) if len(digits) == 32 else int(digits, 16) * 0x00000001000000010000000100000001


def parse_options(words):
    """The options of `mxfp4q quantize` that decide the bytes."""
    p = argparse.ArgumentParser(allow_abbrev=False)
    p.add_argument("--direction", choices=("rowwise", "columnwise", "both"), default="both")
    p.add_argument("--profile", choices=tuple(PROFILES), default="te-hip")
    p.add_argument("--scale", choices=("even", "floor", "ceil", "rceil", "even-above", "nearlog"))
    p.add_argument("--ties", choices=("even", "away", "zero", "stochastic"))
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--block", choices=("1x32", "32x32"), default="1x32")
    p.add_argument("--amax-floor", type=float)
    p.add_argument("--sign", choices=("keep", "value", "drop", "nonpositive"))
    p.add_argument("--zero-byte", type=int)
    p.add_argument("--layout", choices=("aiter", "linear"), default="aiter")
    p.add_argument("--shuffle")
    p.add_argument("--pad-fill", type=int)
    p.add_argument("--hadamard", nargs="?", const=16, type=int, choices=(16, 32, 64, 128))
    p.add_argument("--hadamard-signs", type=parse_signs)
    p.add_argument("--hadamard-seed", type=int)
    p.add_argument("--nonfinite", choices=("error", "profile"), default="error")
    p.add_argument("--flatten", type=int)
    p.add_argument("--dtype", choices=("bf16", "f16"))
    p.add_argument("--tail", choices=("pad", "error"), default="pad")
    p.add_argument("--format", choices=("raw",), default="raw")
    return p.parse_args(words)


def recipe_of(options):
    recipe = PROFILES[options.profile]
    for field in ("scale", "ties", "sign", "zero_byte", "pad_fill", "amax_floor"):
        value = getattr(options, field)
        if value is not None:
            recipe = replace(recipe, **{field: value})
    # These say something about one scale rule only.
    if (recipe.underflow, recipe.scale) in {(u, s) for u in ("exact", "wrap") for s in ("even", "floor", "ceil", "rceil")
                                            } - {("exact", "rceil"), ("wrap", "floor")}:
        recipe = replace(recipe, underflow="plain")
    signs = options.hadamard_signs if options.hadamard_seed is None else seeded_signs(options.hadamard_seed)
    return replace(recipe, hadamard=options.hadamard or (0 if signs is None else 16), hadamard_signs=signs or 0,
                   block=options.block, seed=options.seed)


def shuffled_buffers(options):
    if options.shuffle is None:
        return BUFFERS if options.layout == "aiter" else ()
    return {"all": BUFFERS, "none": ()}.get(options.shuffle, tuple(options.shuffle.split(",")))


def quantize_file(blob, words):
    """The buffers of one .npy file under command-line options: {name: uint8 array in its stored 2-D shape}."""
    options = parse_options(words)
    recipe = recipe_of(options)
    shuffled = shuffled_buffers(options)
    kind, raw = parse_npy(blob, options.dtype)
    x = widen(flatten(raw, options.flatten), kind)
    if options.nonfinite == "error" and not np.isfinite(x).all():
        raise ValueError("the input has %d NaN or Inf" % np.count_nonzero(~np.isfinite(x)))
    out = {}
    for direction, source in (("rowwise", x), ("columnwise", x.T)):
        if options.direction not in (direction, "both"):
            continue
        codes, scales = quantize_matrix(source, recipe, direction == "columnwise")
        data, scale = direction + "_data", direction + "_scale"
        out[data] = data_aiter(codes) if data in shuffled else data_linear(codes, source.shape[1])
        out[scale] = scale_aiter(scales, recipe.pad_fill) if scale in shuffled else scale_linear(scales)
    return out


def main():
    if len(sys.argv) < 4 or sys.argv[2] != "-o":
        sys.exit("usage: mxfp4_model.py INPUT.npy -o PREFIX [options of mxfp4q quantize]")
    with open(sys.argv[1], "rb") as f:
        blob = f.read()
    for name, buffer in quantize_file(blob, sys.argv[4:]).items():
        with open("%s.%s.raw" % (sys.argv[3], name), "wb") as f:
            f.write(buffer.tobytes())


if __name__ == "__main__":
    main()
