# checkpoint.bash - checkpoints made on the spot, by scripts that share nothing with the program
# shellcheck shell=bash
# shellcheck disable=SC2154 # run sets output and its lines

load files

python() {
    "$PYTHON" -B -W ignore "$@"
}

# In setup_file: models that a file's tests share, in $MODELS.
need_numpy() {
    python -c 'import numpy' 2>/dev/null || skip "NumPy is not installed"
}

# make_model KIND NAME [OPTION]...
make_model() {
    python "$ROOT/scripts/checkpoints/make_model.py" "$1" "$2" "${@:3}"
}

# A checkpoint as the independent model makes it: expect MODEL OUT [--format ...]
expect() {
    python "$ROOT/scripts/checkpoints/expected.py" "$@"
}

# The program's checkpoint against it, byte for byte, with index and headers: as_expected MODEL OUT [--format ...]
as_expected() {
    run -0 expect "$@" --check
    [[ $output == *' tensors as expected' ]]
}

# Quantizes without waiting for the disk, and must say nothing but what can be said of small shapes.
makes() {
    run -0 --separate-stderr "$MXFP4Q" quantize --no-fsync -q "$@"
}

# edit_json FILE STATEMENT: changes what is called j in it.
edit_json() {
    python -c '
import json, sys
with open(sys.argv[1]) as f:
    j = json.load(f)
exec(sys.argv[2])
with open(sys.argv[1], "w") as f:
    json.dump(j, f, indent=2)' "$1" "$2"
}

# poke FOLDER TENSOR OFFSET HEX: overwrites a byte of a tensor, wherever it is stored.
poke() {
    python -c '
import os, sys
sys.path.insert(0, sys.argv[1])
import st
folder, name, offset, byte = sys.argv[2:]
for shard in st.shards(folder)[0]:
    path = os.path.join(folder, shard)
    tensors = st.read_header(path)[0]
    if name in tensors:
        with open(path, "r+b") as f:
            f.seek(tensors[name][2] + int(offset))
            f.write(bytes.fromhex(byte))
        break
else:
    sys.exit("no tensor " + name)' "$ROOT/scripts/checkpoints" "$@"
}
