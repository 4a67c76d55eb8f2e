"""safetensors files by plain Python: nothing here is shared with the C program or taken from the reference package."""
import json
import math
import os
import struct

BITS = {"BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
        "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64,
        "U64": 64}
ORDER = list(BITS)   # the reference's order of dtypes; its files begin with the last of them


def nbytes(dtype, shape):
    bits = BITS[dtype] * math.prod(shape)
    assert bits % 8 == 0, (dtype, shape)
    return bits // 8


def header_bytes(entries, metadata=None):
    """entries: (name, dtype, shape) in the order in which the bytes follow each other."""
    offset, header = 0, {}
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, dtype, shape in entries:
        end = offset + nbytes(dtype, shape)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    return pack_header(json.dumps(header, separators=(",", ":")))


def pack_header(text):
    text = text.encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def order(entries):
    """As the reference writes them: descending alignment, then name."""
    return sorted(entries, key=lambda e: (-ORDER.index(e[1]), e[0]))


def write(path, tensors, metadata=None):
    """tensors: {name: (dtype, shape, bytes or a function that yields pieces of them)}."""
    entries = order([(name, t[0], t[1]) for name, t in tensors.items()])
    with open(path, "wb") as f:
        f.write(header_bytes(entries, metadata))
        for name, dtype, shape in entries:
            start, source = f.tell(), tensors[name][2]
            for piece in source() if callable(source) else [source]:
                f.write(piece)
            assert f.tell() - start == nbytes(dtype, shape), name


def unique(pairs):
    names = [name for name, _ in pairs]
    assert len(set(names)) == len(names), "a name twice: %s" % names
    return dict(pairs)


def read_header(path):
    """{name: (dtype, shape, first byte in the file, bytes)}, metadata; fails unless the bytes are covered exactly."""
    size = os.path.getsize(path)
    with open(path, "rb") as f:
        length, = struct.unpack("<Q", f.read(8))
        assert length <= 100_000_000 and 8 + length <= size, path
        header = json.loads(f.read(length), object_pairs_hook=unique)
    metadata, tensors, covered = header.pop("__metadata__", None), {}, 0
    for name, entry in sorted(header.items(), key=lambda e: e[1]["data_offsets"]):
        start, end = entry["data_offsets"]
        assert start == covered and end - start == nbytes(entry["dtype"], entry["shape"]), (path, name, entry)
        tensors[name] = (entry["dtype"], tuple(entry["shape"]), 8 + length + start, end - start)
        covered = end
    assert 8 + length + covered == size, (path, "bytes that belong to no tensor")
    return tensors, metadata


def read(path):
    """{name: (dtype, shape, bytes)}, metadata."""
    tensors, metadata = read_header(path)
    with open(path, "rb") as f:
        result = {}
        for name, (dtype, shape, offset, length) in tensors.items():
            f.seek(offset)
            result[name] = (dtype, shape, f.read(length))
    return result, metadata


def shards(folder):
    """The files that hold a checkpoint's tensors: those the index names, or all there are; and the index or None."""
    index = os.path.join(folder, "model.safetensors.index.json")
    if os.path.exists(index):
        with open(index, encoding="utf-8") as f:
            index = json.load(f, object_pairs_hook=unique)
        return sorted(set(index["weight_map"].values())), index
    return sorted(n for n in os.listdir(folder) if n.endswith(".safetensors") and not n.startswith(".")), None


def read_checkpoint(folder):
    """{name: (dtype, shape, bytes)}; fails unless index, shards and sizes agree."""
    names, index = shards(folder)
    tensors, where = {}, {}
    for name in names:
        for tensor, value in read(os.path.join(folder, name))[0].items():
            assert tensor not in tensors, (tensor, "in two shards")
            tensors[tensor], where[tensor] = value, name
    if index is not None:
        assert index["weight_map"] == where, "the index does not agree with the shards"
        assert index["metadata"]["total_size"] == sum(len(t[2]) for t in tensors.values()), "total_size"
    return tensors
