#!/usr/bin/env python3
"""make_vectors.py - what instructions have to give, worked out without the executor, for check_gcnrun

Integers are Python's, floats are exact fractions that one function rounds to any format; the definitions are those of
AMD's ISA guides. The rows are the same at every run. Needs nothing but Python 3.

Output: for every case a line "case ARCHS scalar|vector GROUP", a line of assembly with "; " between instructions, and
lines of seven words: the inputs a, b, c, d (v1 to v4, or s8 to s11) and the results (v6 to v8, or s12, s13 and SCC).
ARCHS is the first architecture that has the instruction, with "-alone" if no other one has.
"""
import random
from fractions import Fraction

M32 = 0xFFFFFFFF
M64 = 0xFFFFFFFFFFFFFFFF
rng = random.Random(6)

# ---------------------------------------------------------------------------------------------------- floats
# A format: bits of the exponent, bits of the fraction.
F32, F16, BF16 = (8, 23), (5, 10), (8, 7)


def is_nan(bits, fmt=F32):
    e, f = fmt
    return bits & ((1 << (e + f)) - 1) > ((1 << e) - 1) << f


def is_inf(bits, fmt=F32):
    e, f = fmt
    return bits & ((1 << (e + f)) - 1) == ((1 << e) - 1) << f


def value(bits, fmt=F32):
    """The exact value of a finite number; the sign of zero is lost."""
    e, f = fmt
    sign = -1 if bits >> (e + f) & 1 else 1
    exponent, fraction = bits >> f & ((1 << e) - 1), bits & ((1 << f) - 1)
    bias = (1 << (e - 1)) - 1
    if exponent:
        return sign * Fraction((1 << f) | fraction) * Fraction(2) ** (exponent - bias - f)
    return sign * Fraction(fraction) * Fraction(2) ** (1 - bias - f)


def encode(x, fmt=F32, negative_zero=False, toward_zero=False):
    """Rounds an exact value to nearest even, or toward zero."""
    e, f = fmt
    bias = (1 << (e - 1)) - 1
    sign = (1 if x < 0 or (x == 0 and negative_zero) else 0) << (e + f)
    x = abs(x)
    if x == 0:
        return sign
    exponent = 0
    while Fraction(2) ** (exponent + 1) <= x:
        exponent += 1
    while Fraction(2) ** exponent > x:
        exponent -= 1
    exponent = max(exponent, 1 - bias)
    scaled = x / Fraction(2) ** (exponent - f)
    n = scaled.numerator // scaled.denominator
    rest = scaled - n
    if not toward_zero and (rest > Fraction(1, 2) or (rest == Fraction(1, 2) and n & 1)):
        n += 1
    if n >> (f + 1):
        n, exponent = n >> 1, exponent + 1
    if exponent > bias:
        if toward_zero:
            return sign | ((((1 << e) - 1) << f) - 1)
        return sign | ((1 << e) - 1) << f
    return sign | ((exponent + bias) << f | (n & ((1 << f) - 1)) if n >> f else n)


def negative(bits):
    return bits >> 31


def quiet(bits):
    return bits | 0x400000


def arithmetic(name, *bits):
    """add, mul or fma of FP32 patterns: the first NaN made quiet; 0x7fc00000 where the operation is invalid."""
    for b in bits:
        if is_nan(b):
            return quiet(b)
    if name == 'add':
        a, b = bits
        if is_inf(a) or is_inf(b):
            if is_inf(a) and is_inf(b) and a != b:
                return 0x7FC00000
            return a if is_inf(a) else b
        return encode(value(a) + value(b), F32, negative(a) and negative(b))
    a, b = bits[0], bits[1]
    sign = negative(a) ^ negative(b)
    zero = a << 1 & M32 == 0 or b << 1 & M32 == 0
    if is_inf(a) or is_inf(b):
        product = 0x7FC00000 if zero else sign << 31 | 0x7F800000
        if name == 'mul' or is_nan(product):
            return product
        c = bits[2]
        return 0x7FC00000 if is_inf(c) and c != product else product
    if name == 'mul':
        return encode(value(a) * value(b), F32, sign)
    c = bits[2]
    if is_inf(c):
        return c
    exact = value(a) * value(b) + value(c)
    return encode(exact, F32, sign and negative(c) and zero and c << 1 & M32 == 0)


def widen(h):
    if is_nan(h, F16):
        return (h & 0x8000) << 16 | 0x7FC00000 | (h & 0x3FF) << 13
    if is_inf(h, F16):
        return (h & 0x8000) << 16 | 0x7F800000
    return encode(value(h, F16), F32, h >> 15 & 1)


def narrow(bits, fmt=F16, toward_zero=False):
    e, f = fmt
    if is_nan(bits):
        top = (bits >> 31) << (e + f) | ((1 << e) - 1) << f | 1 << (f - 1)
        return top | (bits >> (23 - f) & ((1 << f) - 1))
    if is_inf(bits):
        return (bits >> 31) << (e + f) | ((1 << e) - 1) << f
    return encode(value(bits), fmt, bits >> 31, toward_zero)


def smaller(a, b, sign=1):
    """v_min_f32 in IEEE mode; sign -1: v_max_f32."""
    for x in (a, b):
        if is_nan(x) and not x & 0x400000:
            return quiet(x)
    if is_nan(a):
        return b
    if is_nan(b):
        return a

    def key(x):
        if is_inf(x):
            return (Fraction(2) ** 200 * (-1 if negative(x) else 1), 0)
        return (value(x), -1 if negative(x) else 0)
    return a if sign * (1 if key(a) > key(b) else -1 if key(a) < key(b) else 0) < 0 else b


def fp4_magnitudes():
    return [Fraction(x) for x in ('0', '1/2', '1', '3/2', '2', '3', '4', '6')]


def to_fp4(bits, scale):
    """Nearest FP4 code to bits / 2^(scale - 127), ties to the even code; finite inputs."""
    x = abs(value(bits)) / Fraction(2) ** (scale - 127)
    table = fp4_magnitudes()
    if x >= 6:
        return 7 | (bits >> 31) << 3
    best = min(range(8), key=lambda i: (abs(table[i] - x), i & 1))
    return best | (bits >> 31) << 3


def from_fp4(code, scale, fmt):
    if scale == 255:
        return narrow(0x7FC00000, fmt) if fmt != F32 else 0x7FC00000
    x = fp4_magnitudes()[code & 7] * Fraction(2) ** (scale - 127)
    return encode(-x if code & 8 else x, fmt, code >> 3)


# ---------------------------------------------------------------------------------------------------- inputs
INTEGERS = [0, 1, 2, 3, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x8000, 0xFFFF, 0x10000, 0x00FF00FF, 0xA5A5A5A5, 31, 32]
FLOATS = [0, 0x80000000, 0x3F800000, 0xBF800000, 0x3FC00000, 0x40490FDB, 0xC2F6E979, 0x00000001, 0x807FFFFF, 0x00800000,
          0x7F7FFFFF, 0xFF7FFFFF, 0x4B000001, 0x3F000000, 0x40200000, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC12345,
          0x7F812345]
FINITE = FLOATS[:15]
HALVES = [0, 0x8000, 0x3C00, 0xBC00, 1, 0x83FF, 0x400, 0x7BFF, 0x7C00, 0xFC00, 0x7E00, 0xFE01, 0x3555, 0x6400]


def integer():
    return rng.choice(INTEGERS) if rng.random() < 0.5 else rng.getrandbits(32)


def any_float():
    if rng.random() < 0.5:
        return rng.choice(FLOATS)
    return rng.getrandbits(1) << 31 | rng.randrange(90, 160) << 23 | rng.getrandbits(23)


def finite():
    if rng.random() < 0.4:
        return rng.choice(FINITE)
    return rng.getrandbits(1) << 31 | rng.randrange(100, 150) << 23 | rng.getrandbits(23)


