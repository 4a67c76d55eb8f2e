#!/usr/bin/env python3
"""Checks of the model against values worked out by hand, or published by the peers it imitates. Run: test_model.py"""
import struct
import sys
import traceback
from fractions import Fraction

import numpy as np

import mxfp4_model as m

TE = m.PROFILES["te-hip"]


def byte_of(profile, amax):
    """The scale byte of a block whose only non-zero element is amax."""
    x = np.zeros((1, 32), dtype=np.float32)
    x[0, 5] = amax
    return int(m.quantize_blocks(x, m.PROFILES[profile])[1][0])


def codes_of(values, recipe=TE):
    """Codes of a block that starts with these values and ends with 4.0, so that the even, floor and ceil scale is 1."""
    x = np.zeros((1, 32), dtype=np.float32)
    x[0, :len(values)] = values
    x[0, 31] = 4
    codes, byte = m.quantize_blocks(x, recipe)
    assert byte[0] == 127, byte
    return codes[0, :len(values)].tolist()


def with_fields(**fields):
    return m.replace(TE, **fields)


# The peers' scale bytes at special amax, as they made them or as read in their sources. '-' is undefined there.
PEERS = ("te-hip te-triton aiter-even quark torchao-floor torchao-even torchao-rceil aiter triton-kernels ggml modelopt "
         "aiter-hip-floor mlx-gpu-nearlog fbgemm-even primus-hip primus-triton mlx-cpu")
SPECIAL_AMAX = """
0                  127 127   0   1   0   0   0   0   0   0   0  92   0   0   0   1 127
2^-149               0   0   0   1   0   0   0   0   0 232   0  92   0   0   0   1   -
2^-126               0   0   0   1   0   0   0   1   1 255   0  92   0   0   0   1   -
1.75*2^-125          1   1   1   1   0   1   1   1   1   0   1  92   0   0   1   1   -
1e-10               91  91  91  91  91  91  92  92  92  91  92  92  91  91  91  91  92
1.0                125 125 125 125 125 125 125 125 125 125 125 125 124 125 125 125 125
1.5                125 125 125 125 125 125 125 125 125 125 125 125 125 125 125 125 125
1.5078125          125 125 125 125 125 125 126 126 126 125 126 126 125 125 125 125 126
1.75               126 126 126 126 125 126 126 126 126 125 126 126 125 125 126 126 126
1.7578125          126 126 126 126 125 126 126 126 126 125 126 126 125 126 126 126 126
6.03125            127 127 127 127 127 127 128 128 128 127 128 128 127 127 127 127 128
3e38               253 254 254 254 252 253 253 253 253 252 253 253 252 252 253 253 253
inf                253 254 254 254 253 253 254 255 255   -   - 255 255 252 253 253   -
"""


def test_scale_bytes_at_special_amax():
    for line in SPECIAL_AMAX.split("\n")[1:-1]:
        name, *bytes_ = line.split()
        factor, _, power = name.rpartition("2^")
        amax = float((factor or "1*")[:-1]) * 2.0 ** int(power) if "^" in name else float(name)
        for profile, want in zip(PEERS.split(), bytes_):
            if want != "-":
                assert byte_of(profile, amax) == int(want), (name, profile, want, byte_of(profile, amax))


def test_scale_rules_around_the_thresholds():
    for k in (-100, -1, 0, 3, 100):
        def byte(scale, value, ulps=0):
            x = np.zeros((1, 32), dtype=np.float32)
            start = np.float32(np.ldexp(value, k))
            x[0, 0] = (start.view(np.int32) + np.int32(ulps)).view(np.float32)
            return int(m.quantize_blocks(x, with_fields(scale=scale))[1][0]) - k
        assert [byte("floor", 1.0, u) for u in (-1, 0, 1)] == [124, 125, 125]
        assert [byte("ceil", 1.0, u) for u in (-1, 0, 1)] == [125, 125, 126]
        assert [byte("even", 1.75, u) for u in (-1, 0, 1)] == [125, 126, 126]
        assert [byte("rceil", 1.5, u) for u in (-1, 0, 1)] == [125, 125, 126]
        assert [byte("rceil", 6.0, u) for u in (-1, 0, 1)] == [127, 127, 128]
        assert [byte("even-above", 1.75, u) for u in (-1, 0, 1)] == [125, 125, 126]
        # 6 * 2^-0.5 = 4.2426 = 1.0606 * 4, between the FP32 numbers with the fractions 508854 and 508855
        assert [byte("nearlog", 4.0, u) for u in (0, 508854, 508855)] == [126, 126, 127]
        assert [byte("nearlog", value) for value in (1.0, 1.5, 6.0, 8.0)] == [124, 125, 127, 127]


