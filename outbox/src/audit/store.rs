//! The SQL of `audit_log` and `audit_head`. Lines are inserted and read, and nothing else: the
//! services' MySQL user needs no more than that (docs/decisions/0021), and a test of `guarantees/`
//! reads these statements.

use chrono::{DateTime, Utc};
use futures::{Stream, TryStreamExt};
use sqlx::{MySqlConnection, MySqlExecutor, MySqlPool};

use super::chain::{Hash, Line, Link};

/// Locks the last line's place: until the transaction ends, nobody else writes a line. Returns it
/// with MySQL's time after the lock was had, so that lines and times have one order.
pub(super) async fn lock_head(
    connection: &mut MySqlConnection,
) -> Result<(Link, DateTime<Utc>), sqlx::Error> {
    let head = sqlx::query!(
        r#"SELECT audit_no, hash, SYSDATE(6) AS "now!: DateTime<Utc>" FROM audit_head WHERE head_no = 1 FOR UPDATE"#
    )
    .fetch_one(connection)
    .await?;
    let link = Link {
        audit_no: head.audit_no,
        hash: Hash::from_column(&head.hash)?,
    };
    Ok((link, head.now))
}

pub(super) async fn insert(connection: &mut MySqlConnection, line: &Line) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO audit_log (audit_no, at, actor, action, object, detail, previous_hash, hash)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        line.audit_no,
        line.at,
        line.actor,
        line.action,
        line.object,
        line.detail,
        line.previous_hash.0.as_slice(),
        line.hash.0.as_slice()
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn set_head(connection: &mut MySqlConnection, head: Link) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE audit_head SET audit_no = ?, hash = ? WHERE head_no = 1",
        head.audit_no,
        head.hash.0.as_slice()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The last line as the head has it; `None`: somebody removed the head.
pub(super) async fn head(on: impl MySqlExecutor<'_>) -> Result<Option<Link>, sqlx::Error> {
    let head = sqlx::query!("SELECT audit_no, hash FROM audit_head WHERE head_no = 1")
        .fetch_optional(on)
        .await?;
    head.map(|head| {
        Ok(Link {
            audit_no: head.audit_no,
            hash: Hash::from_column(&head.hash)?,
        })
    })
    .transpose()
}

/// The hash that a line carries.
pub(super) async fn hash_of(on: impl MySqlExecutor<'_>, audit_no: u64) -> Result<Option<Hash>, sqlx::Error> {
    let hash = sqlx::query_scalar!("SELECT hash FROM audit_log WHERE audit_no = ?", audit_no)
        .fetch_optional(on)
        .await?;
    hash.map(|hash| Hash::from_column(&hash)).transpose()
}

struct Row {
    audit_no: u64,
    at: DateTime<Utc>,
    actor: String,
    action: String,
    object: String,
    detail: Option<String>,
    previous_hash: Vec<u8>,
    hash: Vec<u8>,
}

impl TryFrom<Row> for Line {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            audit_no: row.audit_no,
            at: row.at,
            actor: row.actor,
            action: row.action,
            object: row.object,
            detail: row.detail,
            previous_hash: Hash::from_column(&row.previous_hash)?,
            hash: Hash::from_column(&row.hash)?,
        })
    }
}

/// Lines from `first` on, in the order of the chain, at most `limit`; one at a time in memory.
pub(super) fn lines_from(
    connection: &mut MySqlConnection,
    first: u64,
    limit: u32,
) -> impl Stream<Item = Result<Line, sqlx::Error>> {
    sqlx::query_as!(
        Row,
        r#"SELECT audit_no, at AS "at: DateTime<Utc>", actor, action, object, detail, previous_hash, hash
           FROM audit_log WHERE audit_no >= ? ORDER BY audit_no LIMIT ?"#,
        first,
        limit
    )
    .fetch(connection)
    .and_then(async |row| Line::try_from(row))
}

/// Which lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'w> {
    /// Only acts of this operator.
    pub actor: Option<&'w str>,
    /// Only this kind of act.
    pub action: Option<&'w str>,
    /// Only acts on this object.
    pub object: Option<&'w str>,
    /// Only lines before this one.
    pub before: Option<u64>,
}

/// The newest `limit` lines that match, newest first.
pub(super) async fn list(
    pool: &MySqlPool,
    wanted: &Wanted<'_>,
    limit: u32,
) -> Result<Vec<Line>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT audit_no, at AS "at: DateTime<Utc>", actor, action, object, detail, previous_hash, hash
           FROM audit_log
           WHERE audit_no < COALESCE(?, ~0) AND actor = COALESCE(?, actor) AND action = COALESCE(?, action)
               AND object = COALESCE(?, object)
           ORDER BY audit_no DESC LIMIT ?"#,
        wanted.before,
        wanted.actor,
        wanted.action,
        wanted.object,
        limit
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Line::try_from).collect()
}