def half():
    return rng.choice(HALVES) if rng.random() < 0.5 else rng.getrandbits(16)


def halves():
    return half() | half() << 16


def small_float():
    """What FP16 can hold, about."""
    if rng.random() < 0.3:
        return rng.choice(FLOATS)
    return rng.getrandbits(1) << 31 | rng.randrange(100, 145) << 23 | rng.getrandbits(23)


# ---------------------------------------------------------------------------------------------------- cases
ANY, G942, G950, OLD = 'gfx90a', 'gfx942', 'gfx950', 'gfx90a-alone'
cases = []


def case(group, text, make, inputs=integer, archs=ANY, nrows=12, scalar=False):
    """make(a, b, c, d) gives up to three words."""
    rows = []
    for _ in range(nrows):
        kinds = inputs if isinstance(inputs, (list, tuple)) else [inputs] * 4
        row = [k() for k in kinds]
        result = make(*row)
        result = list(result) if isinstance(result, (list, tuple)) else [result]
        rows.append(row + [x & M32 for x in result] + [0] * (3 - len(result)))
    cases.append((group, archs, scalar, text, rows))


def s32(x):
    x &= M32
    return x - (1 << 32) if x >> 31 else x


def s64(x):
    x &= M64
    return x - (1 << 64) if x >> 63 else x


def s16(x):
    x &= 0xFFFF
    return x - 0x10000 if x >> 15 else x


def s24(x):
    x &= 0xFFFFFF
    return x - (1 << 24) if x >> 23 else x


def popcount(x):
    return bin(x).count('1')


def low_bit(x):
    return M32 if x == 0 else (x & -x).bit_length() - 1


def high_zeros(x, n=32):
    return M32 if x == 0 else n - x.bit_length()


def bit_field(a, shift, width, signed=False):
    v = (a >> shift) & ((1 << width) - 1) if width else 0
    if signed and width and shift + width <= 32 and v >> (width - 1):
        v -= 1 << width
    elif signed and width:
        v = (s32(a) >> shift) & ((1 << width) - 1)
        v -= (1 << width) if v >> (width - 1) else 0
    return v & M32


def permuted(a, b, c):
    data = (a << 32 | b).to_bytes(8, 'little')
    out = []
    for s in c.to_bytes(4, 'little'):
        if s < 8:
            out.append(data[s])
        elif s < 12:
            out.append(255 if data[2 * (s - 8) + 1] & 128 else 0)
        else:
            out.append(0 if s == 12 else 255)
    return int.from_bytes(bytes(out), 'little')


def selectors():
    return sum(rng.randrange(16) << 8 * i for i in range(4))


def median(a, b, c):
    return sorted((a, b, c))[1]


def vector_integers():
    g = 'vector integers and bits'

    def two(name, f, **kw):
        case(g, f'{name} v6, v1, v2', lambda a, b, c, d: f(a, b), **kw)

    def three(name, f, **kw):
        case(g, f'{name} v6, v1, v2, v3', lambda a, b, c, d: f(a, b, c), **kw)

    def one(name, f, **kw):
        case(g, f'{name} v6, v1', lambda a, b, c, d: f(a), **kw)
    one('v_mov_b32', lambda a: a)
    one('v_not_b32', lambda a: ~a)
    one('v_bfrev_b32', lambda a: int(f'{a:032b}'[::-1], 2))
    one('v_ffbh_u32', high_zeros)
    one('v_ffbh_i32', lambda a: M32 if a in (0, M32) else high_zeros(a ^ (M32 if a >> 31 else 0)))
    one('v_ffbl_b32', low_bit)
    two('v_and_b32', lambda a, b: a & b)
    two('v_or_b32', lambda a, b: a | b)
    two('v_xor_b32', lambda a, b: a ^ b)
    two('v_xnor_b32', lambda a, b: ~(a ^ b))
    two('v_bfm_b32', lambda a, b: ((1 << (a & 31)) - 1) << (b & 31))
    two('v_bcnt_u32_b32', lambda a, b: popcount(a) + b)
    two('v_lshlrev_b32', lambda a, b: b << (a & 31))
    two('v_lshrrev_b32', lambda a, b: b >> (a & 31))
    two('v_ashrrev_i32', lambda a, b: s32(b) >> (a & 31))
    two('v_add_u32', lambda a, b: a + b)
    two('v_sub_u32', lambda a, b: a - b)
    two('v_subrev_u32', lambda a, b: b - a)
    case(g, 'v_add_u32 v6, v1, v2 clamp', lambda a, b, c, d: min(a + b, M32))
    case(g, 'v_sub_u32 v6, v1, v2 clamp', lambda a, b, c, d: max(a - b, 0))
    two('v_add_i32', lambda a, b: a + b)
    two('v_sub_i32', lambda a, b: a - b)
    two('v_mul_lo_u32', lambda a, b: a * b)
    two('v_mul_hi_u32', lambda a, b: a * b >> 32)
    two('v_mul_hi_i32', lambda a, b: s32(a) * s32(b) >> 32)
    two('v_mul_u32_u24', lambda a, b: (a & 0xFFFFFF) * (b & 0xFFFFFF))
    two('v_mul_i32_i24', lambda a, b: s24(a) * s24(b))
    two('v_mul_hi_u32_u24', lambda a, b: (a & 0xFFFFFF) * (b & 0xFFFFFF) >> 32)
    two('v_min_u32', min)
    two('v_max_u32', max)
    two('v_min_i32', lambda a, b: min(s32(a), s32(b)))
    two('v_max_i32', lambda a, b: max(s32(a), s32(b)))
    three('v_and_or_b32', lambda a, b, c: a & b | c)
    three('v_or3_b32', lambda a, b, c: a | b | c)
    three('v_bfi_b32', lambda a, b, c: a & b | ~a & c)
    three('v_bfe_u32', lambda a, b, c: bit_field(a, b & 31, c & 31))
    three('v_bfe_i32', lambda a, b, c: bit_field(a, b & 31, c & 31, True))
    three('v_lshl_or_b32', lambda a, b, c: a << (b & 31) | c)
    three('v_alignbit_b32', lambda a, b, c: (a << 32 | b) >> (c & 31))
    three('v_alignbyte_b32', lambda a, b, c: (a << 32 | b) >> 8 * (c & 3))
    three('v_perm_b32', permuted, inputs=(integer, integer, selectors, integer), nrows=24)
    three('v_add3_u32', lambda a, b, c: a + b + c)
    three('v_xad_u32', lambda a, b, c: (a ^ b) + c)
    three('v_lshl_add_u32', lambda a, b, c: (a << (b & 31)) + c)
    three('v_add_lshl_u32', lambda a, b, c: (a + b & M32) << (c & 31))
    three('v_mad_u32_u24', lambda a, b, c: (a & 0xFFFFFF) * (b & 0xFFFFFF) + c)
    three('v_mad_i32_i24', lambda a, b, c: s24(a) * s24(b) + c)
    three('v_min3_u32', min)
    three('v_max3_u32', max)
    three('v_med3_u32', median)
    three('v_min3_i32', lambda a, b, c: min(s32(a), s32(b), s32(c)))
    three('v_max3_i32', lambda a, b, c: max(s32(a), s32(b), s32(c)))
    three('v_med3_i32', lambda a, b, c: median(s32(a), s32(b), s32(c)))
    three('v_sad_u32', lambda a, b, c: abs(a - b) + c)
    one('v_prng_b32', lambda a: a << 1 ^ (197 if a >> 31 else 0), archs=G950)
    h = 0xFFFF
    two('v_add_u16', lambda a, b: a + b & h)
    two('v_sub_u16', lambda a, b: a - b & h)
    two('v_subrev_u16', lambda a, b: b - a & h)
    two('v_mul_lo_u16', lambda a, b: a * b & h)
    two('v_min_u16', lambda a, b: min(a & h, b & h))
    two('v_max_u16', lambda a, b: max(a & h, b & h))
    two('v_min_i16', lambda a, b: min(s16(a), s16(b)) & h)
    two('v_max_i16', lambda a, b: max(s16(a), s16(b)) & h)
    two('v_lshlrev_b16', lambda a, b: b << (a & 15) & h)
    two('v_lshrrev_b16', lambda a, b: (b & h) >> (a & 15))
    two('v_ashrrev_i16', lambda a, b: s16(b) >> (a & 15) & h)
    three('v_mad_legacy_u16', lambda a, b, c: a * b + c & h)
    three('v_max3_u16', lambda a, b, c: max(a & h, b & h, c & h))
    three('v_min3_u16', lambda a, b, c: min(a & h, b & h, c & h))


