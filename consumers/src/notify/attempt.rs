//! One attempt at one delivery: send, then write down what became of it.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use headgate_domain::Error;
use headgate_domain::notifications::Sink;
use headgate_domain::notifications::store::{self, Failed, Taken};
use headgate_runtime::mysql::{Fault, fault};
use headgate_runtime::{crash_point, error_text};
use sqlx::{MySql, Transaction};

use super::Sender;
use super::outcome::Outcome;

/// How often it is tried to write an outcome down. After that the lease runs out, and the delivery is
/// sent again.
const RECORD_ATTEMPTS: u32 = 4;
/// Longest such try.
const RECORD_TIMEOUT: Duration = Duration::from_secs(2);
/// What an endpoint that is gone is said to have done.
const GONE: &str = "the endpoint answered 410 Gone: its subscription is disabled";

impl Sender {
    pub(super) async fn attempt(&self, taken: Taken) {
        let begun = Instant::now();
        let outcome = self.send(&taken).await;
        crash_point!("notify.after-send-before-record");
        let sink = taken.sink.kind();
        metrics::histogram!("headgate_delivery_seconds", "sink" => sink)
            .record(begun.elapsed().as_secs_f64());
        for attempt in 1..=RECORD_ATTEMPTS {
            match tokio::time::timeout(RECORD_TIMEOUT, self.record(&taken, &outcome)).await {
                Ok(Ok(name)) => {
                    metrics::counter!("headgate_deliveries_total", "sink" => sink, "outcome" => name)
                        .increment(1);
                    tell(&taken, &outcome, name);
                    return;
                }
                Ok(Err(error)) if attempt < RECORD_ATTEMPTS && is_contention(&error) => {}
                Ok(Err(error)) => {
                    let error = error_text(&error);
                    tracing::warn!(delivery_id = %taken.delivery_id, error, "what became of a delivery is not known: it is sent again");
                    return;
                }
                Err(_) => {}
            }
        }
        tracing::warn!(delivery_id = %taken.delivery_id, "what became of a delivery was not written down in time: it is sent again");
    }

    async fn send(&self, taken: &Taken) -> Outcome {
        let limit = self.settings.attempt_timeout();
        let sending = async {
            match (&taken.sink, &self.mails) {
                (Sink::Webhook(url), _) => self.webhooks.send(taken, url, self.clock.now()).await,
                (Sink::Email(address), Some(mails)) => mails.send(taken, address).await,
                (Sink::Email(_), None) => Outcome::failed("there is no mail server".to_owned()),
            }
        };
        tokio::time::timeout(limit, sending)
            .await
            .unwrap_or_else(|_| Outcome::failed("there was no answer in time".to_owned()))
    }

    /// Writes an outcome down, in a transaction of its own. Returns its name in metrics.
    async fn record(&self, taken: &Taken, outcome: &Outcome) -> Result<&'static str, Error> {
        let mut transaction = self.pool.begin().await?;
        match self.write(&mut transaction, taken, outcome).await {
            Ok(name) => {
                transaction.commit().await?;
                Ok(name)
            }
            Err(error) => {
                transaction.rollback().await?;
                Err(error)
            }
        }
    }

    async fn write(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        taken: &Taken,
        outcome: &Outcome,
    ) -> Result<&'static str, Error> {
        let now = self.clock.now();
        let patience = &self.settings.patience();
        let (error, retry_after) = match outcome {
            Outcome::Delivered => {
                let is_ours = store::delivered(transaction, taken, now).await?;
                return Ok(if is_ours { outcome.name() } else { OVERTAKEN });
            }
            Outcome::Failed { error, retry_after } => (error.as_str(), *retry_after),
            Outcome::Gone => (GONE, None),
        };
        let is_gone = *outcome == Outcome::Gone;
        let is_dead = is_gone || patience.is_last(taken.attempt);
        let asked = retry_after.map(|asked| patience.asked(asked));
        let pause = patience.pause(taken.attempt, rand::random());
        let failed = Failed {
            error,
            again_at: (!is_dead).then(|| later(now, asked.unwrap_or(pause))),
            asked_until: asked.map(|asked| later(now, asked)),
            is_gone,
            circuit_failures: patience.circuit_failures,
            rests_until: later(now, patience.circuit_rest),
        };
        let is_ours = store::failed(transaction, taken, &failed, now).await?;
        Ok(match (is_ours, is_dead) {
            (false, _) => OVERTAKEN,
            (true, true) if !is_gone => "dead",
            (true, _) => outcome.name(),
        })
    }
}

fn tell(taken: &Taken, outcome: &Outcome, name: &'static str) {
    let (delivery_id, attempt) = (taken.delivery_id, taken.attempt);
    match outcome {
        Outcome::Delivered => tracing::debug!(%delivery_id, attempt, "delivered"),
        Outcome::Gone => tracing::info!(%delivery_id, attempt, "the endpoint is gone"),
        Outcome::Failed { error, .. } => {
            tracing::info!(%delivery_id, attempt, error, outcome = name, "a delivery failed");
        }
    }
}

/// The lease ran out meanwhile: somebody else has sent it, or will.
const OVERTAKEN: &str = "overtaken";

fn later(now: DateTime<Utc>, pause: Duration) -> DateTime<Utc> {
    now + TimeDelta::from_std(pause).unwrap_or_default()
}

fn is_contention(error: &Error) -> bool {
    error
        .database()
        .is_some_and(|error| fault(error) == Fault::Contention)
}
