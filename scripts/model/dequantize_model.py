#!/usr/bin/env python3
"""A slow, independent model of `mxfp4q dequantize` and of the block stream of `mxfp4q convert --to ggml`.

It reads a result as mxfp4q(5) describes it and shares nothing with the C code: layouts are undone by permuting NumPy
axes, the Hadamard transform by a matrix in float64, values come from mxfp4_model.decode().

    dequantize_model.py RESULT.json -o VALUES.npy [--direction D] [--dtype f32|bf16] [--inverse-hadamard]
    dequantize_model.py RESULT.json -o BLOCKS --ggml [--direction D]
Needs NumPy >= 1.24 only.
"""
import argparse
import gzip
import io
import json
import os

import numpy as np

import mxfp4_model as model


def load_buffer(folder, manifest, name):
    """One buffer in its stored shape, whatever format it is in."""
    buffer = manifest["buffers"][name]
    with open(os.path.join(folder, buffer["file"]), "rb") as f:
        blob = f.read()
    if manifest["format"] == "npz":
        return np.load(io.BytesIO(blob))[buffer["member"][:-len(".npy")]]
    if manifest["gzip"]:
        blob = gzip.decompress(blob)
    if manifest["format"] == "raw":
        return np.frombuffer(blob, np.uint8).reshape(buffer["shape"])
    return np.load(io.BytesIO(blob))


def undo_layout(stored, buffer, is_scale):
    """The matrix of bytes before it was shuffled, padding cut off, the even code in the low nibble."""
    layout, _, order = buffer["layout"].partition("-")
    rows, cols = stored.shape
    if stored.size and layout == "aiter" and is_scale:
        stored = stored.reshape(rows // 32, cols // 8, 4, 16, 2, 2).transpose(0, 5, 3, 1, 4, 2).reshape(rows, cols)
    elif stored.size and layout == "aiter":
        stored = stored.reshape(rows // 16, cols // 16, 16, 16).swapaxes(1, 2).reshape(rows, cols)
    if order == "high":
        stored = stored >> 4 | stored << 4
    # A unit that is whole holds what a Hadamard transform made of the last values.
    return stored[:buffer["valid"][0], :cols if layout == "aiter" and not is_scale else buffer["valid"][1]]


def load_blocks(path, direction):
    """Codes (R, S, 32) and scale bytes (R, S) of a direction, its length along a row, and the manifest."""
    with open(path, encoding="utf-8") as f:
        manifest = json.load(f)
    folder = os.path.dirname(path)
    if direction is None:
        direction = "rowwise" if "rowwise_data" in manifest["buffers"] else "columnwise"
    names = direction + "_data", direction + "_scale"
    data, scale = (undo_layout(load_buffer(folder, manifest, n), manifest["buffers"][n], n.endswith("scale"))
                   for n in names)
    length = manifest["matrix"]["cols" if direction == "rowwise" else "rows"]
    rows, blocks = scale.shape
    packed = np.zeros((rows, blocks * model.UNIT), np.uint8)
    packed[:, :data.shape[1]] = data
    codes = np.stack((packed & 15, packed >> 4), -1).reshape(rows, blocks, model.BLOCK)
    return codes, scale, length, direction, manifest


def hadamard_matrix(points):
    h = np.ones((1, 1))
    while len(h) < points:
        h = np.block([[h, h], [h, -h]])
    return h


def undo_hadamard(x, points, signs):
    """x is float64 (R, 32*S): each group times the matrix, which is its own inverse, then the signs, then the factor.

    The butterflies decide the signs of zeros and, where scales are far apart, the rounding; a product with the matrix
    says that they are right."""
    y = model.butterflies(x, points)
    product = (x.reshape(-1, points) @ hadamard_matrix(points)).reshape(x.shape)
    bound = np.abs(x).reshape(-1, points).sum(axis=1).repeat(points).reshape(x.shape)
    with np.errstate(invalid="ignore"):
        assert (np.isnan(y) | (np.abs(y - product) <= 1e-14 * bound)).all()
    y = np.where(model.repeat_signs(signs, x.shape[1]), -y, y)
    return y / (points * np.float64(np.float32(1 / np.sqrt(points))))


def dequantize(path, direction, inverse_hadamard):
    codes, scale, length, direction, manifest = load_blocks(path, direction)
    x = model.decode(codes, np.where(scale == 255, 0, scale))
    x = np.where((scale == 255)[..., None], np.nan, x)
    x = x.reshape(x.shape[0], x.shape[1] * model.BLOCK)
    if inverse_hadamard and x.size:
        x = undo_hadamard(x, manifest["recipe"]["hadamard"], model.parse_signs(manifest["recipe"]["hadamard_signs"]))
        x = np.where(np.isnan(x), np.nan, x)
    x = x[:, :length]
    if direction == "columnwise":
        x = x.T
    with np.errstate(over="ignore"):
        return x.astype(np.float32).reshape(manifest["input"]["shape"])


def save(f, x, dtype):
    """In C order; BF16 to nearest, ties to even."""
    bits = np.array(x, order="C").view(np.uint32)
    upper, lower = bits >> 16, bits & 0xffff
    upper = np.where(np.isnan(x), upper, upper + ((lower > 0x8000) | ((lower == 0x8000) & (upper & 1 == 1))))
    descr, raw = ("<f4", bits.astype("<u4")) if dtype == "f32" else ("<V2", upper.astype("<u2"))
    np.lib.format.write_array_header_1_0(f, {"descr": descr, "fortran_order": False, "shape": x.shape})
    f.write(raw.tobytes())


def to_ggml(path, direction):
    codes, scale, length, _, _ = load_blocks(path, direction)
    assert length % model.BLOCK == 0
    blocks = np.concatenate((scale[..., None], codes[..., :16] | codes[..., 16:] << 4), axis=-1)
    return blocks.astype(np.uint8).tobytes()


def main():
    p = argparse.ArgumentParser(allow_abbrev=False)
    p.add_argument("result")
    p.add_argument("-o", dest="output", required=True)
    p.add_argument("--direction", choices=("rowwise", "columnwise"))
    p.add_argument("--dtype", choices=("f32", "bf16"), default="f32")
    p.add_argument("--inverse-hadamard", action="store_true")
    p.add_argument("--ggml", action="store_true")
    options = p.parse_args()
    with open(options.output, "wb") as f:
        if options.ggml:
            f.write(to_ggml(options.result, options.direction))
            return
        x = dequantize(options.result, options.direction, options.inverse_hadamard)
        save(f, x, options.dtype)


if __name__ == "__main__":
    main()