def test_ties():
    ties = [0.25, 0.75, 1.25, 1.75, 2.5, 3.5]
    assert m.MIDPOINTS.tolist() == ties + [5]
    for rule, want in (("even", [0, 1, 1, 2, 2, 4]), ("away", [0.5, 1, 1.5, 2, 3, 4]), ("zero", [0, 0.5, 1, 1.5, 2, 3])):
        codes = codes_of(ties, with_fields(ties=rule))
        assert m.MAGNITUDES[codes].tolist() == want, (rule, codes)
        codes = codes_of([-t for t in ties], with_fields(ties=rule))
        assert m.decode(np.array(codes), np.array(127)).tolist() == [-w for w in want], (rule, codes)
    for rule, want in (("even", 6), ("away", 7), ("zero", 6)):
        x = np.full((1, 32), 5, dtype=np.float32)       # floor: byte 127
        assert m.quantize_blocks(x, with_fields(ties=rule, scale="floor"))[0].tolist() == [[want] * 32]


def test_ties_neighbours_and_saturation():
    for i, midpoint in enumerate([0.25, 0.75, 1.25, 1.75, 2.5, 3.5]):
        below = np.nextafter(np.float32(midpoint), np.float32(0))
        above = np.nextafter(np.float32(midpoint), np.float32(9))
        for rule in ("even", "away", "zero"):
            assert codes_of([below, above], with_fields(ties=rule)) == [i, i + 1]
    x = np.full((1, 32), 7.5, dtype=np.float32)
    assert m.quantize_blocks(x, with_fields(scale="floor"))[0].tolist() == [[7] * 32]


def test_every_value_maps_to_itself():
    values = np.concatenate((m.MAGNITUDES, -m.MAGNITUDES))
    for byte in range(253):         # 6 * 2^126 does not exist in FP32
        x = np.zeros((1, 32), dtype=np.float32)
        x[0, :16] = np.ldexp(values, byte - 127)
        for scale in ("even", "floor", "rceil"):
            codes, got = m.quantize_blocks(x, with_fields(scale=scale, underflow="exact"))
            assert got[0] == byte and codes[0, :16].tolist() == list(range(16)), (byte, scale, got, codes)


def test_signs():
    values = [0.0, -0.0, 0.1, -0.1, 1.0, -1.0]
    assert codes_of(values, with_fields(sign="keep")) == [0, 8, 0, 8, 2, 10]
    assert codes_of(values, with_fields(sign="value")) == [0, 0, 0, 8, 2, 10]
    assert codes_of(values, with_fields(sign="drop")) == [0, 0, 0, 0, 2, 10]
    assert codes_of(values, with_fields(sign="nonpositive")) == [8, 8, 0, 8, 2, 10]


def test_value_sign_sees_float32_underflow():
    """Byte 252 scales by 2^-125: -2^-25 becomes -2^-150, which is -0 in FP32; the next value is not."""
    x = np.zeros((1, 32), dtype=np.float32)
    x[0, :3] = 2.0 ** 127, -2.0 ** -25, np.nextafter(np.float32(-2.0 ** -25), np.float32(-1))
    codes, byte = m.quantize_blocks(x, m.PROFILES["te-triton"])
    assert byte[0] == 252 and codes[0, :3].tolist() == [6, 0, 8]


def test_rceil_quotient_is_correctly_rounded():
    """The one float32 operation of the scale rules, against exact fractions."""
    for bits in list(range(1, 40)) + [0x00C00000 + d for d in range(-4, 5)] + [0x01400000 + d for d in range(-4, 5)]:
        amax = np.array([bits], dtype=np.uint32).view(np.float32)
        exact = Fraction(float(amax[0])) / 6 / Fraction(2) ** -149        # in units of the smallest subnormal
        if exact >= 2 ** 23:
            continue
        assert float(amax[0] / np.float32(6)) == round(exact) * 2.0 ** -149      # round() goes to even too