def vector_special():
    g = 'carries, 64 bits and selection'
    bit = lambda: rng.getrandbits(1)
    carry = '\nv_cndmask_b32 v7, 0, 1, vcc'
    ins = (integer, integer, bit, integer)
    case(g, 'v_add_co_u32 v6, vcc, v1, v2' + carry, lambda a, b, c, d: (a + b, a + b >> 32))
    case(g, 'v_sub_co_u32 v6, vcc, v1, v2' + carry, lambda a, b, c, d: (a - b, a < b))
    case(g, 'v_subrev_co_u32 v6, vcc, v1, v2' + carry, lambda a, b, c, d: (b - a, b < a))
    pre = 'v_cmp_ne_u32 vcc, 0, v3\n'
    case(g, pre + 'v_addc_co_u32 v6, vcc, v1, v2, vcc' + carry, lambda a, b, c, d: (a + b + c, a + b + c >> 32), ins)
    case(g, pre + 'v_subb_co_u32 v6, vcc, v1, v2, vcc' + carry, lambda a, b, c, d: (a - b - c, a < b + c), ins)
    case(g, pre + 'v_subbrev_co_u32 v6, vcc, v1, v2, vcc' + carry, lambda a, b, c, d: (b - a - c, b < a + c), ins)
    case(g, pre + 'v_cndmask_b32 v6, v1, v2, vcc', lambda a, b, c, d: b if c else a, ins)
    case(g, pre + 'v_cndmask_b32 v6, -v1, |v2|, vcc',
         lambda a, b, c, d: b & 0x7FFFFFFF if c else a ^ 0x80000000, ins)

    def wide(f):
        def split(a, b, c, d):
            r = f(a, b, c, d) & M64
            return r & M32, r >> 32
        return split
    case(g, 'v_mov_b32 v10, v2\nv_mov_b32 v11, v3\nv_lshlrev_b64 v[6:7], v1, v[10:11]',
         wide(lambda a, b, c, d: (c << 32 | b) << (a & 63)))
    case(g, 'v_lshrrev_b64 v[6:7], v1, v[2:3]', wide(lambda a, b, c, d: (c << 32 | b) >> (a & 63)))
    case(g, 'v_ashrrev_i64 v[6:7], v1, v[2:3]', wide(lambda a, b, c, d: s64(c << 32 | b) >> (a & 63)))
    case(g, 'v_mad_u64_u32 v[6:7], vcc, v1, v2, v[3:4]'.replace('v[3:4]', 'v[10:11]').join(
        ['v_mov_b32 v10, v3\nv_mov_b32 v11, v4\n', '']), wide(lambda a, b, c, d: a * b + (d << 32 | c)))
    case(g, 'v_mov_b32 v10, v3\nv_mov_b32 v11, v4\nv_mad_i64_i32 v[6:7], vcc, v1, v2, v[10:11]',
         wide(lambda a, b, c, d: s32(a) * s32(b) + (d << 32 | c)))
    case(g, 'v_mov_b32 v10, v1\nv_mov_b32 v11, v2\nv_mov_b32 v12, v3\nv_mov_b32 v13, v4\n'
         'v_lshl_add_u64 v[6:7], v[10:11], 3, v[12:13]',
         wide(lambda a, b, c, d: ((b << 32 | a) << 3) + (d << 32 | c)), archs=G942)
    case(g, 'v_mov_b32 v10, v1\nv_mov_b32 v11, v2\nv_mov_b64 v[6:7], v[10:11]', lambda a, b, c, d: (a, b), archs=G942)
    case(g, 'v_mov_b32 v6, v1\nv_mov_b32 v7, v2\nv_swap_b32 v6, v7', lambda a, b, c, d: (b, a))
    for table in (0x6A, 0xCA, 0xE8, 0x96, 0x1E):
        def logic(a, b, c, d, table=table):
            r = 0
            for i in range(32):
                r |= (table >> ((a >> i & 1) << 2 | (b >> i & 1) << 1 | (c >> i & 1)) & 1) << i
            return r
        case(g, f'v_bitop3_b32 v6, v1, v2, v3 bitop3:0x{table:x}', logic, archs=G950)
        case(g, f'v_bitop3_b16 v6, v1, v2, v3 bitop3:0x{table:x}',
             lambda a, b, c, d, f=logic: f(a, b, c, d) & 0xFFFF, archs=G950)


def vector_compares():
    g = 'comparisons'
    tail = '\nv_cndmask_b32 v6, 0, 1, vcc'
    order = {'lt': lambda a, b: a < b, 'eq': lambda a, b: a == b, 'le': lambda a, b: a <= b, 'gt': lambda a, b: a > b,
             'ne': lambda a, b: a != b, 'ge': lambda a, b: a >= b, 'f': lambda a, b: False, 't': lambda a, b: True}
    types = {'u32': lambda x: x, 'i32': s32, 'u16': lambda x: x & 0xFFFF, 'i16': s16}
    for t, read in types.items():
        for op, f in order.items():
            case(g, f'v_cmp_{op}_{t} vcc, v1, v2' + tail,
                 lambda a, b, c, d, f=f, read=read: f(read(a), read(b)),
                 (lambda: rng.choice(INTEGERS), lambda: rng.choice(INTEGERS), integer, integer), nrows=16)
    for t, read in {'u64': lambda x: x, 'i64': s64}.items():
        for op, f in order.items():
            case(g, 'v_mov_b32 v10, v1\nv_mov_b32 v11, v2\nv_mov_b32 v12, v3\nv_mov_b32 v13, v4\n'
                 f'v_cmp_{op}_{t} vcc, v[10:11], v[12:13]' + tail,
                 lambda a, b, c, d, f=f, read=read: f(read(b << 32 | a), read(d << 32 | c)),
                 [lambda: rng.choice((0, 1, M32, 0x80000000))] * 4, nrows=16)
    floats = {'f': lambda r: False, 'lt': lambda r: r == '<', 'eq': lambda r: r == '=', 'le': lambda r: r in '<=',
              'gt': lambda r: r == '>', 'lg': lambda r: r in '<>', 'ge': lambda r: r in '>=', 'o': lambda r: r != '?',
              'u': lambda r: r == '?', 'nge': lambda r: r not in '>=', 'nlg': lambda r: r not in '<>',
              'ngt': lambda r: r != '>', 'nle': lambda r: r not in '<=', 'neq': lambda r: r != '=',
              'nlt': lambda r: r != '<', 'tru': lambda r: True}

    def relation(a, b, fmt):
        if is_nan(a, fmt) or is_nan(b, fmt):
            return '?'

        def number(x):
            if is_inf(x, fmt):
                return Fraction(2) ** 300 * (-1 if x >> sum(fmt) & 1 else 1)
            return value(x, fmt)
        return '<' if number(a) < number(b) else '>' if number(a) > number(b) else '='
    for op, f in floats.items():
        case(g, f'v_cmp_{op}_f32 vcc, v1, v2' + tail, lambda a, b, c, d, f=f: f(relation(a, b, F32)),
             [lambda: rng.choice(FLOATS)] * 4, nrows=24)
        case(g, f'v_cmp_{op}_f16 vcc, v1, v2' + tail, lambda a, b, c, d, f=f: f(relation(a, b, F16)),
             [lambda: rng.choice(HALVES)] * 4, nrows=24)

    def kind(x):
        s = negative(x)
        if is_nan(x):
            return 1 if x & 0x400000 else 0
        if is_inf(x):
            return 2 if s else 9
        if x & 0x7F800000:
            return 3 if s else 8
        if x & 0x7FFFFFFF:
            return 4 if s else 7
        return 5 if s else 6
    case(g, 'v_cmp_class_f32 vcc, v1, v2' + tail, lambda a, b, c, d: b >> kind(a) & 1,
         [lambda: rng.choice(FLOATS)] + [lambda: rng.getrandbits(10)] * 3, nrows=40)
    case(g, 's_mov_b64 s[20:21], exec\nv_mov_b32 v6, 7\nv_cmpx_gt_u32 vcc, v1, v2\nv_mov_b32 v6, 9\n'
         's_mov_b64 exec, s[20:21]', lambda a, b, c, d: 9 if a > b else 7)


