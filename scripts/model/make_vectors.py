#!/usr/bin/env python3
"""Makes testdata/vectors/: inputs, cases.txt and the bytes expected of `mxfp4q quantize`.

    make_vectors.py           writes the files
    make_vectors.py --check   writes nothing; names every file that is not what it would write; exit status 1 if any

The inputs come from an integer generator written out below, the expected bytes from mxfp4_model.py, so every machine
with NumPy >= 1.24 makes the same files.
"""
import os
import sys

import numpy as np

import mxfp4_model as model

TESTDATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "testdata")
ROOT = os.path.join(TESTDATA, "vectors")
REAL_WEIGHT = "minilm_l6_attn_query.bf16.npy"

# ---------------------------------------------------------------------------------------------------------------------
# Numbers


class Pcg32:
    """PCG-XSH-RR 64/32 (O'Neill, 2014) with a fixed increment."""

    def __init__(self, seed):
        self.state = (seed * 0x9E3779B97F4A7C15 + 0xDA3E39CB94B95BDB) % 2 ** 64

    def next(self):
        old = self.state
        self.state = (old * 6364136223846793005 + 1442695040888963407) % 2 ** 64
        word, turn = ((old >> 18 ^ old) >> 27) % 2 ** 32, old >> 59
        return (word >> turn | word << (-turn % 32)) % 2 ** 32

    def below(self, n):
        return self.next() % n

    def choice(self, items):
        return items[self.below(len(items))]


