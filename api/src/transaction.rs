//! A change in a transaction of its own, tried again when it meets others.

use headgate_domain::{Change, Error};
use headgate_runtime::mysql::{Fault, fault};
use headgate_runtime::trace;
use sqlx::{MySql, MySqlPool, Transaction};

use crate::app::App;

/// How often a change that met a deadlock or a lock wait is tried in all.
const ATTEMPTS: u32 = 4;

/// What is done in a transaction.
pub trait Work: Sync {
    /// What comes of it.
    type Done: Send;

    /// Sees to what has to be there before the transaction begins.
    fn prepare(&self, _pool: &MySqlPool) -> impl Future<Output = Result<(), Error>> + Send {
        std::future::ready(Ok(()))
    }

    /// Does it. May be called again, in another transaction.
    fn run(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        change: Change<'_>,
    ) -> impl Future<Output = Result<Self::Done, Error>> + Send;
}

/// Runs `work` and commits. After any error the transaction is rolled back, and a new
/// one begins: MySQL has already ended it for some errors and not for others.
pub async fn commit<W: Work>(app: &App, work: &W) -> Result<W::Done, Error> {
    let traceparent = trace::traceparent();
    work.prepare(app.pool()).await?;
    let mut attempt = 1;
    loop {
        match once(app, traceparent.as_deref(), work).await {
            Ok(done) => {
                app.waker().wake();
                return Ok(done);
            }
            Err(error) if attempt < ATTEMPTS && is_contention(&error) => {
                metrics::counter!("headgate_mysql_deadlocks_total").increment(1);
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

fn is_contention(error: &Error) -> bool {
    error
        .database()
        .is_some_and(|error| fault(error) == Fault::Contention)
}

async fn once<W: Work>(app: &App, traceparent: Option<&str>, work: &W) -> Result<W::Done, Error> {
    let mut transaction = app.pool().begin().await?;
    let change = app.change(traceparent);
    match work.run(&mut transaction, change).await {
        Ok(done) => {
            transaction.commit().await?;
            Ok(done)
        }
        Err(error) => {
            if let Err(rollback) = transaction.rollback().await {
                tracing::debug!(error = %rollback, "the rollback failed; the connection is lost");
            }
            Err(error)
        }
    }
}