def vector_floats():
    g = 'FP32 arithmetic'
    two = lambda name, f, **kw: case(g, f'{name} v6, v1, v2', lambda a, b, c, d: f(a, b), any_float, nrows=32, **kw)
    two('v_add_f32', lambda a, b: arithmetic('add', a, b))
    flip = lambda b: b ^ 0x80000000
    sub = lambda a, b: quiet(b) if is_nan(b) and not is_nan(a) else arithmetic('add', a, flip(b))
    two('v_sub_f32', sub)
    two('v_subrev_f32', lambda a, b: quiet(a) if is_nan(a) else sub(b, a))
    two('v_mul_f32', lambda a, b: arithmetic('mul', a, b))
    case(g, 'v_mul_f32 v6, |v1|, -v2', lambda a, b, c, d: arithmetic('mul', a & 0x7FFFFFFF, flip(b)), any_float,
         nrows=20)
    two('v_min_f32', smaller)
    two('v_max_f32', lambda a, b: smaller(a, b, -1))
    case(g, 'v_max_f32 v6, |v1|, |v2|', lambda a, b, c, d: smaller(a & 0x7FFFFFFF, b & 0x7FFFFFFF, -1), any_float,
         nrows=20)
    case(g, 'v_fma_f32 v6, v1, v2, v3', lambda a, b, c, d: arithmetic('fma', a, b, c), any_float, nrows=40)
    case(g, 'v_mov_b32 v6, v3\nv_fmac_f32 v6, v1, v2', lambda a, b, c, d: arithmetic('fma', a, b, c), any_float,
         nrows=40)
    case(g, 'v_fmamk_f32 v6, v1, 0x40490fdb, v2', lambda a, b, c, d: arithmetic('fma', a, 0x40490FDB, b), finite,
         archs=G942)
    case(g, 'v_fmaak_f32 v6, v1, v2, 0x40490fdb', lambda a, b, c, d: arithmetic('fma', a, b, 0x40490FDB), finite,
         archs=G942)
    case(g, 'v_min3_f32 v6, v1, v2, v3', lambda a, b, c, d: smaller(smaller(a, b), c), finite)
    case(g, 'v_max3_f32 v6, v1, v2, v3', lambda a, b, c, d: smaller(smaller(a, b, -1), c, -1), finite)
    case(g, 'v_max3_f32 v6, |v1|, |v2|, |v3|',
         lambda a, b, c, d: max(a & 0x7FFFFFFF, b & 0x7FFFFFFF, c & 0x7FFFFFFF), finite)
    case(g, 'v_med3_f32 v6, v1, v2, v3',
         lambda a, b, c, d: sorted((a, b, c), key=lambda x: (value(x), -negative(x)))[1], finite, nrows=20)

    def rounded(f):
        def run(a, b, c, d):
            if is_nan(a):
                return quiet(a)
            return a if is_inf(a) else encode(Fraction(f(value(a))), F32, negative(a))
        return run
    import math
    case(g, 'v_rndne_f32 v6, v1', rounded(round), any_float, nrows=24)
    case(g, 'v_floor_f32 v6, v1', rounded(math.floor), any_float, nrows=24)
    case(g, 'v_ceil_f32 v6, v1', rounded(math.ceil), any_float, nrows=24)
    case(g, 'v_trunc_f32 v6, v1', rounded(math.trunc), any_float, nrows=24)
    case(g, 'v_fract_f32 v6, v1', lambda a, b, c, d: encode(min(value(a) - math.floor(value(a)), 1 - Fraction(1, 2 ** 24))),
         lambda: rng.getrandbits(1) << 31 | rng.randrange(90, 160) << 23 | rng.getrandbits(23), nrows=24)

    def split(a, b, c, d):
        if is_nan(a) or is_inf(a):
            return (quiet(a) if is_nan(a) else a), 0
        if value(a) == 0:
            return a, 0
        m, e = abs(value(a)), 0
        while m >= 1:
            m, e = m / 2, e + 1
        while m < Fraction(1, 2):
            m, e = m * 2, e - 1
        return encode(m) | (a & 0x80000000), e
    case(g, 'v_frexp_mant_f32 v6, v1\nv_frexp_exp_i32_f32 v7, v1', split, any_float, nrows=32)
    twice = lambda a, b, c, d: arithmetic('add', arithmetic('mul', a, b), c)
    ordinary = lambda: rng.getrandbits(1) << 31 | rng.randrange(100, 150) << 23 | rng.getrandbits(23)
    case(g, 'v_mov_b32 v6, v3\nv_mac_f32 v6, v1, v2', twice, ordinary, OLD, nrows=24)
    exponent = lambda: rng.randrange(-300, 300) & M32
    case(g, 'v_ldexp_f32 v6, v1, v2',
         lambda a, b, c, d: encode(value(a) * Fraction(2) ** s32(b), F32, negative(a)),
         (finite, exponent, integer, integer), nrows=24)
    case(g, 'v_mul_f32 v6, v1, v2 mul:2',
         lambda a, b, c, d: arithmetic('mul', 0x40000000, arithmetic('mul', a, b)), finite)
    case(g, 'v_mul_f32 v6, v1, v2 clamp',
         lambda a, b, c, d: encode(min(max(value(r), 0), 1)) if not is_inf(r := arithmetic('mul', a, b))
         else (0 if negative(r) else 0x3F800000), finite, nrows=20)
    pre = 'v_mov_b32 v10, v1\nv_mov_b32 v11, v2\nv_mov_b32 v12, v3\nv_mov_b32 v13, v4\n'
    case(g, pre + 'v_pk_add_f32 v[6:7], v[10:11], v[12:13]',
         lambda a, b, c, d: (arithmetic('add', a, c), arithmetic('add', b, d)), any_float, nrows=20)
    case(g, pre + 'v_pk_mul_f32 v[6:7], v[10:11], v[12:13] op_sel_hi:[1,0]',
         lambda a, b, c, d: (arithmetic('mul', a, c), arithmetic('mul', b, c)), any_float, nrows=20)
    case(g, pre + 'v_pk_add_f32 v[6:7], v[10:11], v[12:13] op_sel:[1,0] op_sel_hi:[0,1] neg_lo:[0,1] neg_hi:[0,1]',
         lambda a, b, c, d: (arithmetic('add', b, flip(c)), arithmetic('add', a, flip(d))), finite, nrows=20)
    case(g, pre + 'v_pk_fma_f32 v[6:7], v[10:11], v[12:13], v[10:11]',
         lambda a, b, c, d: (arithmetic('fma', a, c, a), arithmetic('fma', b, d, b)), finite, nrows=20)
    case(g, pre + 'v_pk_mov_b32 v[6:7], v[10:11], v[12:13] op_sel:[1,0]', lambda a, b, c, d: (b, c))

    def quotient(a, b, c, d):
        return encode(value(a) / value(b), F32, negative(a) ^ negative(b))
    case(g, """v_div_scale_f32 v10, s[20:21], v2, v2, v1
v_div_scale_f32 v11, vcc, v1, v2, v1
v_rcp_f32 v12, v10
v_fma_f32 v13, -v10, v12, 1.0
v_fma_f32 v12, v13, v12, v12
v_mul_f32 v13, v11, v12
v_fma_f32 v14, -v10, v13, v11
v_fma_f32 v13, v14, v12, v13
v_fma_f32 v10, -v10, v13, v11
s_nop 3
v_div_fmas_f32 v10, v10, v12, v13
v_div_fixup_f32 v6, v10, v2, v1""", quotient, ordinary, nrows=48)


