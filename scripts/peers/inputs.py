#!/usr/bin/env python3
"""The inputs that peers and mxfp4q are compared on: named matrices of BF16 or FP32 bit patterns.

They are the same on every machine and with every version of NumPy: random words are SplitMix64 computed here, values are
made as bit patterns, and nothing takes a logarithm or a root. As a program it lists the cases with their SHA-256, or
writes one:
    inputs.py [CASE OUT.npy]

A case is one class of input, so that a peer that does something of its own on a class can leave that case out.
"normal" amax are from 2^-118 to below 2^126, "tiny" ones are below that, "huge" ones above, and "largest" ones those of
1.75 * 2^127 and more.
"""
import hashlib
import sys

import numpy as np

BLOCK = 32
BLOCKS_A_ROW = 32
TINY_EXPONENT, HUGE_EXPONENT = 127 - 118, 127 + 126    # biased: below the first, and from the second on

# ---------------------------------------------------------------------------------------------------------------------
# Words and bits


def words(stream, count):
    """count random words of 64 bits: SplitMix64 from the state stream * 2^32."""
    with np.errstate(over="ignore"):
        z = np.uint64(stream << 32) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def below(stream, shape, limit):
    """Random integers from 0 to limit - 1; limit may be an array."""
    count = int(np.prod(shape))
    return (words(stream, count).reshape(shape) % np.asarray(limit).astype(np.uint64)).astype(np.int64)


def place_amax(amax, others, position):
    """Blocks of 32 from an amax (n,) at a position (n,) and 31 others (n, 31) around it, in their order."""
    column = np.arange(BLOCK)[None, :]
    position = position[:, None]
    index = np.minimum(column - (column > position), BLOCK - 2)
    return np.where(column == position, amax[:, None], np.take_along_axis(others, index, axis=1))