def test_rceil_underflow():
    quotient_2m127 = 6 * 2.0 ** -127
    above = (np.float32(quotient_2m127).view(np.int32) + np.int32(2)).view(np.float32)   # + 1 ulp rounds back to 2^-127
    assert [byte_of("torchao-rceil", a) for a in (2.0 ** -128, quotient_2m127, above)] == [0, 0, 1]
    assert [byte_of("aiter", a) for a in (2.0 ** -149, 2.0 ** -128, quotient_2m127, above)] == [0, 1, 1, 1]


def test_underflow_under_byte_0():
    x = np.zeros((1, 32), dtype=np.float32)
    x[0, :3] = 2.0 ** -126, -2.0 ** -127, -2.0 ** -140
    for underflow, byte, codes in (("plain", 0, [4, 10, 8]), ("exact", 0, [4, 10, 8]), ("normal", 0, [2, 9, 8]),
                                   ("unscaled", 0, [0, 8, 8]), ("raised", 1, [4, 10, 8])):
        got_codes, got_byte = m.quantize_blocks(x, with_fields(scale="floor", underflow=underflow))
        assert (got_byte[0], got_codes[0, :3].tolist()) == (byte, codes), (underflow, got_byte, got_codes)
        x2 = x * np.float32(8)                             # byte 2: nothing differs
        got_codes, got_byte = m.quantize_blocks(x2, with_fields(scale="floor", underflow=underflow))
        assert (got_byte[0], got_codes[0, :3].tolist()) == (2, [6, 12, 8]), (underflow, got_byte, got_codes)
        got_codes, got_byte = m.quantize_blocks(0 * x, with_fields(zero_byte=0, underflow=underflow))
        assert (got_byte[0], got_codes[0, :3].tolist()) == (0, [0, 8, 8]), (underflow, got_byte, got_codes)


def test_nonfinite():
    def block(*values):
        x = np.zeros((1, 32), dtype=np.float32)
        x[0, :len(values)] = values
        return x
    nan, inf = np.float32(np.nan), np.float32(np.inf)
    minus_nan = np.array([0xFFC00000], dtype=np.uint32).view(np.float32)[0]
    x = block(nan, minus_nan, 4, -4, -inf)
    want = {"te-hip": (253, [7, 15, 0, 8, 15]), "te-triton": (254, [0, 0, 0, 8, 15]), "aiter": (255, [7, 15, 0, 8, 15]),
            "aiter-even": (254, [3, 11, 0, 8, 15]), "torchao-even": (255, [3, 11, 0, 8, 11]), "torchao-rceil": (255, [3] * 5), "microxcaling": (255, [7, 15, 7, 7, 7]),
            "modelopt": (255, [8] * 5), "compressed-tensors": (255, [0, 8, 0, 0, 8]), "flashinfer": (254, [7, 7, 0, 8, 15])}
    for profile, (byte, codes) in want.items():
        got_codes, got_byte = m.quantize_blocks(x, m.PROFILES[profile])
        assert (got_byte[0], got_codes[0, :5].tolist()) == (byte, codes), (profile, got_byte, got_codes)
    codes, byte = m.quantize_blocks(block(nan, 4), TE)
    assert byte[0] == 127 and codes[0, :3].tolist() == [7, 6, 0]
    codes, byte = m.quantize_blocks(np.full((1, 32), nan), TE)
    assert byte[0] == 127 and codes.tolist() == [[7] * 32]


def test_hadamard_is_sylvester_and_its_own_inverse():
    rng = np.arange(64, dtype=np.float32).reshape(2, 32) % 7 - 3
    h = np.array([[1]])
    for _ in range(4):
        h = np.block([[h, h], [h, -h]])
    want = np.concatenate((rng[:, :16] @ h, rng[:, 16:] @ h), axis=1) / 4
    assert (m.hadamard(rng, 16, 0) == want).all()
    assert (m.hadamard(m.hadamard(rng, 16, 0), 16, 0) == rng).all()
    ones = np.ones((1, 32), dtype=np.float32)
    assert m.hadamard(ones, 16, 0)[0].tolist() == [4] + [0] * 15 + [4] + [0] * 15
    first = m.hadamard(ones, 16, 0x00010000)       # bit 16: the first value of the second half
    assert first[0, 16:].tolist() == [3.5] + [-0.5] * 15 and first[0, 0] == 4


