"""The same through ctypes: python3 quantize.py path/to/libmxfp4q.so; no package but the standard library."""
import ctypes as c
import sys

BF16, F16, F32 = 0, 1, 2
BUFFERS = ("rowwise_data", "rowwise_scale", "columnwise_data", "columnwise_scale")


class Matrix(c.Structure):
    _fields_ = [("data", c.c_void_p), ("dtype", c.c_int), ("rows", c.c_uint64), ("cols", c.c_uint64),
                ("row_stride", c.c_uint64)]


class Recipe(c.Structure):
    _fields_ = [("scale", c.c_int), ("ties", c.c_int), ("sign", c.c_int), ("block", c.c_int),
                ("zero_byte", c.c_uint8), ("amax_floor", c.c_uint32), ("seed", c.c_uint64),
                ("hadamard_nelems", c.c_uint), ("hadamard_signs", c.c_uint32 * 4), ("underflow", c.c_int), ("sixth", c.c_int),
                ("huge_byte", c.c_uint8), ("infinity_byte", c.c_uint8), ("nan_poisons", c.c_bool),
                ("nan_fills", c.c_bool), ("nan_code", c.c_uint8), ("nan_keeps_sign", c.c_bool)]


class Options(c.Structure):
    _fields_ = [("recipe", Recipe), ("wanted", c.c_bool * 2), ("layout", c.c_int * 4), ("pad_fill", c.c_uint8)]


class Extent(c.Structure):
    _fields_ = [(name, c.c_uint64) for name in ("rows", "cols", "valid_rows", "valid_cols", "nbytes")]


class Plan(c.Structure):
    _fields_ = [("options", Options), ("rows", c.c_uint64), ("cols", c.c_uint64), ("extent", Extent * 4)]


def quantize(lib, data, dtype, rows, cols, profile=b"te-hip"):
    """bytes of a rows x cols matrix -> {buffer name: bytes}"""
    lib.mxq_find_profile.restype = c.c_void_p
    options, plan = Options(), Plan()
    lib.mxq_init_options(c.byref(options), c.c_void_p(lib.mxq_find_profile(profile)))
    if lib.mxq_make_plan(c.byref(plan), c.byref(options), c.c_uint64(rows), c.c_uint64(cols)) != 0:
        raise ValueError("mxq_make_plan")
    out = [c.create_string_buffer(max(1, extent.nbytes)) for extent in plan.extent]
    matrix = Matrix(c.cast(c.c_char_p(data), c.c_void_p), dtype, rows, cols, cols)
    pointers = (c.c_void_p * 4)(*(c.addressof(buffer) for buffer in out))
    if lib.mxq_quantize(c.byref(plan), None, c.byref(matrix), pointers, None) != 0:
        raise ValueError("mxq_quantize")
    return {name: buffer.raw[:extent.nbytes] for name, buffer, extent in zip(BUFFERS, out, plan.extent)}


if __name__ == "__main__":
    values = (c.c_float * (64 * 96))(*((i % 251) / 16 - 7 for i in range(64 * 96)))
    sys.stdout.buffer.write(quantize(c.CDLL(sys.argv[1]), bytes(values), F32, 64, 96)["rowwise_data"])
