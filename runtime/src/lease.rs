//! Leases in MySQL: one holder at a time for an outbox bucket or a background job,
//! with an epoch that fences a holder which slept past its time.

use std::time::Duration;

use sqlx::{Connection, MySqlConnection, MySqlExecutor, MySqlPool};

/// A lease that is held, as long as it is renewed in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What is leased.
    pub name: String,
    /// Grows with every change of holder.
    pub epoch: u64,
}

/// Takes the lease `name` for `holder` if it is free, run out, or already the
/// holder's own (then it is renewed at the same epoch). `None`: somebody else has it.
pub async fn acquire(
    pool: &MySqlPool,
    name: &str,
    holder: &str,
    duration: Duration,
) -> Result<Option<Lease>, sqlx::Error> {
    acquire_on(&mut *pool.acquire().await?, name, holder, duration).await
}

/// [`acquire`] on a connection of the caller's.
pub async fn acquire_on(
    connection: &mut MySqlConnection,
    name: &str,
    holder: &str,
    duration: Duration,
) -> Result<Option<Lease>, sqlx::Error> {
    let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    let known = sqlx::query("SELECT 1 FROM leases WHERE name = ?")
        .bind(name)
        .fetch_optional(&mut *connection)
        .await?;
    if known.is_none() {
        sqlx::query("INSERT IGNORE INTO leases (name, expires_at) VALUES (?, UTC_TIMESTAMP(6))")
            .bind(name)
            .execute(&mut *connection)
            .await?;
    }
    let mut transaction = connection.begin().await?;
    // A row that is locked is in use by a holder that fences its work: it is not free,
    // and waiting for it would keep the caller from the leases that are.
    let epoch: Option<u64> = sqlx::query_scalar(
        "SELECT CAST(epoch + IF(holder <=> ? AND expires_at > UTC_TIMESTAMP(6), 0, 1) AS UNSIGNED) FROM leases
         WHERE name = ? AND (holder IS NULL OR holder = ? OR expires_at <= UTC_TIMESTAMP(6))
         FOR UPDATE SKIP LOCKED",
    )
    .bind(holder)
    .bind(name)
    .bind(holder)
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(epoch) = epoch else {
        transaction.rollback().await?;
        return Ok(None);
    };
    sqlx::query(
        "UPDATE leases SET epoch = ?, holder = ?, expires_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND WHERE name = ?",
    )
    .bind(epoch)
    .bind(holder)
    .bind(micros)
    .bind(name)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(Some(Lease {
        name: name.to_owned(),
        epoch,
    }))
}

/// Prolongs a lease. False: it was lost.
pub async fn renew(pool: &MySqlPool, lease: &Lease, duration: Duration) -> Result<bool, sqlx::Error> {
    let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    let renewed = sqlx::query(
        "UPDATE leases SET expires_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND WHERE name = ? AND epoch = ?",
    )
    .bind(micros)
    .bind(&lease.name)
    .bind(lease.epoch)
    .execute(pool)
    .await?;
    Ok(renewed.rows_affected() == 1)
}

/// Locks the lease's row for the rest of the transaction and says whether it is
/// still ours. Whoever wants to take the lease over waits for the transaction.
pub async fn fence(connection: &mut MySqlConnection, lease: &Lease) -> Result<bool, sqlx::Error> {
    Ok(lock(connection, &lease.name).await? == Some(lease.epoch))
}

/// Locks the row of the lease `name`, whoever holds it, for the rest of the transaction:
/// its holder marks nothing meanwhile. Returns its epoch; `None` if nobody ever held it.
pub async fn lock(connection: &mut MySqlConnection, name: &str) -> Result<Option<u64>, sqlx::Error> {
    sqlx::query_scalar("SELECT epoch FROM leases WHERE name = ? FOR UPDATE")
        .bind(name)
        .fetch_optional(connection)
        .await
}

/// Gives a lease back, so that the next holder need not wait for its end.
pub async fn release(on: impl MySqlExecutor<'_>, lease: &Lease) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE leases SET holder = NULL, expires_at = UTC_TIMESTAMP(6) WHERE name = ? AND epoch = ?",
    )
    .bind(&lease.name)
    .bind(lease.epoch)
    .execute(on)
    .await?;
    Ok(())
}

/// How a lease stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The lease.
    pub lease: Lease,
    /// Whose it is now. `None`: it is free, or has run out.
    pub holder: Option<String>,
}

/// Prolongs all leases of `holder` that have not run out. See [`survey`] for which.
pub async fn renew_all(
    on: impl MySqlExecutor<'_>,
    holder: &str,
    duration: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE leases SET expires_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
         WHERE holder = ? AND expires_at > UTC_TIMESTAMP(6)",
        i64::try_from(duration.as_micros()).unwrap_or(i64::MAX),
        holder
    )
    .execute(on)
    .await?;
    Ok(())
}

/// How all leases stand that anybody ever held and whose names begin with `prefix`.
pub async fn survey(on: impl MySqlExecutor<'_>, prefix: &str) -> Result<Vec<Standing>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT name, epoch, IF(expires_at > UTC_TIMESTAMP(6), holder, NULL) AS "holder: String"
           FROM leases WHERE name LIKE CONCAT(?, '%') ORDER BY name"#,
        prefix
    )
    .fetch_all(on)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Standing {
            lease: Lease {
                name: row.name,
                epoch: row.epoch,
            },
            holder: row.holder,
        })
        .collect())
}