def conversions():
    g = 'conversions'
    case(g, 'v_cvt_f32_u32 v6, v1', lambda a, b, c, d: encode(Fraction(a)), nrows=20)
    case(g, 'v_cvt_f32_i32 v6, v1', lambda a, b, c, d: encode(Fraction(s32(a))), nrows=20)
    for i in range(4):
        case(g, f'v_cvt_f32_ubyte{i} v6, v1', lambda a, b, c, d, i=i: encode(Fraction(a >> 8 * i & 255)))

    def to_int(low, high):
        def run(a, b, c, d):
            if is_nan(a):
                return 0
            if is_inf(a):
                return low if negative(a) else high
            x = value(a)
            n = abs(x).numerator // abs(x).denominator
            return min(max(-n if x < 0 else n, low), high)
        return run
    case(g, 'v_cvt_u32_f32 v6, v1', to_int(0, M32), any_float, nrows=32)
    case(g, 'v_cvt_i32_f32 v6, v1', to_int(-(1 << 31), (1 << 31) - 1), any_float, nrows=32)
    case(g, 'v_cvt_f32_f16 v6, v1', lambda a, b, c, d: widen(a & 0xFFFF), halves, nrows=40)
    case(g, 'v_cvt_f16_f32 v6, v1', lambda a, b, c, d: narrow(a), small_float, nrows=60)
    case(g, 'v_cvt_pkrtz_f16_f32 v6, v1, v2',
         lambda a, b, c, d: narrow(a, F16, True) | narrow(b, F16, True) << 16,
         small_float, nrows=40)
    case(g, 'v_cvt_pk_f16_f32 v6, v1, v2', lambda a, b, c, d: narrow(a) | narrow(b) << 16, small_float, archs=G950,
         nrows=40)
    case(g, 'v_cvt_pk_bf16_f32 v6, v1, v2', lambda a, b, c, d: narrow(a, BF16) | narrow(b, BF16) << 16, any_float,
         archs=G950, nrows=40)
    case(g, 'v_cvt_f32_bf16 v6, v1', lambda a, b, c, d: a << 16, archs=G950)

    def half_op(name):
        def run(a, b, c, d):
            x, y = widen(a & 0xFFFF), widen(b & 0xFFFF)
            if name == 'sub' and not is_nan(y):
                y ^= 0x80000000
            for z in (x, y):
                if is_nan(z):
                    return narrow(quiet(z))
            if is_inf(x) or is_inf(y) or name == 'mul' and (x << 1 & M32 == 0 or y << 1 & M32 == 0):
                return narrow(arithmetic('mul' if name == 'mul' else 'add', x, y))
            if name == 'mul':
                return encode(value(x) * value(y), F16, negative(x) ^ negative(y))
            return encode(value(x) + value(y), F16, negative(x) and negative(y))
        return run
    case(g, 'v_add_f16 v6, v1, v2', half_op('add'), half, nrows=40)
    case(g, 'v_sub_f16 v6, v1, v2', half_op('sub'), half, nrows=40)
    case(g, 'v_mul_f16 v6, v1, v2', half_op('mul'), half, nrows=40)
    case(g, 'v_subrev_f16 v6, v2, v1', half_op('sub'), half, nrows=40)
    case(g, 'v_min_f16 v6, |v1|, |v2|',
         lambda a, b, c, d: min(a & 0x7FFF, b & 0x7FFF), lambda: rng.randrange(0x7C00) | rng.getrandbits(1) << 15)
    case(g, 'v_max_f16 v6, |v1|, |v2|',
         lambda a, b, c, d: max(a & 0x7FFF, b & 0x7FFF), lambda: rng.randrange(0x7C00) | rng.getrandbits(1) << 15)

    def mixed(a, b, c, d):
        x, y = value(a & 0xFFFF, F16), value(b >> 16, F16)
        return encode(x * y + value(c), F32), 0
    fine = lambda: (rng.randrange(0x0400, 0x7400)) | rng.randrange(0x0400, 0x7400) << 16
    plain = lambda: rng.getrandbits(1) << 31 | rng.randrange(110, 140) << 23 | rng.getrandbits(23)
    case(g, 'v_fma_mix_f32 v6, v1, v2, v3 op_sel:[0,1,0] op_sel_hi:[1,1,0]', mixed, (fine, fine, plain, integer),
         nrows=40)
    case(g, 'v_mov_b32 v6, v4\nv_fma_mixlo_f16 v6, v1, v2, v3',
         lambda a, b, c, d: d & 0xFFFF0000 | encode(value(a) * value(b) + value(c), F16),
         (plain, plain, plain, integer), nrows=60)
    case(g, 'v_mov_b32 v6, v4\nv_fma_mixhi_f16 v6, v1, v2, v3 op_sel:[1,0,0] op_sel_hi:[1,0,0]',
         lambda a, b, c, d: d & 0xFFFF | encode(value(a >> 16, F16) * value(b) + value(c), F16) << 16,
         (fine, plain, plain, integer), nrows=60)


def fp4():
    g = 'FP4 conversions'
    scale = lambda: rng.choice((1, 2, 64, 120, 127, 128, 140, 200, 253, 254))

    def near(s):
        """Values about a scale, ties between codes among them."""
        if rng.random() < 0.5:
            x = rng.choice((1, 3, 5, 7, 10, 14, 20, 24, 28)) * Fraction(1, 4) * Fraction(2) ** (s - 127)
            return (encode(x) + rng.choice((-1, 0, 1))) & 0x7FFFFFFF | rng.getrandbits(1) << 31
        return finite()

    def row():
        s = scale()
        a, b = near(s), near(s)
        if is_inf(a) or is_nan(a) or is_inf(b) or is_nan(b):
            return row()
        return a, b, s << 23 | rng.getrandbits(23), integer()
    state = {}

    def first():
        state['row'] = row()
        return state['row'][0]
    rest = [lambda i=i: state['row'][i] for i in (1, 2, 3)]
    inputs = [first] + rest
    for sel in range(4):
        modifier = '' if sel == 0 else f' op_sel:[0,0,{sel & 1},{sel >> 1}]'
        case(g, f'v_mov_b32 v6, v4\nv_cvt_scalef32_pk_fp4_f32 v6, v1, v2, v3{modifier}',
             lambda a, b, c, d, sel=sel: d & ~(255 << 8 * sel)
             | (to_fp4(a, c >> 23 & 255) | to_fp4(b, c >> 23 & 255) << 4) << 8 * sel, inputs, G950, 60)

    def bf16_row():
        a, b, c, d = row()
        state['row'] = (a & 0xFFFF0000 | b >> 16, b, c, d)
        return state['row'][0]
    case(g, 'v_mov_b32 v6, v4\nv_cvt_scalef32_pk_fp4_bf16 v6, v1, v3',
         lambda a, b, c, d: d & ~255 | to_fp4(a << 16 & M32, c >> 23 & 255)
         | to_fp4(a & 0xFFFF0000, c >> 23 & 255) << 4, [bf16_row] + rest, G950, 60)
    finite_half = lambda: (rng.randrange(0x7C00) | rng.getrandbits(1) << 15) | rng.randrange(0x7C00) << 16
    case(g, 'v_mov_b32 v6, v4\nv_cvt_scalef32_pk_fp4_f16 v6, v1, v3',
         lambda a, b, c, d: d & ~255 | to_fp4(widen(a & 0xFFFF), c >> 23) | to_fp4(widen(a >> 16), c >> 23) << 4,
         (finite_half, integer, lambda: rng.randrange(110, 140) << 23, integer), G950, 60)
    any_scale = lambda: rng.randrange(256) << 23
    case(g, 'v_cvt_scalef32_pk_f32_fp4 v[6:7], v1, v2',
         lambda a, b, c, d: (from_fp4(a & 15, b >> 23, F32), from_fp4(a >> 4 & 15, b >> 23, F32)),
         (integer, any_scale, integer, integer), G950, 40)
    case(g, 'v_cvt_scalef32_pk_bf16_fp4 v6, v1, v2 op_sel:[1,0,0]',
         lambda a, b, c, d: from_fp4(a >> 8 & 15, b >> 23, BF16) | from_fp4(a >> 12 & 15, b >> 23, BF16) << 16,
         (integer, any_scale, integer, integer), G950, 40)
    case(g, 'v_cvt_scalef32_pk_f16_fp4 v6, v1, v2',
         lambda a, b, c, d: from_fp4(a & 15, b >> 23, F16) | from_fp4(a >> 4 & 15, b >> 23, F16) << 16,
         (integer, lambda: rng.randrange(100, 145) << 23, integer, integer), G950, 40)


