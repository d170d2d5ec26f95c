//! A connection that one task keeps between its transactions.

use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::{MySql, MySqlConnection, MySqlPool};

use super::{IDLE_CONNECTION_MAX, PING_AFTER_IDLE, within_of};

/// A task's own connection. The pool asks a connection that comes back whether it lives,
/// which is one more exchange with the server for every transaction; who works without a
/// pause keeps his instead. After a pause, an error or a timeout it goes back or is
/// closed, and the next piece of work takes another.
#[derive(Debug)]
pub struct KeptConnection {
    pool: MySqlPool,
    kept: Option<(PoolConnection<MySql>, Instant)>,
}

impl KeptConnection {
    /// Nothing is taken from the pool before the first piece of work.
    pub const fn new(pool: MySqlPool) -> Self {
        Self { pool, kept: None }
    }

    /// Runs `work` and gives up after `limit`; see [`super::within`].
    pub async fn within<T, E: From<sqlx::Error>>(
        &mut self,
        limit: Duration,
        work: impl AsyncFnOnce(&mut MySqlConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let kept = self.kept.take().and_then(|(connection, used_at)| {
            let rested = used_at.elapsed();
            if rested >= IDLE_CONNECTION_MAX {
                // The server has ended it, or is about to: the pool could only find that out.
                drop(connection.detach());
                return None;
            }
            (rested < PING_AFTER_IDLE).then_some(connection)
        });
        let (done, connection) = within_of(&self.pool, kept, limit, work).await?;
        self.kept = Some((connection, Instant::now()));
        Ok(done)
    }
}
