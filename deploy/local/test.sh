#!/bin/sh
# All tests against servers of their own, which are gone afterwards.
#   test.sh [--full] [--build-only] [arguments of cargo nextest run]
set -eu
cd "$(dirname "$0")/../.."

profile=ci
build_only=
while [ $# -gt 0 ]; do
    case "$1" in
        --full) profile=full; HEADGATE_TEST_FULL=1; export HEADGATE_TEST_FULL ;;
        --build-only) build_only=yes ;;
        *) break ;;
    esac
    shift
done

stack="python3 deploy/local/stack.py"
# Tests kill processes at named points; release builds do not have these.
features="--features headgate-runtime/crash-points"
nextest="${HEADGATE_STACK_HOME:-.stack}/nextest/bin"

$stack system-deps
$stack install --for tests
PATH="$nextest:$PATH"
export PATH

# Built before the servers start: a compiler and a database compete for the same memory.
# shellcheck disable=SC2086
cargo build --workspace --bins $features
# shellcheck disable=SC2086
cargo nextest run --workspace $features --no-run
[ -z "$build_only" ] || exit 0

# shellcheck disable=SC2016,SC2086
exec $stack with --dir "${HEADGATE_TEST_DIR:-.run-test}" --profile test --fresh -- sh -c '
    cargo nextest run --workspace --profile "$0" "$@" || exit
    exec cargo test --workspace --doc --features headgate-runtime/crash-points
' "$profile" $features "$@"