def stochastic_fp4():
    g = 'stochastic FP4 conversions'

    def encode_sr(bits, scale, draw):
        """Up to the next code when the 22 bits below the last one that is kept, and those of the draw, carry."""
        x = abs(value(bits)) / Fraction(2) ** (scale - 127)
        table = fp4_magnitudes()
        if x >= 6:
            return 7 | (bits >> 31) << 3
        low = max(i for i in range(8) if table[i] <= x)
        part = (x - table[low]) / (table[low + 1] - table[low]) * 2 ** 22
        return low + (int(part) + (draw >> 10) >= 2 ** 22) | (bits >> 31) << 3

    def pair(a, b, scale, draw):
        second = (draw << 1 ^ (197 if draw >> 31 else 0)) & M32
        return encode_sr(a, scale, draw) | encode_sr(b, scale, second) << 4
    near = lambda: rng.getrandbits(1) << 31 | rng.randrange(122, 130) << 23 | rng.getrandbits(23)
    middle = lambda: rng.randrange(125, 130) << 23
    case(g, 'v_mov_b32 v6, 0; v_cvt_scalef32_sr_pk_fp4_f32 v6, v[22:23], v4, v3'.replace('; ', '\n'),
         lambda a, b, c, d: pair(a, b, c >> 23, d), (near, near, middle, integer), G950, 60)
    case(g, 'v_mov_b32 v6, 0\nv_cvt_scalef32_sr_pk_fp4_bf16 v6, v1, v4, v3',
         lambda a, b, c, d: pair(a << 16 & M32, a & 0xFFFF0000, c >> 23, d),
         (lambda: near() >> 16 | near() & 0xFFFF0000, integer, middle, integer), G950, 60)
    small = lambda: rng.getrandbits(1) << 15 | rng.randrange(10, 18) << 10 | rng.getrandbits(10)
    case(g, 'v_mov_b32 v6, 0\nv_cvt_scalef32_sr_pk_fp4_f16 v6, v1, v4, v3',
         lambda a, b, c, d: pair(widen(a & 0xFFFF), widen(a >> 16), c >> 23, d),
         (lambda: small() | small() << 16, integer, middle, integer), G950, 60)


def packed_halves():
    g = 'packed 16-bit integers'
    h = 0xFFFF
    ops = {'v_pk_add_u16': lambda a, b: a + b, 'v_pk_sub_i16': lambda a, b: a - b, 'v_pk_sub_u16': lambda a, b: a - b,
           'v_pk_add_i16': lambda a, b: a + b, 'v_pk_mul_lo_u16': lambda a, b: a * b,
           'v_pk_min_u16': min, 'v_pk_max_u16': max, 'v_pk_min_i16': lambda a, b: min(s16(a), s16(b)),
           'v_pk_max_i16': lambda a, b: max(s16(a), s16(b)), 'v_pk_lshlrev_b16': lambda a, b: b << (a & 15),
           'v_pk_lshrrev_b16': lambda a, b: b >> (a & 15), 'v_pk_ashrrev_i16': lambda a, b: s16(b) >> (a & 15)}
    for name, f in ops.items():
        case(g, f'{name} v6, v1, v2',
             lambda a, b, c, d, f=f: f(a & h, b & h) & h | (f(a >> 16, b >> 16) & h) << 16)
        case(g, f'{name} v6, v1, v2 op_sel:[1,0] op_sel_hi:[0,0]',
             lambda a, b, c, d, f=f: f(a >> 16, b & h) & h | (f(a & h, b & h) & h) << 16)
    case(g, 'v_pk_mad_u16 v6, v1, v2, v3',
         lambda a, b, c, d: (a * b + c) & h | ((a >> 16) * (b >> 16) + (c >> 16) & h) << 16)
    case(g, 'v_pk_sub_u16 v6, v1, v2 clamp',
         lambda a, b, c, d: max((a & h) - (b & h), 0) | max((a >> 16) - (b >> 16), 0) << 16)
    case(g, 'v_dot2_u32_u16 v6, v1, v2, v3', lambda a, b, c, d: (a & h) * (b & h) + (a >> 16) * (b >> 16) + c)


def packed_fp16():
    g = 'packed FP16'
    h = 0xFFFF

    def finite_half(low=0, high=31):
        return rng.randrange(low << 10, high << 10) | rng.getrandbits(1) << 15

    def lane(a, b, c):
        x, y, z = (value(v, F16) for v in (a, b, c))
        zero_sign = (a ^ b) >> 15 & c >> 15 & 1
        return encode(x * y + z, F16, zero_sign)

    wide = lambda: finite_half() | finite_half() << 16
    near = lambda: finite_half(10, 20) | finite_half(10, 20) << 16
    for inputs in (wide, near):
        case(g, 'v_pk_fma_f16 v6, v1, v2, v3',
             lambda a, b, c, d: lane(a & h, b & h, c & h) | lane(a >> 16, b >> 16, c >> 16) << 16, inputs, nrows=40)
        case(g, 'v_pk_add_f16 v6, v1, v2',
             lambda a, b, c, d: lane(a & h, 0x3C00, b & h) | lane(a >> 16, 0x3C00, b >> 16) << 16, inputs, nrows=40)
        case(g, 'v_pk_mul_f16 v6, v1, v2',
             lambda a, b, c, d: lane(a & h, b & h, (a ^ b) & 0x8000) |
             lane(a >> 16, b >> 16, (a ^ b) >> 16 & 0x8000) << 16, inputs, nrows=40)
    case(g, 'v_pk_fma_f16 v6, v1, 2.0, v3 op_sel_hi:[1,0,1]',
         lambda a, b, c, d: lane(a & h, 0x4000, c & h) | lane(a >> 16, 0x4000, c >> 16) << 16, near, nrows=20)
    case(g, 'v_pk_add_f16 v6, v1, v2 op_sel:[1,0] op_sel_hi:[0,0] neg_lo:[0,1]',
         lambda a, b, c, d: lane(a >> 16, 0x3C00, b & h ^ 0x8000) | lane(a & h, 0x3C00, b & h) << 16, near, nrows=20)


