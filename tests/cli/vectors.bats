#!/usr/bin/env bats
# The committed vectors, made by the independent model in scripts/model, byte for byte.

load helper

# Runs all cases whose name matches the pattern; names those that differ, with the first byte that does.
check_cases() {
    local name input options buffer ncases=0 nfailed=0
    local vectors=$TESTDATA/vectors out=$BATS_TEST_TMPDIR/out
    while IFS=$'\t' read -r name input options; do
        # shellcheck disable=SC2053 # a pattern is wanted
        [[ $name == $1 ]] || continue
        ncases=$((ncases + 1))
        rm -rf "$out" && mkdir "$out"
        # shellcheck disable=SC2086 # options are words
        "$MXFP4Q" quantize "$vectors/inputs/$input" -o "$out/x" --format raw --no-fsync -q $options || nfailed=$((nfailed + 1))
        for buffer in rowwise_data rowwise_scale columnwise_data columnwise_scale; do
            if [ -e "$out/x.$buffer.raw" ]; then cat "$out/x.$buffer.raw"; fi
        done >"$out/all"
        if ! cmp "$out/all" "$vectors/expected/$name.bin"; then
            echo "case $name: $input $options"
            nfailed=$((nfailed + 1))
        fi
    done <"$vectors/cases.txt"
    echo "$ncases cases, $nfailed failed"
    [ "$ncases" -gt 0 ] && [ "$nfailed" -eq 0 ]
}

@test "every profile makes the model's bytes on BF16 edges" {
    check_cases 'edges_bf16_*'
}

@test "every profile makes the model's bytes on FP16 edges" {
    check_cases 'edges_f16_*'
}

@test "every profile makes the model's bytes on FP32 edges" {
    check_cases 'edges_f32_*'
}

@test "every profile makes the model's bytes on infinities and NaNs" {
    check_cases 'nonfinite_*'
}

@test "every combination of switches makes the model's bytes" {
    check_cases 'switches_*'
    check_cases 'zero_byte_*'
}

@test "every shape, layout and direction makes the model's bytes" {
    check_cases 'shape_*'
    check_cases 'flatten_*'
    check_cases 'direction_*'
    check_cases 'shuffle_*'
    check_cases 'pad_fill_*'
    check_cases 'defaults*'
}

@test "every tail of 1 to 31 makes the model's bytes" {
    check_cases 'tail_*'
}

@test "the Hadamard transform makes the model's bytes" {
    check_cases 'hadamard_*'
}

@test "larger transforms make the model's bytes" {
    check_cases 'hadamard[0-9]*'
}

@test "stochastic rounding makes the model's bytes" {
    check_cases 'stochastic_*'
}

@test "tiles with one scale make the model's bytes" {
    check_cases 'tiles_*'
}

@test "the rules even-above and nearlog, and floors under amax, make the model's bytes" {
    check_cases 'rule_*'
    check_cases 'floor_*'
}

@test "every kind of .npy header makes the model's bytes" {
    check_cases 'npy_*'
}

@test "a real weight makes the model's bytes" {
    check_cases 'real_weight*'
}

@test "no case is left out by the tests above" {
    run cut -f 1 "$TESTDATA/vectors/cases.txt"
    local name
    for name in "${lines[@]}"; do
        case $name in
        edges_bf16_* | edges_f16_* | edges_f32_* | nonfinite_* | switches_* | zero_byte_* | shape_* | flatten_*) ;;
        direction_* | shuffle_* | pad_fill_* | defaults* | tail_* | hadamard_* | npy_* | real_weight*) ;;
        hadamard[0-9]* | stochastic_* | tiles_* | rule_* | floor_*) ;;
        *) echo "$name" && false ;;
        esac
    done
}

@test "the committed vectors are what the model makes" {
    /usr/bin/python3 -c 'import numpy' 2>/dev/null || skip "NumPy is not installed"
    /usr/bin/python3 "$ROOT/scripts/model/make_vectors.py" --check
}

@test "the model agrees with values worked out by hand" {
    /usr/bin/python3 -c 'import numpy' 2>/dev/null || skip "NumPy is not installed"
    /usr/bin/python3 "$ROOT/scripts/model/test_model.py"
}
