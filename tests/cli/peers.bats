#!/usr/bin/env bats
# What peers made, see testdata/peers: profiles against its hashes and samples, and what is said about it.

load helper

need_numpy() {
    /usr/bin/python3 -c 'import numpy' 2>/dev/null || skip "NumPy is not installed"
}

setup_file() {
    export PYTHONDONTWRITEBYTECODE=1
    export COMPARE=$ROOT/scripts/peers/compare.py
}

@test "profiles make the bytes that their peers made" {
    need_numpy
    /usr/bin/python3 "$COMPARE"
}

@test "a comparison with a peer notices wrong bytes, and shows a block" {
    need_numpy
    cat >"$BATS_TEST_TMPDIR/mxfp4q" <<EOF
#!/bin/sh
exec "$MXFP4Q" "\$@" --ties away
EOF
    chmod +x "$BATS_TEST_TMPDIR/mxfp4q"
    MXFP4Q=$BATS_TEST_TMPDIR/mxfp4q run -1 /usr/bin/python3 "$COMPARE" --case bf16-real-weight torchao-even
    [[ $output == *"first difference between blocks "*"block "*": theirs "*"ours "*"input: "*"bf16-real-weight differs"* ]]
}

@test "every profile has its line in EVIDENCE" {
    "$MXFP4Q" quantize x -o y --profile no-such-profile 2>&1 | sed 's/.*is not one of: //' | tr -d ' ' | tr ',' '\n' |
        diff <(cut -f 1 "$TESTDATA/peers/EVIDENCE") <(LC_ALL=C sort)
}

@test "EVIDENCE is what the vectors of peers say" {
    need_numpy
    /usr/bin/python3 "$ROOT/scripts/peers/evidence.py" --check
}

@test "mxfp4q.5 says what each profile rests on" {
    diff <(sed -n '/^profile|peer|version/,/^\.TE/p' "$ROOT/man/mxfp4q.5" | grep -E '^[a-z\\-]+\|' | sed 1d | sed 's/\\//g' | LC_ALL=C sort -t "|" -k 1,1) \
        <(sed -E 's/\t/|/g; s/\|[^|]* ([0-9,]+( FP32)? blocks), all equal$/|\1/; s/\|formulas[^|]*instruction[^|]*$/|instruction/; s/\|formulas of[^|]*$/|formulas/' \
            "$TESTDATA/peers/EVIDENCE")
}