def sdwa():
    g = 'SDWA'
    parts = {'BYTE_0': (0, 8), 'BYTE_1': (8, 8), 'BYTE_2': (16, 8), 'BYTE_3': (24, 8), 'WORD_0': (0, 16),
             'WORD_1': (16, 16), 'DWORD': (0, 32)}
    take = lambda x, p: x >> parts[p][0] & ((1 << parts[p][1]) - 1)

    def extend(x, p):
        v, n = take(x, p), parts[p][1]
        return v - (1 << n) if v >> (n - 1) else v
    for p in parts:
        for q in ('BYTE_1', 'WORD_1', 'DWORD'):
            case(g, f'v_add_u32_sdwa v6, v1, v2 dst_sel:DWORD dst_unused:UNUSED_PAD src0_sel:{p} src1_sel:{q}',
                 lambda a, b, c, d, p=p, q=q: take(a, p) + take(b, q), nrows=4)
    case(g, 'v_add_u32_sdwa v6, sext(v1), v2 dst_sel:DWORD dst_unused:UNUSED_PAD src0_sel:BYTE_2 src1_sel:DWORD',
         lambda a, b, c, d: extend(a, 'BYTE_2') + b)
    case(g, 'v_max_i32_sdwa v6, sext(v1), sext(v2) dst_sel:DWORD dst_unused:UNUSED_PAD src0_sel:WORD_1 src1_sel:WORD_0',
         lambda a, b, c, d: max(extend(a, 'WORD_1'), extend(b, 'WORD_0')))
    for p in list(parts)[:6]:
        shift, n = parts[p]
        mask = ((1 << n) - 1) << shift

        def padded(v, how, old, shift=shift, n=n, mask=mask):
            r = v << shift & mask
            if how == 'UNUSED_PRESERVE':
                return r | old & ~mask
            if how == 'UNUSED_SEXT' and v >> (n - 1) & 1:
                return r | (M32 << (shift + n)) & M32
            return r
        for how in ('UNUSED_PAD', 'UNUSED_SEXT', 'UNUSED_PRESERVE'):
            case(g, f'v_mov_b32 v6, v3\nv_xor_b32_sdwa v6, v1, v2 dst_sel:{p} dst_unused:{how} src0_sel:DWORD '
                 'src1_sel:DWORD', lambda a, b, c, d, how=how, padded=padded: padded(a ^ b, how, c), nrows=6)
    case(g, 'v_cmp_eq_u32_sdwa vcc, v1, v2 src0_sel:BYTE_1 src1_sel:WORD_0\nv_cndmask_b32 v6, 0, 1, vcc',
         lambda a, b, c, d: take(a, 'BYTE_1') == take(b, 'WORD_0'),
         (lambda: rng.choice((0x100, 0x200, 0x1FF)), lambda: rng.choice((1, 2, 0x10001)), integer, integer))
    case(g, 'v_mul_f32_sdwa v6, v1, |v2| dst_sel:DWORD dst_unused:UNUSED_PAD src0_sel:DWORD src1_sel:DWORD',
         lambda a, b, c, d: arithmetic('mul', a, b & 0x7FFFFFFF), finite)