class Format:
    """A binary floating point format, seen as the integers that order its non-negative values."""

    def __init__(self, name, descr, width, fraction_bits, bias):
        self.name, self.descr, self.width, self.fraction_bits, self.bias = name, descr, width, fraction_bits, bias
        self.sign = 1 << (width - 1)
        self.one_ulp_exponent = 1 - bias - fraction_bits                    # log2 of the smallest subnormal
        self.inf = (2 * bias + 1) << fraction_bits
        self.max_exponent = bias
        self.dtype = "<u%d" % (width // 8)

    def bits(self, value):
        """The pattern of a value that the format holds exactly (or None)."""
        magnitude = abs(value)
        if magnitude == 0:
            return self.sign if np.signbit(value) else 0
        k = int(model.floor_log2(magnitude))
        exponent = max(k, 1 - self.bias)
        scaled = float(np.ldexp(magnitude, self.fraction_bits - exponent))  # fraction with its leading one
        if k > self.max_exponent or scaled != int(scaled):
            return None
        pattern = int(scaled) + ((exponent + self.bias - 1) << self.fraction_bits)
        return pattern | (self.sign if value < 0 else 0)

    def step(self, value, ulps):
        """The pattern `ulps` away from a value in magnitude, kept finite and of the same sign (or None)."""
        pattern = self.bits(value)
        if pattern is None or not 0 <= (pattern & ~self.sign) + ulps < self.inf:
            return None
        return pattern + ulps

    def random(self, rng, k_low, k_high):
        """A pattern with a random sign, an exponent in the range, and often few fraction bits, so that ties are common."""
        fraction = rng.below(1 << self.fraction_bits)
        if rng.below(2):
            fraction &= ~((1 << max(self.fraction_bits - 3, 0)) - 1)
        exponent = k_low + rng.below(k_high - k_low + 1) + self.bias
        return (self.sign if rng.below(2) else 0) | exponent << self.fraction_bits | fraction


BF16 = Format("bf16", "<V2", 16, 7, 127)
F16 = Format("f16", "<f2", 16, 10, 15)
F32 = Format("f32", "<f4", 32, 23, 127)
FORMATS = (BF16, F16, F32)
MIDPOINTS = (0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0)

# ---------------------------------------------------------------------------------------------------------------------
# Blocks: lists of 32 patterns


def fill(fmt, rng, patterns, amax, spread=6):
    """A block of these patterns (those not above amax), amax itself, and smaller random values, in random order."""
    limit = amax & ~fmt.sign
    block = [p for p in patterns if p is not None and p & ~fmt.sign <= limit][:31] + [amax]
    top = (limit >> fmt.fraction_bits) - fmt.bias
    while len(block) < 32:
        if limit >> fmt.fraction_bits <= spread + 1:    # near or below the subnormals: any integer below amax
            block.append(rng.below(limit + 1) | (fmt.sign if rng.below(2) else 0))
        else:
            block.append(fmt.random(rng, top - spread, top - 1))
    for i in range(31, 0, -1):
        j = rng.below(i + 1)
        block[i], block[j] = block[j], block[i]
    return block


def around_midpoints(fmt, su, flip):
    """Each midpoint under the scale 2^su with its neighbours; signs alternate, and the other way round when flip."""
    out = []
    for i, midpoint in enumerate(MIDPOINTS):
        for j, ulps in enumerate((0, -1, 1)):
            pattern = fmt.step(float(np.ldexp(midpoint, su)), ulps)
            if pattern is not None:
                out.append(pattern | (fmt.sign if (i + j + flip) % 2 else 0))
    return out


def threshold_blocks(fmt, rng):
    """amax on, just below and just above 1, 1.5 (= 6/4) and 1.75 times powers of two, over ties of either scale."""
    low = fmt.one_ulp_exponent
    exponents = sorted({low + 3, low + fmt.fraction_bits, low + fmt.fraction_bits + 1, low + fmt.fraction_bits + 2, -13, -1,
                        0, 1, 7, fmt.max_exponent - 1, fmt.max_exponent})
    for k in exponents:
        for n, mantissa in enumerate((1.0, 1.5, 1.75)):
            for ulps in (-1, 0, 1, 2, 3) if fmt is F32 and mantissa == 1.5 else (-1, 0, 1):
                amax = fmt.step(float(np.ldexp(mantissa, k)), ulps)
                if amax is not None:
                    flip = (k + ulps) % 2
                    yield fill(fmt, rng, around_midpoints(fmt, k - 2 + (n == 2), flip), amax | (fmt.sign if flip else 0))


def sweep_blocks(fmt, rng):
    """Two blocks in every binade: the scale byte takes each value that the format can bring about."""
    for k in range(fmt.one_ulp_exponent, fmt.max_exponent + 1):
        for mantissas, su in (((1.0, 1.25), k - 2), ((1.5, 1.625, 1.75, 1.875), k - 1)):
            amax = fmt.bits(float(np.ldexp(rng.choice(mantissas), k)))
            if amax is None:        # a subnormal with too few bits for this fraction
                amax = fmt.bits(float(np.ldexp(1.0, k)))
            yield fill(fmt, rng, around_midpoints(fmt, su, rng.below(2)), amax)


def underflow_blocks(fmt, rng):
    """The smallest amax, and amax/6 around 2^-127 and 2^-126, where the rceil rules part."""
    for units in (1, 2, 3, 4, 5, 6, 7, 8, 9, 12):
        yield fill(fmt, rng, [units | fmt.sign, fmt.sign, 0, 1], units)
    for value in (6 * 2.0 ** -128, 6 * 2.0 ** -127, 6 * 2.0 ** -126, 2.0 ** -127, 2.0 ** -126, 2.0 ** -125):
        for ulps in (-2, -1, 0, 1, 2):
            amax = fmt.step(value, ulps)
            if amax:
                su = int(model.floor_log2(value)) - 2
                yield fill(fmt, rng, around_midpoints(fmt, su, ulps % 2) + [fmt.sign], amax, 2)


def zero_blocks(fmt, rng):
    """Zeros of either sign, alone and beside one other value; subnormals."""
    one, minus = fmt.bits(1.0), fmt.sign
    smallest_normal = 1 << fmt.fraction_bits
    yield [0] * 32
    yield [minus] * 32
    yield [0, minus] * 16
    yield [minus] * 31 + [0]
    for value in (1, smallest_normal - 1, smallest_normal, smallest_normal + 1, one, fmt.inf - 1):
        yield [0] * 31 + [value]
        yield [minus | value] + [minus] * 31
        yield [0, minus] * 15 + [value, minus | value]
        yield [value] * 16 + [minus | value] * 16
    for top in (3, 2 * smallest_normal, one):
        for _ in range(2):
            yield fill(fmt, rng, [1, minus | 1, 2, smallest_normal - 1, minus | smallest_normal - 1, 0, minus,
                                  minus | rng.below(smallest_normal), rng.below(smallest_normal)], top)


def tiny_beside_huge_blocks(fmt, rng):
    """Values whose scaled form underflows to zero in FP32: the sign rules that look at it drop their sign."""
    for value in (2.0 ** fmt.max_exponent, 1.5 * 2.0 ** fmt.max_exponent, 1.75 * 2.0 ** fmt.max_exponent):
        tiny = []
        for k in range(-27, -20):
            for ulps in (-1, 0, 1):
                pattern = fmt.step(2.0 ** k, ulps)
                if pattern is not None:
                    tiny.append(pattern | (fmt.sign if (k + ulps) % 3 else 0))
        yield fill(fmt, rng, tiny + [fmt.sign | 1, 1, fmt.sign], fmt.bits(value))


def random_blocks(fmt, rng, count):
    for _ in range(count):
        k = -8 + rng.below(16)
        yield [fmt.random(rng, k - 5, k) for _ in range(32)]


def nonfinite_blocks(fmt, rng):
    """NaN and Inf, alone, together and beside every kind of finite block."""
    inf, minus, one = fmt.inf, fmt.sign, fmt.bits(1.0)
    quiet = inf | 1 << (fmt.fraction_bits - 1)
    nans = [quiet, minus | quiet, inf | 1, minus | inf | 1, minus | inf | ((1 << fmt.fraction_bits) - 1), quiet | 5]
    specials = [[quiet], [minus | quiet], [inf], [minus | inf], [inf, minus | inf], [quiet, minus | inf], nans, nans + [inf]]
    for special in specials:
        yield (special * 32)[:32]
    backgrounds = [[0], [minus], [0, minus], [1, minus | 2], [one, minus | one], [fmt.inf - 1, minus | 1],
                   [fmt.bits(1.75 * 2.0 ** fmt.max_exponent), minus | fmt.bits(0.25)],
                   [fmt.random(rng, -6, 0) for _ in range(32)]]
    for special in specials:
        for background in backgrounds:
            block = (background * 32)[:32]
            place = rng.below(24)
            block[place:place + len(special)] = special
            yield block
    for _ in range(4):
        yield [rng.choice(nans + [inf, minus | inf, fmt.random(rng, -3, 2), fmt.random(rng, -3, 2)]) for _ in range(32)]


def transformed_blocks(blocks):
    """FP32 blocks whose Hadamard transforms are about these: then the rounding of each FP32 addition, and so their order,
    decides on which side of a midpoint or of a scale threshold a value comes out. The float64 sums are exact."""
    for block in blocks:
        y = np.array(block, dtype=np.uint32).view(np.float32).astype(np.float64).reshape(2, 16)
        h = np.array([[(-1.0) ** bin(i & j).count("1") for i in range(16)] for j in range(16)])
        x = np.array([[float(sum(row * half)) for row in h] for half in y]) / 4
        yield x.astype(np.float32).view(np.uint32).reshape(32).tolist()


# ---------------------------------------------------------------------------------------------------------------------
# Files


def npy(fmt, shape, patterns, descr=None, fortran=False, version=1):
    """A .npy file as NumPy writes it; the patterns are in C order of the shape."""
    descr = descr or fmt.descr
    array = np.array(patterns, dtype="u%d" % (fmt.width // 8)).reshape(shape)
    array = array.astype(fmt.dtype.replace("<", ">") if descr[0] == ">" else fmt.dtype)
    header = "{'descr': '%s', 'fortran_order': %s, 'shape': %r, }" % (descr, fortran, tuple(shape))
    prefix = 10 if version == 1 else 12
    header += " " * (-(prefix + len(header) + 1) % 64) + "\n"
    magic = b"\x93NUMPY" + bytes((version, 0)) + len(header).to_bytes(prefix - 8, "little")
    return magic + header.encode() + array.tobytes(order="F" if fortran else "C")


def matrix_of(blocks, blocks_per_row, fmt, rng):
    """Rows of blocks, filled up with random ones."""
    blocks = list(blocks)
    while len(blocks) % blocks_per_row:
        blocks += random_blocks(fmt, rng, 1)
    return (len(blocks) // blocks_per_row, 32 * blocks_per_row), [p for block in blocks for p in block]


class Vectors:
    """The files to be, by path below ROOT, and the lines of cases.txt."""

    def __init__(self):
        self.files, self.cases, self.seed = {}, [], 0

    def rng(self):
        self.seed += 1
        return Pcg32(self.seed)

    def input(self, name, blob):
        self.files["inputs/%s.npy" % name] = blob
        return name + ".npy"

    def random_input(self, name, shape, fmt=BF16, **how):
        """Values around 1 with some zeros; every 16th a zero of either sign."""
        rng = self.rng()
        count = int(np.prod(shape, dtype=np.int64))
        patterns = [fmt.random(rng, -6, 2) if rng.below(16) else rng.choice((0, fmt.sign)) for _ in range(count)]
        return self.input(name, npy(fmt, shape, patterns, **how))

    def case(self, name, input_name, options):
        path = os.path.normpath(os.path.join("inputs", input_name))
        blob = self.files.get(path)
        if blob is None:
            blob = read(path)
        buffers = model.quantize_file(blob, options.split())
        self.files["expected/%s.bin" % name] = b"".join(buffer.tobytes() for buffer in buffers.values())
        self.cases.append("%s\t%s\t%s\n" % (name, input_name, options))


def add_edges(v):
    """Every profile on the chosen edges, in every dtype."""
    for fmt in FORMATS:
        rng = v.rng()
        families = (threshold_blocks(fmt, rng), sweep_blocks(fmt, rng), underflow_blocks(fmt, rng), zero_blocks(fmt, rng),
                    tiny_beside_huge_blocks(fmt, rng), random_blocks(fmt, rng, 16))
        shape, patterns = matrix_of((b for family in families for b in family), 4, fmt, rng)
        finite = v.input("edges_%s" % fmt.name, npy(fmt, shape, patterns))
        shape, patterns = matrix_of(nonfinite_blocks(fmt, rng), 2, fmt, rng)
        nonfinite = v.input("nonfinite_%s" % fmt.name, npy(fmt, shape, patterns))
        for profile in model.PROFILES:
            both = "both" if profile.startswith("te-") else "rowwise"
            v.case("edges_%s_%s" % (fmt.name, profile), finite,
                   "--profile %s --layout linear --direction %s" % (profile, both))
            v.case("nonfinite_%s_%s" % (fmt.name, profile), nonfinite,
                   "--profile %s --layout linear --direction both --nonfinite profile" % profile)


def add_switches(v):
    """Every scale x ties x sign on one matrix, and the zero byte."""
    rng = v.rng()
    blocks = list(threshold_blocks(BF16, rng))[::2] + list(zero_blocks(BF16, rng)) + list(random_blocks(BF16, rng, 24))
    shape, patterns = matrix_of(blocks, 3, BF16, rng)
    name = v.input("switches_bf16", npy(BF16, shape, patterns))
    for scale in ("even", "floor", "ceil", "rceil"):
        for ties in ("even", "away", "zero"):
            for sign in ("keep", "value", "drop", "nonpositive"):
                v.case("switches_%s_%s_%s" % (scale, ties, sign), name, "--scale %s --ties %s --sign %s --layout linear "
                       "--direction rowwise" % (scale, ties, sign))
    for profile, byte in (("te-hip", 0), ("te-triton", 1), ("quark", 127), ("aiter", 92), ("ggml", 254)):
        v.case("zero_byte_%s_%d" % (profile, byte), name,
               "--profile %s --zero-byte %d --layout linear --direction both" % (profile, byte))
    for profile, scale in (("ggml", "even"), ("torchao-rceil", "even"), ("quark", "rceil"), ("modelopt", "floor")):
        v.case("switches_%s_%s" % (profile, scale), name,
               "--profile %s --scale %s --layout linear --direction rowwise" % (profile, scale))


SHAPES = [(64, 96), (8, 32, 64), (16, 8, 4, 32), (31, 64), (64, 31), (37, 101), (1, 1), (3, 1), (1, 3), (5, 160), (33,), (),
          (61, 67), (257, 33), (33, 257), (17, 255), (17, 256), (15, 289), (32, 32), (2, 3, 5, 7), (0, 64), (64, 0)]


def shape_name(shape):
    return "x".join(str(n) for n in shape) or "scalar"


def add_shapes(v):
    """TransformerEngine's shapes, N-D, odd, prime and empty ones, in both layouts; then mixtures."""
    profiles = ["te-hip", "aiter", "te-triton", "modelopt", "quark"]
    for i, shape in enumerate(SHAPES):
        fmt = FORMATS[(0, 0, 0, 1, 2)[i % 5]]
        name = v.random_input("shape_%s_%s" % (shape_name(shape), fmt.name), shape, fmt)
        for layout in ("linear", "aiter"):
            v.case("shape_%s_%s" % (shape_name(shape), layout), name,
                   "--profile %s --layout %s --direction both" % (profiles[i % 5], layout))
    base = "shape_37x101_bf16.npy"
    v.case("defaults", "shape_64x96_bf16.npy", "--direction both")
    for direction in ("rowwise", "columnwise"):
        v.case("direction_%s" % direction, base, "--direction %s --layout aiter" % direction)
        v.case("direction_%s_linear" % direction, base, "--direction %s --layout linear" % direction)
    for i, shuffle in enumerate(model.BUFFERS + ("rowwise_data,columnwise_scale", "columnwise_data,rowwise_scale", "none", "all",
                                                 "rowwise_data,rowwise_scale,columnwise_data")):
        v.case("shuffle_%d" % i, base, "--direction both --shuffle %s" % shuffle)
    for fill_byte in (0, 1, 255):
        v.case("pad_fill_%d" % fill_byte, base, "--direction both --layout aiter --pad-fill %d" % fill_byte)
    v.case("pad_fill_quark_127", base, "--direction both --profile quark --shuffle rowwise_scale --pad-fill 127")


def add_flatten(v):
    for shape, axes in (((8, 32, 64), (0, 1, 2, 3, -1, -2)), ((2, 3, 5, 7), (1, 2, 3, 4, -3)), ((33,), (0, 1)), ((), (0,))):
        name = [n for n in v.files if n.startswith("inputs/shape_%s_" % shape_name(shape))][0]
        for axis in axes:
            v.case("flatten_%s_at_%s" % (shape_name(shape), str(axis).replace("-", "minus")), os.path.basename(name),
                   "--flatten %d --layout linear --direction both" % axis)


def add_tails(v):
    """Every tail 1..31 in both directions; the other side has another tail, sometimes after a full block. The odd
    tails in both layouts."""
    for tail in range(1, 32):
        rows, cols = tail * 12 % 31 + 1 + (32 if tail % 5 == 0 else 0), tail + (32 if tail % 3 == 0 else 0)
        fmt = FORMATS[tail % 3]
        name = v.random_input("tail_%dx%d_%s" % (rows, cols, fmt.name), (rows, cols), fmt)
        for layout in ("aiter", "linear")[:1 + tail % 2]:
            v.case("tail_%dx%d_%s" % (rows, cols, layout), name, "--layout %s --direction both" % layout)


def add_hadamard(v):
    """Transforms of whole and ragged blocks; then some where the rounding of the additions shows."""
    names = {fmt.name: v.random_input("hadamard_%s" % fmt.name, (45, 77), fmt) for fmt in FORMATS}
    for fmt in FORMATS:
        for signs in (None, "00000001", "deadbeef", "ffff0000"):
            options = "--hadamard" + ("" if signs is None else " --hadamard-signs %s" % signs)
            v.case("hadamard_%s_%s" % (fmt.name, signs or "plain"), names[fmt.name],
                   options + " --layout linear --direction both")
    rng = v.rng()
    blocks = [fill(F32, rng, around_midpoints(F32, k - 2 + (n > 1), k % 2), F32.step(float(np.ldexp(mantissa, k)), k % 3 - 1))
              for k in range(-8, 8) for n, mantissa in enumerate((1.5, 1.0, 1.75, 1.25))]
    shape, patterns = matrix_of(transformed_blocks(blocks), 4, F32, rng)
    name = v.input("hadamard_ties_f32", npy(F32, shape, patterns))
    for profile in ("te-hip", "te-triton", "modelopt", "aiter", "torchao-ceil"):
        v.case("hadamard_ties_%s" % profile, name, "--profile %s --hadamard --layout linear --direction rowwise" % profile)
    for profile in ("te-triton", "modelopt", "ggml", "torchao-rceil", "torchao-ceil"):
        v.case("hadamard_%s" % profile, names["f32"], "--profile %s --hadamard=16 --hadamard-signs 80010001 --layout linear "
               "--direction both" % profile)
    v.case("hadamard_aiter_layout", names["f32"], "--hadamard --hadamard-signs 5a5a1234 --layout aiter --direction both")
    v.case("hadamard_aiter_layout_bf16", names["bf16"], "--hadamard --layout aiter --direction rowwise --pad-fill 0")
    v.case("hadamard_1x3", "shape_1x3_f16.npy",
           "--profile modelopt --hadamard --layout linear --direction both")
    v.case("hadamard_zeros", "switches_bf16.npy", "--hadamard --hadamard-signs a5a5a5a5 --layout linear --direction rowwise")


def add_larger_transforms(v):
    """Transforms of 32 points in ragged rows, of 64 and 128 in rows that they divide; signs of every block their own."""
    signs = "0123456789abcdeffedcba98765432f1"
    for fmt in FORMATS:
        v.case("hadamard32_%s" % fmt.name, "hadamard_%s.npy" % fmt.name,
               "--hadamard=32 --hadamard-signs %s --layout linear --direction both" % signs)
    v.case("hadamard32_aiter", "hadamard_f32.npy", "--profile modelopt --hadamard=32 --direction both")
    v.case("hadamard16_signs", "hadamard_f16.npy", "--hadamard-signs %s --layout linear --direction both" % signs)
    wide = v.random_input("wide_bf16", (128, 256), BF16)
    v.case("hadamard64", wide, "--hadamard=64 --hadamard-signs %s --layout linear --direction rowwise" % signs)
    v.case("hadamard64_columns", wide, "--hadamard=64 --hadamard-signs 80000001 --layout linear --direction columnwise")
    v.case("hadamard128", wide, "--profile torchao-rceil --hadamard=128 --hadamard-seed 7 --layout linear --direction rowwise")
    v.case("hadamard128_columns", wide, "--hadamard=128 --hadamard-seed 18446744073709551615 --layout aiter "
           "--direction columnwise")
    rng = v.rng()
    blocks = list(nonfinite_blocks(F32, rng))[::5] + list(random_blocks(F32, rng, 8))
    shape, patterns = matrix_of(blocks, 4, F32, rng)
    name = v.input("hadamard_nonfinite_f32", npy(F32, shape, patterns))
    for points in (32, 64, 128):
        v.case("hadamard%d_nonfinite" % points, name, "--hadamard=%d --layout linear --direction rowwise --nonfinite profile"
               % points)


def add_stochastic(v):
    """Random bits by direction, layout, seed and rule of signs; values that are finer than 2^-32 of the way."""
    for fmt in FORMATS:
        v.case("stochastic_%s" % fmt.name, "hadamard_%s.npy" % fmt.name,
               "--ties stochastic --seed 1 --layout linear --direction both")
    v.case("stochastic_no_seed", "hadamard_f32.npy", "--ties stochastic --layout linear --direction rowwise")
    v.case("stochastic_large_seed", "hadamard_bf16.npy", "--ties stochastic --seed 18446744073709551615 --direction rowwise")
    v.case("stochastic_aiter", "hadamard_f16.npy", "--ties stochastic --seed 4294967296 --profile aiter --direction both")
    for sign in ("value", "drop", "nonpositive"):
        v.case("stochastic_%s" % sign, "edges_f32.npy", "--ties stochastic --seed 3 --sign %s --layout linear --direction "
               "rowwise" % sign)
    v.case("stochastic_nonfinite", "nonfinite_f16.npy", "--profile quark --ties stochastic --seed 9 --layout linear --direction "
           "both --nonfinite profile")
    v.case("stochastic_hadamard", "hadamard_f32.npy", "--ties stochastic --seed 2 --hadamard=32 --hadamard-seed 2 --direction both")


def add_tiles(v):
    """One scale for 32 x 32 values, ragged too, with NaNs, zeros, transforms and random bits."""
    for fmt in FORMATS:
        v.case("tiles_%s" % fmt.name, "hadamard_%s.npy" % fmt.name, "--block 32x32 --layout linear --direction both")
    v.case("tiles_aiter", "hadamard_f32.npy", "--profile te-triton --block 32x32 --direction both")
    v.case("tiles_stochastic", "hadamard_f32.npy", "--block 32x32 --ties stochastic --seed 11 --layout linear --direction both")
    v.case("tiles_hadamard", "hadamard_bf16.npy", "--block 32x32 --hadamard --layout linear --direction both")
    v.case("tiles_hadamard64", "wide_bf16.npy", "--block 32x32 --hadamard=64 --layout linear --direction columnwise")
    for profile in ("te-hip", "torchao-even", "modelopt", "compressed-tensors"):
        v.case("tiles_nonfinite_%s" % profile, "nonfinite_f32.npy",
               "--profile %s --block 32x32 --layout linear --direction both --nonfinite profile" % profile)
    v.case("tiles_zeros", "switches_bf16.npy", "--profile aiter --block 32x32 --zero-byte 9 --layout linear --direction both")


def add_rules(v):
    """The scale rules even-above and nearlog, and floors under amax, on the edges of every type."""
    for fmt in FORMATS:
        for scale in ("even-above", "nearlog"):
            v.case("rule_%s_%s" % (fmt.name, scale), "edges_%s.npy" % fmt.name,
                   "--scale %s --layout linear --direction rowwise" % scale)
    v.case("rule_nonfinite", "nonfinite_f32.npy", "--profile torchao-even --scale even-above --layout linear --direction rowwise "
           "--nonfinite profile")
    for name, profile, floor in (("tiny", "aiter", "1e-10"), ("subnormal", "te-hip", "1e-40"), ("large", "ggml", "0.7")):
        v.case("floor_%s" % name, "edges_f32.npy", "--profile %s --amax-floor %s --layout linear --direction rowwise" %
               (profile, floor))
    v.case("floor_nonfinite", "nonfinite_bf16.npy", "--profile torchao-rceil --amax-floor 3 --layout linear --direction both "
           "--nonfinite profile")


def add_npy_variants(v):
    """The ways in which a .npy file can say the same matrix."""
    f32, bf16, f16 = dict(fmt=F32), dict(fmt=BF16), dict(fmt=F16)
    variants = [
        ("f32_fortran", dict(f32, fortran=True), ""), ("f32_big_endian", dict(f32, descr=">f4"), ""),
        ("f32_big_endian_fortran", dict(f32, descr=">f4", fortran=True), ""),
        ("f32_native", dict(f32, descr="=f4"), ""), ("f32_version2", dict(f32, version=2), ""),
        ("f32_version3", dict(f32, version=3), ""), ("f16_fortran", dict(f16, fortran=True), ""),
        ("bf16_fortran", dict(bf16, fortran=True), ""), ("bf16_bar_v2", dict(bf16, descr="|V2"), ""),
        ("bf16_by_name", dict(bf16, descr="bfloat16"), ""), ("bf16_as_u2", dict(bf16, descr="<u2"), " --dtype bf16"),
        ("bf16_as_i2_version2", dict(bf16, descr="<i2", version=2), " --dtype bf16"),
        ("f16_as_u2", dict(f16, descr="<u2"), " --dtype f16")]
    for name, how, option in variants:
        file_name = v.random_input("npy_%s" % name, (9, 40), **how)
        v.case("npy_%s" % name, file_name, "--layout linear --direction both" + option)
    for fmt, shape in ((BF16, (3, 5, 34)), (F32, (4, 2, 3, 33))):
        file_name = v.random_input("npy_fortran_%s_%s" % (shape_name(shape), fmt.name), shape, fmt, fortran=True)
        v.case("npy_fortran_%s" % shape_name(shape), file_name, "--layout linear --direction both")
        v.case("npy_fortran_%s_at_1" % shape_name(shape), file_name, "--layout linear --direction both --flatten 1")


def add_real_weight(v):
    """Its path is relative to inputs/ like every other."""
    v.case("real_weight", "../../" + REAL_WEIGHT, "--profile te-hip --layout linear --direction both")


def make():
    v = Vectors()
    for add in (add_edges, add_switches, add_shapes, add_flatten, add_tails, add_hadamard, add_npy_variants, add_real_weight,
                add_larger_transforms, add_stochastic, add_tiles, add_rules):
        add(v)
    names = [case.split("\t")[0] for case in v.cases]
    assert len(set(names)) == len(names), "two cases of one name"
    v.files["cases.txt"] = "".join(v.cases).encode()
    return v.files


def files_on_disk():
    return {os.path.relpath(os.path.join(folder, name), ROOT) for folder, _, names in os.walk(ROOT) for name in names}


def read(path):
    with open(os.path.normpath(os.path.join(ROOT, path)), "rb") as f:       # ROOT need not exist yet
        return f.read()


def check(files):
    found = files_on_disk()
    bad = ["missing: " + p for p in sorted(set(files) - found)] + ["not ours: " + p for p in sorted(found - set(files))]
    bad += ["different: " + p for p in sorted(found & set(files)) if read(p) != files[p]]
    for line in bad:
        print(line)
    return 1 if bad else 0


def write(files):
    for path in files_on_disk() - set(files):
        os.remove(os.path.join(ROOT, path))
    for path, blob in files.items():
        full = os.path.join(ROOT, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "wb") as f:
            f.write(blob)
    print("%d files, %d bytes, %d cases" % (len(files), sum(map(len, files.values())), files["cases.txt"].count(b"\n")))
    return 0


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit("usage: make_vectors.py [--check]")
    sys.exit((check if sys.argv[1:] else write)(make()))