def matrix(blocks, dtype):
    """Rows of 32 blocks; the last row is filled up with the blocks from the first on."""
    count = -(-len(blocks) // BLOCKS_A_ROW) * BLOCKS_A_ROW
    blocks = np.take(blocks, np.arange(count) % len(blocks), axis=0)
    return np.ascontiguousarray(blocks.reshape(-1, BLOCKS_A_ROW * BLOCK).astype(dtype))


def of_range(blocks, which, fraction_bits):
    """The blocks of which the amax is tiny, normal, huge or largest."""
    amax = (blocks & ((1 << (fraction_bits + 8)) - 1)).max(axis=1)
    tiny, huge = amax >> fraction_bits < TINY_EXPONENT, amax >> fraction_bits >= HUGE_EXPONENT
    largest = amax >= (254 << 2 | 3) << (fraction_bits - 2)
    return blocks[{"tiny": tiny, "huge": huge & ~largest, "largest": largest, "normal": ~(tiny | huge)}[which]]


# ---------------------------------------------------------------------------------------------------------------------
# BF16: every finite pattern

BF16_SIGN, BF16_LARGEST, BF16_OCTAVE = 0x8000, 0x7F7F, 0x80


def bf16_amax(which):
    """Every finite BF16 number is the amax of a block; the other values lie within six octaves below it."""
    amax = np.arange(BF16_LARGEST + 1).repeat(2)
    n = len(amax)
    others = np.maximum(amax[:, None] - below(1, (n, BLOCK - 1), 6 * BF16_OCTAVE), 0)
    others |= below(2, others.shape, 2) * BF16_SIGN
    amax = amax | (np.arange(n) & 1) * BF16_SIGN
    return matrix(of_range(place_amax(amax, others, below(3, (n,), BLOCK)), which, 7), np.uint16)


def bf16_small(which):
    """Every finite BF16 number is a small value under an amax 0, 1, 2, 3, 4, 6, 20 and 60 octaves above it."""
    patterns = np.arange(BF16_LARGEST + 1)
    patterns = np.concatenate((patterns, patterns[:-len(patterns) % 31])).reshape(-1, 31)
    blocks = []
    for octaves in (0, 1, 2, 3, 4, 6, 20, 60):
        for signs in range(2):
            n = len(patterns)
            top = patterns.max(axis=1) + octaves * BF16_OCTAVE
            amax = np.minimum(top + below(16 + octaves, (n,), BF16_OCTAVE if octaves else 1), BF16_LARGEST)
            others = patterns | ((np.arange(31)[None, :] + signs) & 1) * BF16_SIGN
            blocks.append(place_amax(amax | signs * BF16_SIGN, others, below(80 + octaves, (n,), BLOCK)))
    return matrix(of_range(np.concatenate(blocks), which, 7), np.uint16)


# ---------------------------------------------------------------------------------------------------------------------
# FP32: 8 units around every threshold

F32_SIGN, F32_INFINITY, F32_OCTAVE = 0x80000000, 0x7F800000, 0x800000
MIDPOINTS = (0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0)
# Fractions of amax where some rule may turn, but for 1 and 1.5: 1.25, 1.75, sqrt(2), 1.5 / sqrt(2), 1.6 and 4/3.
OTHERS = (0x200000, 0x600000, 0x3504F3, 0x07C3B6, 0x4CCCCD, 0x2AAAAB)


def f32_bits(value):
    return int(np.array(value, dtype=np.float32).view(np.uint32))


def scaled(bits, exponent):
    """A number times 2^exponent, as bits, truncated where it becomes subnormal. bits must be those of a normal number."""
    biased = (bits >> 23) + exponent
    fraction = bits & 0x7FFFFF
    subnormal = (fraction | 0x800000) >> np.clip(1 - biased, 0, 31)
    return np.where(biased >= 1, np.minimum(biased << 23 | fraction, F32_INFINITY - 1), subnormal)


def around(bits):
    """A pattern and its 8 neighbours on either side, the numbers among them."""
    near = np.asarray(bits)[..., None] + np.arange(-8, 9)
    return np.clip(near, 0, F32_INFINITY - 1)


def others_under(amax, stream):
    """31 values for each amax: midpoints times 1/4, 1/2, 1 or 2 of a likely scale, their neighbours and random ones."""
    shape = (len(amax), BLOCK - 1)
    midpoints = np.array([f32_bits(m) for m in MIDPOINTS])
    exponent = (amax >> 23)[:, None] - 129 + below(stream, shape, 4) - 1
    ties = scaled(midpoints[below(stream + 1, shape, len(MIDPOINTS))], exponent) + below(stream + 2, shape, 5) - 2
    random = amax[:, None] - below(stream + 3, shape, 6 * F32_OCTAVE)
    magnitude = np.clip(np.where(below(stream + 4, shape, 4) == 0, random, ties), 0, amax[:, None])
    return magnitude | below(stream + 5, shape, 2) * F32_SIGN


def f32_amax(fractions, which, stream):
    """Blocks with the amax within 8 units of a fraction, in every binade."""
    exponent = np.arange(1, 255)
    amax = around((exponent[:, None] << 23) | np.array(fractions)[None, :]).reshape(-1)
    if which == "tiny":                                                        # subnormals, too
        subnormal = [scaled(np.array(0x3F800000 | f), -np.arange(127, 147)) for f in fractions]
        amax = np.concatenate((amax, around(np.concatenate(subnormal)).reshape(-1)))
    others = others_under(amax, stream)
    amax = amax | below(stream + 6, amax.shape, 2) * F32_SIGN
    blocks = place_amax(amax, others, below(stream + 7, amax.shape, BLOCK))
    return matrix(of_range(blocks, which, 23), np.uint32)


def f32_midpoints(which):
    """Everything within 8 units of each midpoint, in both signs, under each scale and seven amax for it."""
    near = np.concatenate([around(f32_bits(m)) for m in MIDPOINTS])
    near = np.concatenate((near, near[:-len(near) % 31])).reshape(-1, 31)
    blocks = []
    for exponent in range(-127, 125):
        for n, largest in enumerate((3, 3.5, 4, 5.5, 6, 6.75, 7.5)):
            amax = np.full(len(near), int(scaled(np.array(f32_bits(largest)), exponent)))
            others = np.minimum(scaled(near, exponent), amax[:, None])
            for signs in range(2):
                signed = others | ((np.arange(31)[None, :] + signs) & 1) * F32_SIGN
                blocks.append(place_amax(amax, signed, (np.arange(len(near)) * 5 + n + exponent) % BLOCK))
    return matrix(of_range(np.concatenate(blocks), which, 23), np.uint32)


def f32_subnormal():
    """Random subnormals and numbers just above them, of all lengths."""
    shape = (4096, BLOCK)
    return matrix((below(300, shape, 1 << 25) >> below(301, shape, 25)) | below(302, shape, 2) * F32_SIGN, np.uint32)


# ---------------------------------------------------------------------------------------------------------------------
# Random numbers, zeros, infinities and NaNs


def normal_values(stream, count):
    """The sum of twelve uniform numbers of 32 bits, rounded to FP32."""
    halves = words(stream, 6 * count)
    total = ((halves >> np.uint64(32)) + (halves & np.uint64(0xFFFFFFFF))).astype(np.int64).reshape(-1, 6).sum(axis=1)
    return ((total - 6 * ((1 << 32) - 1)).astype(np.float64) * 2.0 ** -32).astype(np.float32)


def heavy_values(stream, count):
    """Normal numbers times 4^n, where n is 0 half of the time, 1 a quarter of it, and so on: a tail like 1 / sqrt(x)."""
    n = np.zeros(count, dtype=np.int64)
    word = words(stream + 1, count)
    for bit in range(20):
        n += (word & np.uint64((2 << bit) - 1)) == 0
    return normal_values(stream, count) * np.ldexp(np.float32(1), (2 * n).astype(np.int32)).astype(np.float32)


def to_bf16(values):
    bits = values.view(np.uint32).astype(np.uint64)
    return ((bits + np.uint64(0x7FFF) + ((bits >> np.uint64(16)) & np.uint64(1))) >> np.uint64(16)).astype(np.int64)


def random_matrix(values, stream, dtype):
    x = values(stream, 4096 * BLOCK)
    bits = to_bf16(x) if dtype == np.uint16 else x.view(np.uint32).astype(np.int64)
    return matrix(bits.reshape(-1, BLOCK), dtype)


def zeros(dtype):
    """Blocks of +0, of -0, of both, and of zeros beside one number, between blocks of numbers."""
    shift = np.dtype(dtype).itemsize * 8 - 16
    numbers = to_bf16(normal_values(500, 256 * BLOCK)).reshape(-1, BLOCK) << shift
    sign = BF16_SIGN << shift
    kind = np.arange(256)[:, None] % 8
    both = below(501, numbers.shape, 2) * sign
    lone = np.where(np.arange(BLOCK)[None, :] == np.arange(256)[:, None] % BLOCK, numbers, both)
    blocks = np.select([kind == 0, kind == 1, kind == 2, kind == 3], [0 * numbers, 0 * numbers + sign, both, lone], numbers)
    return matrix(blocks, dtype)


def nonfinite(specials, dtype):
    """One or two of the special patterns among numbers, small numbers and zeros."""
    shift = np.dtype(dtype).itemsize * 8 - 16
    specials = np.array([(s if dtype == np.uint32 else s >> 16) for s in specials])
    n = 64 * len(specials)
    row, column = np.arange(n)[:, None], np.arange(BLOCK)[None, :]
    numbers = to_bf16(normal_values(510, n * BLOCK)).reshape(-1, BLOCK) << shift
    small = below(511, numbers.shape, 0x100) << shift | below(512, numbers.shape, 2) * (BF16_SIGN << shift)
    around_it = np.select([row % 4 < 2, row % 4 == 2], [numbers, small], 0 * numbers)
    mine = specials[(row // 64 + (column > row % BLOCK)) % len(specials)]
    here = (column == row % BLOCK) | ((row % 8 == 1) & (column == row * 7 % BLOCK))
    return matrix(np.where(here, mine, around_it), dtype)


def nothing_but(specials, dtype):
    """Blocks of one special pattern, and of all of them in turn."""
    specials = np.array([s if dtype == np.uint32 else s >> 16 for s in specials])
    blocks = specials[np.arange(len(specials)).repeat(BLOCK).reshape(-1, BLOCK)]
    mixed = specials[np.arange(BLOCK * len(specials)).reshape(-1, BLOCK) % len(specials)]
    return matrix(np.concatenate((blocks, mixed)), dtype)


INFINITIES = (0x7F800000, 0xFF800000)
NANS = (0x7FC00000, 0xFFC00000)
OTHER_NANS = (0x7FFF0000, 0xFFD50000, 0x7F810000, 0xFFA00000)    # quiet ones with a payload, and signalling ones


def real_weight():
    """The weight in testdata, 384 x 384."""
    import os
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../testdata/minilm_l6_attn_query.bf16.npy")
    with open(path, "rb") as f:
        return np.frombuffer(f.read()[-384 * 384 * 2:], dtype="<u2").reshape(384, 384)


RANGES = ("normal", "tiny", "huge", "largest")

CASES = {
    "bf16-real-weight": real_weight,
    "bf16-random-normal": lambda: random_matrix(normal_values, 400, np.uint16),
    "bf16-random-heavy": lambda: random_matrix(heavy_values, 410, np.uint16),
    **{"bf16-amax-" + r: lambda r=r: bf16_amax(r) for r in RANGES},
    **{"bf16-small-" + r: lambda r=r: bf16_small(r) for r in RANGES},
    "bf16-zeros": lambda: zeros(np.uint16),
    "bf16-infinity": lambda: nonfinite(INFINITIES, np.uint16),
    "bf16-nan": lambda: nonfinite(NANS, np.uint16),
    "bf16-other-nan": lambda: nonfinite(OTHER_NANS, np.uint16),
    "bf16-infinity-nan": lambda: nonfinite(INFINITIES + NANS, np.uint16),
    "bf16-only-infinity": lambda: nothing_but(INFINITIES, np.uint16),
    "bf16-only-nan": lambda: nothing_but(NANS, np.uint16),
    "f32-random-normal": lambda: random_matrix(normal_values, 420, np.uint32),
    "f32-random-heavy": lambda: random_matrix(heavy_values, 430, np.uint32),
    "f32-amax-at-1-normal": lambda: f32_amax((0,), "normal", 100),
    "f32-amax-at-1.5-normal": lambda: f32_amax((0x400000,), "normal", 110),
    "f32-amax-at-others-normal": lambda: f32_amax(OTHERS, "normal", 120),
    "f32-amax-at-1-tiny": lambda: f32_amax((0,), "tiny", 130),
    "f32-amax-at-1.5-tiny": lambda: f32_amax((0x400000,), "tiny", 140),
    "f32-amax-at-others-tiny": lambda: f32_amax(OTHERS, "tiny", 150),
    "f32-amax-at-1-huge": lambda: f32_amax((0,), "huge", 160),
    "f32-amax-at-1.5-huge": lambda: f32_amax((0x400000,), "huge", 170),
    "f32-amax-at-others-huge": lambda: f32_amax(OTHERS, "huge", 180),
    "f32-amax-at-1-largest": lambda: f32_amax((0x7FFFF8,), "largest", 190),
    "f32-amax-at-others-largest": lambda: f32_amax((0x600000, 0x640000, 0x700000), "largest", 200),
    "f32-midpoints-normal": lambda: f32_midpoints("normal"),
    "f32-midpoints-tiny": lambda: f32_midpoints("tiny"),
    "f32-midpoints-huge": lambda: f32_midpoints("huge"),
    "f32-subnormal": f32_subnormal,
    "f32-zeros": lambda: zeros(np.uint32),
    "f32-infinity": lambda: nonfinite(INFINITIES, np.uint32),
    "f32-nan": lambda: nonfinite(NANS, np.uint32),
    "f32-other-nan": lambda: nonfinite(OTHER_NANS, np.uint32),
    "f32-infinity-nan": lambda: nonfinite(INFINITIES + NANS, np.uint32),
    "f32-only-infinity": lambda: nothing_but(INFINITIES, np.uint32),
    "f32-only-nan": lambda: nothing_but(NANS, np.uint32),
}


def elements(patterns, dtype):
    """All of the patterns up to 6.0, in both signs, under an amax of 6.0: the scale is 1 for every rule but ceil."""
    bits = 8 * np.dtype(dtype).itemsize
    six = 0x40C00000 >> (32 - bits)
    patterns = patterns[patterns <= six]
    patterns = np.concatenate((patterns, patterns | 1 << (bits - 1)))
    patterns = np.concatenate((patterns, patterns[:-len(patterns) % 31])).reshape(-1, 31)
    n = len(patterns)
    return matrix(place_amax(np.full(n, six), patterns, np.arange(n) % BLOCK), dtype)


# For peers that convert elements, and leave scales to others.
ELEMENTS = {
    "bf16-elements": lambda: elements(np.arange(BF16_LARGEST + 1), np.uint16),
    "f32-elements": lambda: elements(around(np.array([f32_bits(m) for m in MIDPOINTS])).reshape(-1), np.uint32),
}


# For peers that take rows which are no multiple of 32 long.
TAILS = {
    "bf16-tail-14": lambda: np.ascontiguousarray(random_matrix(heavy_values, 440, np.uint16)[:, :1006]),
    "f32-tail-30": lambda: np.ascontiguousarray(random_matrix(heavy_values, 450, np.uint32)[:, :1022]),
}


def make(case):
    """The matrix of a case: uint16 patterns of BF16, or uint32 patterns of FP32."""
    return {**CASES, **ELEMENTS, **TAILS}[case]()


def digest(x):
    return hashlib.sha256(np.ascontiguousarray(x).tobytes()).hexdigest()


def npy_bytes(x):
    """As a .npy file of version 1; BF16 as ml_dtypes spells it."""
    header = "{'descr': '%s', 'fortran_order': False, 'shape': %r, }" % ("<V2" if x.dtype == np.uint16 else "<f4", x.shape)
    header = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + x.tobytes()


if __name__ == "__main__":
    if len(sys.argv) == 3:
        with open(sys.argv[2], "wb") as out:
            out.write(npy_bytes(make(sys.argv[1])))
    else:
        for name in {**CASES, **ELEMENTS, **TAILS}:
            x = make(name)
            print("%s  %s %s" % (digest(x), name, "x".join(map(str, x.shape))))