def scalar():
    g = 'scalar unit'
    bit = lambda: rng.getrandbits(1)

    def run(text, f, inputs=integer, nrows=6):
        """f(a, b, scc) gives the result and SCC; None: SCC stays."""
        def make(a, b, c, d):
            r, scc = f(a, b, c & 1)
            return r & M32, 0, (c & 1) if scc is None else int(scc)
        case(g, 's_and_b32 s15, s10, 1\n' + text, make, inputs, scalar=True, nrows=nrows)

    def two(name, f):
        run(f'{name} s12, s8, s9', f)
    nz = lambda r: (r, r & M32 != 0)
    run('s_mov_b32 s12, s8', lambda a, b, s: (a, None))
    run('s_not_b32 s12, s8', lambda a, b, s: nz(~a))
    two('s_and_b32', lambda a, b, s: nz(a & b))
    two('s_or_b32', lambda a, b, s: nz(a | b))
    two('s_xor_b32', lambda a, b, s: nz(a ^ b))
    two('s_andn2_b32', lambda a, b, s: nz(a & ~b))
    two('s_orn2_b32', lambda a, b, s: nz(a | ~b))
    two('s_nand_b32', lambda a, b, s: nz(~(a & b)))
    two('s_nor_b32', lambda a, b, s: nz(~(a | b)))
    two('s_xnor_b32', lambda a, b, s: nz(~(a ^ b)))
    two('s_lshl_b32', lambda a, b, s: nz(a << (b & 31)))
    two('s_lshr_b32', lambda a, b, s: nz(a >> (b & 31)))
    two('s_ashr_i32', lambda a, b, s: nz(s32(a) >> (b & 31)))
    two('s_bfm_b32', lambda a, b, s: (((1 << (a & 31)) - 1) << (b & 31), None))
    two('s_add_u32', lambda a, b, s: (a + b, a + b >> 32))
    two('s_addc_u32', lambda a, b, s: (a + b + s, a + b + s >> 32))
    two('s_sub_u32', lambda a, b, s: (a - b, a < b))
    two('s_subb_u32', lambda a, b, s: (a - b - s, a < b + s))
    over = lambda x: not -(1 << 31) <= x < 1 << 31
    two('s_add_i32', lambda a, b, s: (a + b, over(s32(a) + s32(b))))
    two('s_sub_i32', lambda a, b, s: (a - b, over(s32(a) - s32(b))))
    two('s_mul_i32', lambda a, b, s: (a * b, None))
    two('s_mul_hi_u32', lambda a, b, s: (a * b >> 32, None))
    two('s_mul_hi_i32', lambda a, b, s: (s32(a) * s32(b) >> 32, None))
    two('s_min_u32', lambda a, b, s: (min(a, b), a < b))
    two('s_max_u32', lambda a, b, s: (max(a, b), a > b))
    two('s_min_i32', lambda a, b, s: (min(s32(a), s32(b)), s32(a) < s32(b)))
    two('s_max_i32', lambda a, b, s: (max(s32(a), s32(b)), s32(a) > s32(b)))
    two('s_cselect_b32', lambda a, b, s: (a if s else b, None))
    two('s_pack_ll_b32_b16', lambda a, b, s: (a & 0xFFFF | b << 16, None))
    two('s_pack_lh_b32_b16', lambda a, b, s: (a & 0xFFFF | b & 0xFFFF0000, None))
    two('s_pack_hh_b32_b16', lambda a, b, s: (a >> 16 | b & 0xFFFF0000, None))
    for n in range(1, 5):
        two(f's_lshl{n}_add_u32', lambda a, b, s, n=n: ((a << n) + b, (a << n) + b > M32))
    field = lambda: rng.randrange(32) | rng.randrange(33) << 16
    for name, signed in (('s_bfe_u32', False), ('s_bfe_i32', True)):
        def extract(a, b, s, signed=signed):
            shift, width = b & 31, b >> 16 & 127
            v = (s32(a) if signed else a) >> shift
            v &= (1 << width) - 1
            if signed and width and v >> (width - 1) & 1:
                v -= 1 << width
            return nz(v)
        run(f'{name} s12, s8, s9', extract, (integer, field, integer, integer), 12)
    run('s_brev_b32 s12, s8', lambda a, b, s: (int(f'{a:032b}'[::-1], 2), None))
    run('s_bcnt1_i32_b32 s12, s8', lambda a, b, s: nz(popcount(a)))
    run('s_bcnt1_i32_b64 s12, s[8:9]', lambda a, b, s: nz(popcount(a) + popcount(b)))
    run('s_ff1_i32_b32 s12, s8', lambda a, b, s: (low_bit(a), None))
    run('s_ff1_i32_b64 s12, s[8:9]', lambda a, b, s: (low_bit(b << 32 | a), None))
    run('s_flbit_i32_b32 s12, s8', lambda a, b, s: (high_zeros(a), None))
    run('s_abs_i32 s12, s8', lambda a, b, s: nz(abs(s32(a))))
    run('s_sext_i32_i8 s12, s8', lambda a, b, s: ((a & 255) - (256 if a & 128 else 0), None))
    run('s_sext_i32_i16 s12, s8', lambda a, b, s: (s16(a), None))
    run('s_mov_b32 s12, s9\ns_bitset0_b32 s12, s8', lambda a, b, s: (b & ~(1 << (a & 31)), None))
    run('s_mov_b32 s12, s9\ns_bitset1_b32 s12, s8', lambda a, b, s: (b | 1 << (a & 31), None))
    run('s_movk_i32 s12, 0x8765', lambda a, b, s: (0xFFFF8765, None), nrows=2)
    run('s_mov_b32 s12, s8\ns_addk_i32 s12, 0x8765', lambda a, b, s: (a - 0x789B, over(s32(a) - 0x789B)))
    run('s_mov_b32 s12, s8\ns_mulk_i32 s12, 0x8765', lambda a, b, s: (a * -0x789B, None))
    order = {'eq': lambda a, b: a == b, 'lg': lambda a, b: a != b, 'gt': lambda a, b: a > b, 'ge': lambda a, b: a >= b,
             'lt': lambda a, b: a < b, 'le': lambda a, b: a <= b}
    chosen = (lambda: rng.choice(INTEGERS[:7]), lambda: rng.choice(INTEGERS[:7]), integer, integer)
    for op, f in order.items():
        run(f's_mov_b32 s12, 5\ns_cmp_{op}_u32 s8, s9', lambda a, b, s, f=f: (5, f(a, b)), chosen, 10)
        run(f's_mov_b32 s12, 5\ns_cmp_{op}_i32 s8, s9', lambda a, b, s, f=f: (5, f(s32(a), s32(b))), chosen, 10)
        run(f's_mov_b32 s12, 5\ns_cmpk_{op}_u32 s8, 0x8000', lambda a, b, s, f=f: (5, f(a, 0x8000)))
        run(f's_mov_b32 s12, 5\ns_cmpk_{op}_i32 s8, 0x8000', lambda a, b, s, f=f: (5, f(s32(a), -0x8000)))
    run('s_mov_b32 s12, 5\ns_bitcmp0_b32 s8, s9', lambda a, b, s: (5, not a >> (b & 31) & 1))
    run('s_mov_b32 s12, 5\ns_bitcmp1_b32 s8, s9', lambda a, b, s: (5, a >> (b & 31) & 1))
    wide = {'s_and_b64': lambda x, y: x & y, 's_or_b64': lambda x, y: x | y, 's_xor_b64': lambda x, y: x ^ y,
            's_andn2_b64': lambda x, y: x & ~y, 's_orn2_b64': lambda x, y: x | ~y, 's_nand_b64': lambda x, y: ~(x & y),
            's_nor_b64': lambda x, y: ~(x | y), 's_xnor_b64': lambda x, y: ~(x ^ y)}
    for name, f in wide.items():
        def make(a, b, c, d, f=f):
            r = f(b << 32 | a, d << 32 | c) & M64
            return r & M32, r >> 32, r != 0
        case(g, f'{name} s[12:13], s[8:9], s[10:11]', make, scalar=True, nrows=6)
    for name, f in {'s_lshl_b64': lambda x, n: x << n, 's_lshr_b64': lambda x, n: x >> n,
                    's_ashr_i64': lambda x, n: s64(x) >> n}.items():
        def make(a, b, c, d, f=f):
            r = f(b << 32 | a, c & 63) & M64
            return r & M32, r >> 32, r != 0
        case(g, f'{name} s[12:13], s[8:9], s10', make, scalar=True, nrows=6)
    case(g, 's_not_b64 s[12:13], s[8:9]', lambda a, b, c, d: (~a, ~b, (a, b) != (M32, M32)), scalar=True, nrows=6)
    case(g, 's_cmp_lg_u64 s[8:9], s[10:11]', lambda a, b, c, d: (0, 0, (a, b) != (c, d)),
         [lambda: rng.getrandbits(1)] * 4, scalar=True, nrows=16)
    case(g, 's_bitcmp1_b64 s[8:9], s10', lambda a, b, c, d: (0, 0, (b << 32 | a) >> (c & 63) & 1), scalar=True)
    case(g, 's_bitcmp0_b64 s[8:9], s10', lambda a, b, c, d: (0, 0, not (b << 32 | a) >> (c & 63) & 1), scalar=True)
    run('s_cmov_b32 s12, s8', lambda a, b, s: (a if s else 0, None))
    run('s_cmovk_i32 s12, 0x8765', lambda a, b, s: (0xFFFF8765 if s else 0, None))
    case(g, 's_and_b32 s15, s10, 1\ns_cmov_b64 s[12:13], s[8:9]',
         lambda a, b, c, d: (a, b, 1) if c & 1 else (0, 0, 0), scalar=True)
    run('s_flbit_i32_b64 s12, s[8:9]', lambda a, b, s: (high_zeros(b << 32 | a, 64), None))
    masks = {'and': lambda x, e: x & e, 'or': lambda x, e: x | e, 'xor': lambda x, e: x ^ e, 'andn2': lambda x, e: x & ~e,
             'orn2': lambda x, e: x | ~e, 'andn1': lambda x, e: ~x & e, 'orn1': lambda x, e: ~x | e}
    for name, f in masks.items():
        def make(a, b, c, d, f=f):
            r = f(b << 32 | a, d << 32 | c) & M64
            return r & M32, r >> 32, r != 0
        case(g, 's_mov_b64 s[16:17], exec\ns_mov_b64 exec, s[10:11]\n' + f's_{name}_saveexec_b64 s[18:19], s[8:9]\n'
             's_mov_b64 s[12:13], exec\ns_mov_b64 exec, s[16:17]', make, scalar=True, nrows=8)
    jump = ('s_mov_b64 s[16:17], exec\n{}\ns_mov_b32 s12, 1\n{} 1f\ns_mov_b32 s12, 2\n1:\n'
            's_mov_b64 exec, s[16:17]\ns_cmp_eq_u32 s12, 1')
    bits = [lambda: rng.getrandbits(1), lambda: rng.choice((0, 0, 1 << 31)), integer, integer]
    taken = lambda yes: (1, 0, 1) if yes else (2, 0, 0)
    for name, setup, f in (('s_cbranch_scc0', 's_cmp_eq_u32 s8, 1', lambda a, b: a != 1),
                           ('s_cbranch_scc1', 's_cmp_eq_u32 s8, 1', lambda a, b: a == 1),
                           ('s_cbranch_vccz', 's_mov_b64 vcc, s[8:9]', lambda a, b: a == 0 and b == 0),
                           ('s_cbranch_vccnz', 's_mov_b64 vcc, s[8:9]', lambda a, b: a != 0 or b != 0),
                           ('s_cbranch_execz', 's_mov_b64 exec, s[8:9]', lambda a, b: a == 0 and b == 0),
                           ('s_cbranch_execnz', 's_mov_b64 exec, s[8:9]', lambda a, b: a != 0 or b != 0)):
        case(g, jump.format(setup, name), lambda a, b, c, d, f=f: taken(f(a, b)), bits, scalar=True, nrows=8)
    case(g, 's_cmp_eq_u64 s[8:9], s[10:11]\ns_cselect_b64 s[12:13], s[8:9], -1',
         lambda a, b, c, d: (a, b, 1) if (a, b) == (c, d) else (M32, M32, 0),
         [lambda: rng.getrandbits(1)] * 4, scalar=True, nrows=16)


def main():
    vector_integers()
    vector_special()
    vector_compares()
    vector_floats()
    conversions()
    fp4()
    stochastic_fp4()
    packed_halves()
    packed_fp16()
    sdwa()
    scalar()
    for group, archs, is_scalar, text, rows in cases:
        print('case', archs, 'scalar' if is_scalar else 'vector', group)
        print(text.replace('\n', '; '))
        for row in rows:
            print(' '.join(f'{x:08x}' for x in row))


main()
