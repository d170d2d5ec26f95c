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
as_root() {
    MYSQL_PWD=headgate "$HEADGATE_MYSQL_CLIENT" --socket="$MYSQL_SOCKET" --user=root "$@"
}
drop() {
    rm -rf "$fresh"
    as_root -e "DROP DATABASE IF EXISTS $database" || true
}
trap drop EXIT

# By hand: our own `migrate` does not compile while its metadata is missing.
as_root -e "CREATE DATABASE $database; GRANT ALL ON $database.* TO headgate"
cat schemas/migrations/*.sql | as_root "$database"

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
