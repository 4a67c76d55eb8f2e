# helper.bash - what all bats files share
# shellcheck shell=bash

bats_require_minimum_version 1.5.0

ROOT=$(cd "${BATS_TEST_DIRNAME:?}/../.." && pwd)
MXFP4Q=${MXFP4Q:-$ROOT/build/mxfp4q}
export ROOT MXFP4Q
export TESTDATA=$ROOT/testdata
