#!/usr/bin/env python3
"""gen_model.py - the tensors of `mxfp4q gen`, made from the text of mxfp4q(5), GENERATOR

Written from that page alone: whole numbers only, no floating point, no shared code, slow. Writes the elements,
little-endian and without a header, to standard output:

    gen_model.py --pattern PATTERN --dtype DTYPE --shape SHAPE --seed SEED

gen_model.py --suite FILE FOLDER writes those of each line of a suite that has nothing but a name and these options to
FOLDER/NAME.raw. gen_model.py --table prints the test values of the page.
"""

import argparse
import os
import struct
import sys
import zlib

PATTERNS = "uniform normal lognormal ties edges edges-finite zeros ramp outlier".split()
DTYPES = ("bf16", "f16", "f32")
FRACTION_BITS = {"bf16": 7, "f16": 10, "f32": 23}
SMALLEST = {"bf16": -133, "f16": -24, "f32": -149}  # exponents of the smallest subnormals
EXPONENT_ONES = {"bf16": 255, "f16": 31, "f32": 255}
LOWEST_TARGET = {"bf16": -7, "f16": 102, "f32": -23}
TARGETS = {"bf16": 260, "f16": 39, "f32": 276}
WORD = 1 << 64

# Real numbers are whole numbers of 2^-ONE: small enough a unit that none of them is rounded before its time.
ONE = 200


def power(n):
    return 1 << (n + ONE)


def mix(z):
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % WORD
    return z ^ (z >> 31)


class Type:
    """The bits of numbers."""

    def __init__(self, dtype):
        self.fraction_bits = FRACTION_BITS[dtype]
        self.smallest = SMALLEST[dtype] + ONE
        self.infinity = EXPONENT_ONES[dtype] << self.fraction_bits
        self.sign = 0x80000000 if dtype == "f32" else 0x8000
        self.pack = "<I" if dtype == "f32" else "<H"

    def magnitude(self, number):
        """Nearest, ties to even."""
        spacing = max(number.bit_length() - 1 - self.fraction_bits, self.smallest)
        steps, rest = divmod(2 * number, 2 << spacing)
        steps += rest > 1 << spacing or (rest == 1 << spacing and steps % 2)
        if steps < 1 << self.fraction_bits:
            return steps
        exponent = spacing - self.smallest + 1
        return min((exponent << self.fraction_bits) + steps - (1 << self.fraction_bits), self.infinity)

    def bits(self, number):
        return self.magnitude(number) if number >= 0 else self.magnitude(-number) + self.sign