def test_larger_transforms():
    ones = np.ones((1, 256), dtype=np.float32)
    assert m.hadamard(ones, 64, 0)[0].tolist() == ([8] + [0] * 63) * 4
    root = np.float32(0.17677669529663687)
    assert m.hadamard(ones, 32, 0)[0, :33].tolist() == [32 * root] + [0] * 31 + [32 * root]
    assert m.hadamard(ones, 128, 0)[0, 0] == 128 * np.float32(0.08838834764831845)
    flipped = m.hadamard(ones, 64, 1 << 64)                 # value 64 of each 128: the first of the second transform
    assert flipped[0, :65].tolist() == [8] + [0] * 63 + [7.75] and flipped[0, 192] == 7.75
    try:
        m.quantize_matrix(np.zeros((1, 96), np.float32), with_fields(hadamard=64))
        raise AssertionError
    except ValueError:
        pass


KAT = """
00000000 00000000 00000000 00000000 00000000 00000000 6627e8d5 e169c58d bc57ac4c 9b00dbd8
ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff 408f276d 41c83b0e a20bc7c6 6d5451fd
243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0 d16cfe09 94fdcceb 5001e420 24126ea1
"""


def test_philox_gives_the_published_vectors():
    """kat_vectors of Random123, philox4x32 with 10 rounds: counter, key, result."""
    for line in KAT.split("\n")[1:-1]:
        words = [int(word, 16) for word in line.split()]
        assert [int(word) for word in m.philox4x32(words[:4], words[4:6])] == words[6:]
    assert m.random_bits(0, [0, 1, 2, 3]).tolist() == [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]


def test_stochastic_rounding_goes_up_below_the_part_of_the_way():
    v = np.array([0.0, 0.5, 6.0, 7.0, 0.125, 0.125, -2.25, 5.0, 5.0, 2.0 ** -60])
    u = np.array([0, 0, 0, 0, 2.0 ** 30 - 1, 2.0 ** 30, 2.0 ** 30 - 1, 2.0 ** 31 - 1, 2.0 ** 31, 0])
    assert m.stochastic_index(v, u).tolist() == [0, 1, 7, 7, 1, 0, 5, 7, 6, 1]


def test_tiles_have_one_scale_and_equal_codes():
    x = np.random.default_rng(7).normal(size=(37, 70)).astype(np.float32)
    recipe = with_fields(block="32x32", ties="stochastic", seed=5)
    codes, scales = m.quantize_matrix(x, recipe)
    turned, turned_scales = m.quantize_matrix(x.T, recipe, True)
    assert (codes[:, :70] == turned[:, :37].T).all() and (scales[::32] == turned_scales[::32].T).all()
    assert (scales[:32] == scales[0]).all() and (scales[32:] == scales[32]).all()
    assert scales[0, 0] == m.scale_bytes(np.abs(x[:32, :32]).max().reshape(1, 1), TE, [[0]])[0]


def test_a_floor_under_amax():
    recipe = m.replace(m.PROFILES["aiter"], amax_floor=1e-10)
    x = np.zeros((3, 32), dtype=np.float32)
    x[1, 0], x[2, 0] = 1e-20, 1
    assert m.quantize_blocks(x, recipe)[1].tolist() == [92, 92, 125]


def test_packing_and_linear_layout():
    codes = np.zeros((2, 32), dtype=np.uint8)
    codes[0, :5] = [1, 2, 3, 4, 5]
    assert m.data_linear(codes, 5).tolist() == [[0x21, 0x43, 0x05], [0, 0, 0]]


