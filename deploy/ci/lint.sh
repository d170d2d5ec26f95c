#!/usr/bin/env bash
# Everything that can be said of the code without running the product. All checks are
# made, whatever the first ones say; the names of those that failed come last.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit

home=${HEADGATE_STACK_HOME:-.stack}
folder=${HEADGATE_LINT_DIR:-.run-lint}
export SQLX_OFFLINE=true
failed=()

check() {
    local name=$1
    shift
    printf -- '-- %s\n' "$name"
    "$@" || failed+=("$name")
}

scripts() {
    local files
    mapfile -t files < <(git ls-files '*.sh'; echo .ci/run)
    "$home/shellcheck/bin/shellcheck" "${files[@]}"
}

python_tests() {
    (cd deploy/local && "$python" -m unittest discover -s tests -t .)
}

python_files() {
    local files
    mapfile -t files < <(git ls-files '*.py'; echo testkit/mutations/run)
    "$python" -m pyflakes "${files[@]}"
}

dependencies() {
    PATH="$home/cargo-deny/bin:$PATH" cargo deny --all-features --locked check bans licenses sources
}

stack() { python3 deploy/local/stack.py "$@"; }

stack system-deps || exit
stack install --for lint || exit
python=$(cd "$home" && pwd)/python-lint/bin/python

check "formatting" cargo fmt --all --check
check "shell scripts" scripts
check "python files" python_files
check "local stack, container files, names of machines" python_tests
check "licences, bans, sources of dependencies" dependencies
check "clippy" cargo clippy --workspace --all-targets --locked -- -D warnings
check "metadata of SQL" stack with --dir "$folder" --only mysql --profile test --fresh -- deploy/ci/sqlx.sh check

if [ "${#failed[@]}" -gt 0 ]; then
    printf 'failed: %s\n' "${failed[@]}" >&2
    exit 1
fi
echo "all checks passed"
