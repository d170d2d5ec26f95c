//! The guarantees as they can be seen from outside: what MySQL, Redis and Kafka hold,
//! and what clients were told. Every check returns sentences about what is wrong.

pub mod admission;
mod avro;
pub mod campaign;
pub mod events;
pub mod evidence;
pub mod letters;
pub mod order;
#[cfg(test)]
mod planted;
pub mod promises;
pub mod published;

use std::time::Duration;

use uuid::Uuid;

use crate::client::Ledger;
use crate::{Environment, eventually};
pub use evidence::Evidence;

/// Violations that a failure repeats.
const SHOWN_MAX: usize = 20;

/// Reads the servers and checks everything that holds at rest, whatever happened
/// before: call it when the pipeline has settled.
pub async fn violations(environment: &Environment, campaign: Uuid, ledger: &Ledger) -> Vec<String> {
    let evidence = Evidence::collect(environment).await;
    let mut found = Vec::new();
    found.extend(campaign::quota(&evidence));
    found.extend(promises::kept(&evidence, campaign, ledger));
    found.extend(campaign::nothing_leaked(&evidence, campaign, ledger));
    found.extend(campaign::admission_agrees(&evidence));
    found.extend(order::sequences(&evidence));
    found.extend(order::arrival(&evidence, ledger));
    found.extend(events::complete(&evidence));
    found.extend(events::truthful(&evidence));
    found.extend(published::at_least_once(&evidence));
    found.extend(published::in_order(&evidence));
    found.extend(letters::each_event_once(&evidence));
    found.extend(letters::accounted(&evidence));
    found
}

/// Waits until the pipeline is at rest, then requires that nothing is violated.
pub async fn assert_all_hold(environment: &Environment, campaign: Uuid, ledger: &Ledger, limit: Duration) {
    settle(environment, limit).await;
    assert_none(&violations(environment, campaign, ledger).await);
}

/// Fails with the first violations.
pub fn assert_none(violations: &[String]) {
    assert!(
        violations.is_empty(),
        "{} violations:\n  {}",
        violations.len(),
        violations[..violations.len().min(SHOWN_MAX)].join("\n  ")
    );
}

const UNSETTLED: &str = "SELECT (SELECT COUNT(*) FROM outbox) + (SELECT COUNT(*) FROM claims c
    WHERE NOT EXISTS (SELECT 1 FROM coupons p WHERE p.coupon_id = c.claim_id)
      AND NOT EXISTS (SELECT 1 FROM dead_letters d WHERE d.record_key = CAST(BIN_TO_UUID(c.claim_id) AS BINARY)
                      AND d.state IN ('open', 'quarantined')))
    + (SELECT COUNT(*) FROM dead_letters WHERE state = 'replaying')";

/// Waits until nothing is under way: the outbox is empty, every claim is issued or lies
/// with an operator, no reservation is pending and no group has records left to read.
pub async fn settle(environment: &Environment, limit: Duration) {
    let campaigns = "SELECT campaign_id FROM campaigns";
    eventually("the pipeline to settle", limit, async || {
        let unsettled: i64 = sqlx::query_scalar(UNSETTLED)
            .fetch_one(environment.pool())
            .await
            .ok()?;
        if unsettled > 0 {
            return None;
        }
        let campaigns: Vec<Uuid> = sqlx::query_scalar(campaigns)
            .fetch_all(environment.pool())
            .await
            .ok()?;
        let pending = admission::pending(environment, &campaigns).await?;
        (pending == 0).then_some(())
    })
    .await;
}