def test_aiter_data_is_the_view_and_permutation():
    for rows, blocks in ((16, 2), (32, 4), (48, 6)):
        codes = (np.arange(rows * blocks * 32) * 7 % 16).astype(np.uint8).reshape(rows, -1)
        packed = m.pack(codes)
        want = packed.reshape(rows // 16, 16, packed.shape[1] // 32, 2, 16).transpose(0, 2, 3, 1, 4)
        assert (m.data_aiter(codes).reshape(-1) == want.reshape(-1)).all()


def test_aiter_data_of_an_odd_number_of_units_is_packed_densely():
    codes = np.ones((3, 96), dtype=np.uint8)
    out = m.data_aiter(codes)
    assert out.shape == (16, 48)
    units = out.reshape(3, 16, 16)                      # unit, row in tile, byte
    assert (units[:, :3] == 0x11).all() and (units[:, 3:] == 0).all()


def test_aiter_scale_is_the_view_and_permutation():
    for rows, cols in ((256, 8), (512, 16), (257, 9), (31, 3)):
        scales = (np.arange(rows * cols) * 13 % 251).astype(np.uint8).reshape(rows, cols)
        padded = np.full((m.round_up(rows, 256), m.round_up(cols, 8)), 99, dtype=np.uint8)
        padded[:rows, :cols] = scales
        want = padded.reshape(padded.shape[0] // 32, 2, 16, padded.shape[1] // 8, 2, 4).transpose(0, 3, 5, 2, 4, 1)
        assert (m.scale_aiter(scales, 99).reshape(-1) == want.reshape(-1)).all()


def test_ragged_rows_end_in_code_zero():
    x = np.full((1, 33), -1, dtype=np.float32)
    for profile in m.PROFILES:
        codes, scales = m.quantize_matrix(x, m.PROFILES[profile])
        assert codes.shape == (1, 64) and scales.shape == (1, 2) and (codes[0, 33:] == 0).all()
    codes, _ = m.quantize_matrix(x, m.replace(TE, hadamard=16))
    assert (codes[0, 32:48] == codes[0, 32]).all() and codes[0, 32] != 0       # -1 spread over its half


def test_flatten():
    x = np.zeros((2, 3, 4))
    shapes = {None: (6, 4), 0: (1, 24), 1: (2, 12), 2: (6, 4), 3: (24, 1), -1: (6, 4), -3: (1, 24)}
    for axis, want in shapes.items():
        assert m.flatten(x, axis).shape == want
    assert m.flatten(np.zeros(5)).shape == (1, 5) and m.flatten(np.zeros(())).shape == (1, 1)


def test_widening():
    f16 = np.arange(65536, dtype=np.uint32).astype(np.uint16)
    for bits, value in ((0x0001, 2.0 ** -24), (0x7BFF, 65504.0), (0x8000, -0.0), (0xFC00, -np.inf), (0x3555, 0.333251953125)):
        assert m.widen(f16[bits:bits + 1], "f16")[0] == value
    wide = m.widen(f16, "f16")
    assert (np.signbit(wide) == (f16 >= 0x8000)).all()
    assert m.widen(np.array([0x3FC0], dtype=np.uint16), "bf16")[0] == 1.5


def npy(descr, shape, data, version=1, fortran=False):
    header = str({"descr": descr, "fortran_order": fortran, "shape": shape}).encode()
    return b"\x93NUMPY" + bytes((version, 0)) + struct.pack("<H" if version == 1 else "<I", len(header)) + header + data


def test_npy_files():
    kind, raw = m.parse_npy(npy(">f4", (2, 1), struct.pack(">ff", 1, 2)))
    assert kind == "f32" and m.widen(raw, kind).tolist() == [[1], [2]]
    kind, raw = m.parse_npy(npy("<V2", (2, 2), struct.pack("<4H", 1, 2, 3, 4), version=3, fortran=True))
    assert kind == "bf16" and raw.tolist() == [[1, 3], [2, 4]]
    assert m.parse_npy(npy("<u2", (), b"\1\2", version=2), "f16")[0] == "f16"


def test_a_whole_matrix_by_hand():
    """Two rows of 3: row 0 scales by 1 (amax 4), row 1 is zero; te-hip, linear, both directions."""
    data = np.array([[0.5, -3, 4], [0, 0, 0]], dtype="<f4").tobytes()
    out = m.quantize_file(npy("<f4", (2, 3), data), ["--layout", "linear"])
    assert out["rowwise_data"].tolist() == [[0xD1, 0x06], [0x00, 0x00]]
    assert out["rowwise_scale"].tolist() == [[127], [127]]
    # Columns: amax 0.5, 3, 4. 3 = 1.5 * 2^1: byte 126, scale 0.5, 3 is 6 units; 0.5 = 4 units of 2^-3: byte 124.
    assert out["columnwise_data"].tolist() == [[0x06], [0x0F], [0x06]]
    assert out["columnwise_scale"].tolist() == [[124], [126], [127]]


def main():
    failed = 0
    tests = [(name, f) for name, f in globals().items() if name.startswith("test_")]
    for name, test in tests:
        try:
            test()
        except Exception:
            failed += 1
            print("FAILED %s" % name)
            traceback.print_exc()
    print("%d tests, %d failed" % (len(tests), failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