class Tensor:
    def __init__(self, pattern, dtype, shape, seed):
        self.make = getattr(self, pattern.replace("-finite", ""))
        self.finite = pattern == "edges-finite"
        self.type = Type(dtype)
        self.dtype = dtype
        self.keys = [mix((mix(seed) + 16 * PATTERNS.index(pattern) + q) % WORD) for q in range(3)]
        self.cols = shape[-1] if shape else 1
        self.rows = 1
        for size in shape[:-1]:
            self.rows *= size

    def word(self, q, n):
        return mix((self.keys[q] + (n + 1) * 0x9E3779B97F4A7C15) % WORD)

    def elements(self):
        for r in range(self.rows):
            for c in range(self.cols):
                yield self.make(r * self.cols + c, r, c)

    def bytes(self):
        return b"".join(struct.pack(self.type.pack, bits) for bits in self.elements())

    def tile(self, r, c):
        return r // 32 * -(-self.cols // 32) + c // 32

    def is_peak(self, r, c, s):
        w, h = min(32, self.cols - c // 32 * 32), min(32, self.rows - r // 32 * 32)
        x, y = c % 32, r % 32
        return (y + s) % w == x if w <= h else (x + s) % h == y

    def signed(self, negative, magnitude):
        return magnitude + (self.type.sign if negative else 0)

    def uniform(self, i, _r, _c):
        u = self.word(0, i) >> 32
        bits = self.type.bits((3 * (2 * u + 1) - 2**34) * power(-33))
        return bits - 1 if bits in (self.type.bits(power(0)), self.type.bits(-power(1))) else bits

    def twelve(self, i):
        words = [self.word(0, 6 * i + k) for k in range(6)]
        return sum(w >> 32 for w in words) + sum(w % 2**32 for w in words) - 6 * (2**32 - 1)

    def normal(self, i, _r, _c):
        return self.type.bits(self.twelve(i) * power(-32))

    def lognormal(self, i, _r, c):
        e, f = divmod(3 * self.twelve(i) // 2 - 2 * 2**32, 2**32)
        o, k = self.word(2, c // 64), 0
        if c % 64 == o % min(64, self.cols - c // 64 * 64):
            k = 3 + (o >> 62)
        return self.signed(self.word(1, i) % 2, self.type.magnitude((2**32 + f) * power(e - 32 + k)))

    def ties(self, i, r, c):
        a, b = self.word(0, self.tile(r, c)), self.word(1, i)
        k, low = a % 16 - 8, a >> 4 & 1
        if self.is_peak(r, c, (a >> 8) % 32):
            return self.signed(b % 2, self.type.magnitude((4 if low else 6) * power(k)))
        quarters = (1, 3, 5, 7, 10, 14, 20)[(b >> 32) % (6 if low else 7)]
        magnitude = self.type.magnitude(quarters * power(k - 2))
        return self.signed(b % 2, magnitude + {2: 1, 3: -1}.get((b >> 1) % 4, 0))

    def zeros(self, _i, _r, _c):
        return 0

    def ramp(self, i, _r, _c):
        return self.type.bits((i % 8191 - 4095) * power(-10))

    def outlier(self, i, r, c):
        if not self.is_peak(r, c, (self.word(1, self.tile(r, c)) >> 8) % 32):
            return self.normal(i, r, c)
        b = self.word(2, i)
        return self.signed(b % 2, self.type.magnitude((2**32 + (b >> 32)) * power((b >> 1) % 8 + 5 - 32)))

    # edges

    def target(self, b, j):
        quarters = (0, 2, 4, 6, 8, 12, 16, 24, 1, 3, 5, 7, 10, 14, 20)
        return self.type.magnitude(quarters[j // 2] * power(b - 129)) if j < 30 else 1

    def special_tiles(self):
        seven, six, four = (self.type.bits(n * power(0)) for n in (7, 6, 4))
        normal = 1 << self.type.fraction_bits
        special = [0, 1, 2, normal - 1, normal, self.type.infinity - 1, seven, seven - 1, six + 1, four, four + 1, four - 1]
        return [[magnitude] * 32 for magnitude in special]

    def nonfinite_tiles(self):
        infinity, n = self.type.infinity, self.type.fraction_bits
        quiet, signalling, full = infinity + (1 << (n - 1)), infinity + 1, infinity + (1 << n) - 1
        plain = [self.target(127, j) for j in range(32)]
        for kind in (infinity, quiet, signalling, full):
            yield [kind] + plain[1:]
            yield plain[:1] + [kind] + plain[2:]
            yield [kind] * 32
        yield [infinity, quiet] + plain[2:]

    def cycle(self):
        lowest = LOWEST_TARGET[self.dtype]
        targets = list(range(lowest, lowest + TARGETS[self.dtype]))
        targets = targets[targets.index(127):] + targets[:targets.index(127)]
        tiles = [[self.target(b, j) for j in range(32)] for b in targets]
        nonfinite = [] if self.finite else list(self.nonfinite_tiles())
        return tiles[:1] + self.special_tiles() + nonfinite + tiles[1:]

    def edges(self, _i, r, c):
        if not hasattr(self, "tiles"):
            self.tiles = self.cycle()
        j = (r + c) % 32
        return self.signed(j % 2, self.tiles[self.tile(r, c) % len(self.tiles)][j])


TABLE_SHAPE = (40, 1000)


def print_table():
    print(".TS\ntab(|);\nl1 l1 l1 l1 l1 l1 l.\npattern|type|elements||||CRC-32\n_")
    for pattern in PATTERNS:
        for dtype in DTYPES:
            data = Tensor(pattern, dtype, TABLE_SHAPE, 1).bytes()
            size = 4 if dtype == "f32" else 2
            first = [data[k * size : (k + 1) * size][::-1].hex() for k in range(4)]
            print("|".join([pattern.replace("-", r"\-"), dtype] + first + ["%08x" % zlib.crc32(data)]))
    print(".TE")


def parse(words):
    parser = argparse.ArgumentParser()
    parser.add_argument("--pattern", choices=PATTERNS, required=True)
    parser.add_argument("--dtype", choices=DTYPES, required=True)
    parser.add_argument("--shape", required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args(words)
    sizes = [] if options.shape == "scalar" else [int(size) for size in options.shape.split("x")]
    return Tensor(options.pattern, options.dtype, sizes, options.seed)


def make_suite(path, folder):
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            words = line.split()
            with open(os.path.join(folder, words[0] + ".raw"), "wb") as file:
                file.write(parse(words[1:]).bytes())


def main(arguments):
    if arguments == ["--table"]:
        print_table()
    elif len(arguments) == 3 and arguments[0] == "--suite":
        make_suite(*arguments[1:])
    else:
        sys.stdout.buffer.write(parse(arguments).bytes())


if __name__ == "__main__":
    main(sys.argv[1:])
