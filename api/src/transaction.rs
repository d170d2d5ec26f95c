//! A change in a transaction of its own, tried again when it meets others.

use headgate_domain::{Change, Error};
use headgate_runtime::mysql::{Fault, fault};
use headgate_runtime::trace;
use sqlx::{MySql, Transaction};

use crate::app::App;

/// How often a change that met a deadlock or a lock wait is tried in all.
const ATTEMPTS: u32 = 4;

/// What is done in a transaction.
pub trait Work: Sync {
    /// What comes of it.
    type Done: Send;

    /// What it found and holds from before the transaction begins until after it has ended.
    type Prepared: Send + Sync;

    /// Sees to what has to be there before the transaction begins.
    fn prepare(&self, app: &App) -> impl Future<Output = Result<Self::Prepared, Error>> + Send;

    /// Does it. May be called again, in another transaction.
    fn run(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        change: Change<'_>,
        prepared: &Self::Prepared,
    ) -> impl Future<Output = Result<Self::Done, Error>> + Send;

    /// Gives back what it held, before the request is answered.
    fn finish(&self, prepared: Self::Prepared) -> impl Future<Output = ()> + Send {
        drop(prepared);
        std::future::ready(())
    }
}

/// Runs `work` and commits. After any error the transaction is rolled back, and a new
/// one begins: MySQL has already ended it for some errors and not for others.
pub async fn commit<W: Work>(app: &App, work: &W) -> Result<W::Done, Error> {
    let prepared = work.prepare(app).await?;
    let done = attempt(app, work, &prepared).await;
    work.finish(prepared).await;
    done
}

async fn attempt<W: Work>(app: &App, work: &W, prepared: &W::Prepared) -> Result<W::Done, Error> {
    let traceparent = trace::traceparent();
    let mut attempt = 1;
    loop {
        match once(app, traceparent.as_deref(), work, prepared).await {
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

async fn once<W: Work>(
    app: &App,
    traceparent: Option<&str>,
    work: &W,
    prepared: &W::Prepared,
) -> Result<W::Done, Error> {
    let mut transaction = app.pool().begin().await?;
    let change = app.change(traceparent);
    match work.run(&mut transaction, change, prepared).await {
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
