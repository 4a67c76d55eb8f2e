#!/usr/bin/env bats
# The library and make install, as other programs meet them.

load helper

setup() {
    BUILD=${BUILD:-$ROOT/build}
    case $(cat "$BUILD/.config") in
    *-fsanitize=*) skip "a sanitized library cannot be linked into a plain program" ;;
    *--coverage*) skip "measured elsewhere" ;;
    esac
    CC=$(cut -d ' ' -f 1 "$BUILD/.config")
    case $CC in
    *clang*) CC=clang ;;
    *) CC=gcc ;;
    esac
}

install_into() {
    make -s -C "$ROOT" BUILD="$BUILD" CC="$CC" WERROR="$WERROR" DESTDIR="$1" prefix=/usr install >/dev/null
}

@test "the shared library exports mxq_ names and nothing else" {
    run -0 nm -D --defined-only "$BUILD/libmxfp4q.so"
    [ "${#lines[@]}" -gt 20 ]
    local line
    for line in "${lines[@]}"; do
        [[ $line =~ \ [TDRB]\ mxq_ ]]
    done
}

@test "every function that the headers declare is exported, and no other" {
    cat "$ROOT/src/kernels/mxq.h" "$ROOT/src/kernels/mxq_gpu.h" | grep -oE '\bmxq_[a-z0-9_]+\(' | tr -d '(' | sort -u >"$BATS_TEST_TMPDIR/declared"
    nm -D --defined-only "$BUILD/libmxfp4q.so" | awk '{print $3}' | sort -u >"$BATS_TEST_TMPDIR/exported"
    diff "$BATS_TEST_TMPDIR/declared" "$BATS_TEST_TMPDIR/exported"
}

@test "the library neither prints nor exits" {
    run -0 nm --undefined-only "$BUILD/libmxfp4q.a"
    run ! grep -E ' U (printf|puts|fprintf|fwrite|perror|exit|_exit|abort|malloc|calloc|realloc)$' <<<"$output"
}

@test "uninstall removes all that install put there" {
    install_into "$BATS_TEST_TMPDIR/root"
    [ -x "$BATS_TEST_TMPDIR/root/usr/bin/mxfp4q" ]
    make -s -C "$ROOT" BUILD="$BUILD" DESTDIR="$BATS_TEST_TMPDIR/root" prefix=/usr uninstall
    run -0 find "$BATS_TEST_TMPDIR/root" ! -type d
    [ -z "$output" ]
}

@test "a small C program builds with pkg-config and links the installed library" {
    command -v pkg-config >/dev/null || skip "pkg-config is not installed"
    root=$BATS_TEST_TMPDIR/root
    install_into "$root"
    export PKG_CONFIG_PATH=$root/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1
    export PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
    # shellcheck disable=SC2046
    $CC -Wall -Wextra -Werror "$ROOT/tests/examples/quantize.c" $(pkg-config --cflags --libs mxfp4q) -o "$BATS_TEST_TMPDIR/shared"
    $CC "$ROOT/tests/examples/quantize.c" -I"$root/usr/include" "$root/usr/lib/libmxfp4q.a" -o "$BATS_TEST_TMPDIR/static"
    LD_LIBRARY_PATH=$root/usr/lib "$BATS_TEST_TMPDIR/shared" >"$BATS_TEST_TMPDIR/shared.out"
    "$BATS_TEST_TMPDIR/static" >"$BATS_TEST_TMPDIR/static.out"
    [ "$(wc -c <"$BATS_TEST_TMPDIR/static.out")" -eq $((64 * 48)) ]
    cmp "$BATS_TEST_TMPDIR/shared.out" "$BATS_TEST_TMPDIR/static.out"
}

@test "the headers are good C++ too" {
    command -v c++ >/dev/null || skip "no C++ compiler is installed"
    printf '#include "kernels/%s.h"\n' mxq mxq_gpu | c++ -x c++ -Wall -Wextra -Werror -I"$ROOT/src" -fsyntax-only -
}

@test "Python reaches the library through ctypes, with the program's bytes" {
    command -v python3 >/dev/null || skip "python3 is not installed"
    python3 -c '
import struct, sys
sys.stdout.buffer.write(struct.pack("<6144f", *((i % 251) / 16 - 7 for i in range(6144))))' >"$BATS_TEST_TMPDIR/w.raw"
    python3 "$ROOT/tests/examples/quantize.py" "$BUILD/libmxfp4q.so" >"$BATS_TEST_TMPDIR/python.out"
    "$MXFP4Q" quantize "$BATS_TEST_TMPDIR/w.raw" --shape 64x96 --dtype f32 --only rowwise_data --format raw -q -o - >"$BATS_TEST_TMPDIR/cli.out"
    [ -s "$BATS_TEST_TMPDIR/cli.out" ]
    cmp "$BATS_TEST_TMPDIR/python.out" "$BATS_TEST_TMPDIR/cli.out"
}
