#!/usr/bin/env bash
# The metadata under .sqlx, from which builds without a database check their SQL.
#
#   deploy/ci/sqlx.sh prepare   write it anew
#   deploy/ci/sqlx.sh check     fail when it is not what a migrated database says
#
# Needs what the local stack exports: MYSQL_URL (with the right to create databases
# called headgate_...), MYSQL_SOCKET and HEADGATE_MYSQL_CLIENT.
set -euo pipefail
cd "$(dirname "$0")/../.."

verb=${1:-}
[[ $verb == prepare || $verb == check ]] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 64; }
: "${MYSQL_URL:?needs the address of a MySQL server, e.g. from .run/env}"
: "${MYSQL_SOCKET:?}" "${HEADGATE_MYSQL_CLIENT:?}"

database=headgate_sqlx_$$
export DATABASE_URL="${MYSQL_URL%/*}/$database"
fresh=$(mktemp -d)
drop() {
    rm -rf "$fresh"
    "$HEADGATE_MYSQL_CLIENT" --socket="$MYSQL_SOCKET" --user=root --password=headgate \
        -e "DROP DATABASE IF EXISTS $database" 2>/dev/null || true
}

# The command line is built from the committed metadata, and migrates.
# With the features of `make test`, so that what it has built serves here, too.
MYSQL_URL=$DATABASE_URL SQLX_OFFLINE=true cargo run --quiet --locked --bin headgate \
    --features headgate-runtime/crash-points -- migrate --create-database >&2
trap drop EXIT

# The macros do not run again unless their crate is compiled again.
grep -rlE 'query(_as|_scalar)?!' --include='*.rs' --exclude-dir=target . | xargs touch
SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$fresh" cargo check --quiet --locked --workspace --all-targets

# The metadata names the database it was made in, which says nothing.
sed -i -E 's/("table": ")headgate_[a-z0-9_]+\./\1headgate./' "$fresh"/query-*.json

if [[ $verb == prepare ]]; then
    mkdir -p .sqlx
    find .sqlx -name 'query-*.json' -delete
    cp "$fresh"/query-*.json .sqlx/
    echo ".sqlx holds $(find .sqlx -name 'query-*.json' | wc -l) statements" >&2
elif ! diff -rq "$fresh" .sqlx >&2; then
    echo "the metadata under .sqlx is stale: run deploy/ci/sqlx.sh prepare and commit it" >&2
    exit 1
fi
