#!/usr/bin/env bats
# mxfp4q bench: it measures, and says what

bats_require_minimum_version 1.5.0
load helper
load files

@test "bench prints a line for each case, with a fraction" {
    run -0 --separate-stderr "$MXFP4Q" bench --shape 96x160 --rounds 2
    [ "${#lines[@]}" -eq 7 ]
    for line in "${lines[@]}"; do
        [[ $line =~ ^(bf16|f32)\ .*\ 96x160\ +[0-9.]+\ ms\ +[0-9.]+\ GB/s,\ copy\ +[0-9.]+\ GB/s,\ fraction\ [0-9.]+$ ]]
    done
    [ -z "$stderr" ]
}

@test "bench counts the bytes that have to move, and its figures agree with each other" {
    command -v "$PYTHON" >/dev/null || skip "python3 is not installed"
    run -0 --separate-stderr "$MXFP4Q" bench --shape 512x1024 --rounds 3 -j 2 --json
    "$PYTHON" - "$output" <<'END'
import json, sys
bench = json.loads(sys.argv[1])
assert bench["threads"] == 2 and bench["rounds"] == 3, bench
rows = {(r["dtype"], r["case"]): r for r in bench["rows"]}
values = 512 * 1024
# A value has 2 or 4 bytes, and per direction half a byte of codes and 1/32 of a byte of scales.
assert rows["bf16", "both aiter"]["bytes"] == values * (2 + 2 * 17 / 32)
assert rows["bf16", "both linear"]["bytes"] == values * (2 + 2 * 17 / 32)
assert rows["bf16", "rowwise aiter"]["bytes"] == values * (2 + 17 / 32)
assert rows["bf16", "columnwise aiter"]["bytes"] == values * (2 + 17 / 32)
assert rows["f32", "both aiter"]["bytes"] == values * (4 + 2 * 17 / 32)
for r in bench["rows"]:
    assert abs(r["bytes_per_second"] * r["seconds"] / r["bytes"] - 1) < 1e-9, r
    assert abs(r["fraction"] * r["copy_bytes_per_second"] / r["bytes_per_second"] - 1) < 1e-9, r
END
}

@test "bench measures the kernel that is named" {
    run -0 --separate-stderr "$MXFP4Q" bench --shape 64x64 --rounds 1 --kernel scalar --json
    [[ $output == *'"device": "scalar"'* || $output == *'"device":"scalar"'* ]]
    run -2 "$MXFP4Q" bench --kernel nonsense
    [ "$output" = 'mxfp4q: --kernel: "nonsense" is no kernel that this machine can run (see mxfp4q devices)' ]
}

@test "bench refuses what it cannot measure, in one line" {
    for bad in "--shape 64" "--shape 0x64" "--shape 64x" "--rounds 0" "-j 0" "--device auto" "--device gpu:all" "input.npy"; do
        # shellcheck disable=SC2086 # words
        run -2 --separate-stderr "$MXFP4Q" bench $bad
        [ -z "$output" ]
        # shellcheck disable=SC2154 # set by run
        [ "$(printf '%s\n' "$stderr" | wc -l)" -eq 1 ]
    done
}

@test "bench does not end in a mess for a size that no machine has" {
    run -2 --separate-stderr "$MXFP4Q" bench --shape 4294967296x4294967296
    [ "$(printf '%s\n' "$stderr" | wc -l)" -eq 1 ]
}
