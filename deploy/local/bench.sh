#!/bin/sh
# The measurements, on servers of their own with the demonstration's sizes.
set -eu
cd "$(dirname "$0")/../.."

stack="python3 deploy/local/stack.py"
$stack system-deps
$stack install --for run
# Only a reference needs what is beyond that: without it the row says so.
$stack install --for bench || echo "going on without it" >&2
cargo build --release --workspace --bins
exec $stack with --dir "${HEADGATE_BENCH_DIR:-.run-bench}" --profile run --fresh -- \
    target/release/headgate-bench "$@"
