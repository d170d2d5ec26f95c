//! The clean stream: an installation of its own with the same claims, where what can be
//! applied is, once and in order, by one process that nothing befalls.

use std::time::Duration;

use headgate_guarantees::Installation;
use headgate_testkit::eventually;
use headgate_testkit::topic::{self, Record};
use sqlx::AssertSqlSafe;

use super::world::World;

const TIMEOUT: Duration = Duration::from_mins(2);
/// In an order that their keys allow.
const COPIED: [&str; 4] = ["partners", "campaigns", "campaign_stock", "claims"];

pub struct Clean {
    pub installation: Installation,
}

impl Clean {
    /// The campaigns and claims of another installation, as they are now.
    pub async fn copy(of: &Installation) -> Self {
        let installation = Installation::new("g10_clean")
            .await
            .with(super::OTHERS.0, super::OTHERS.1);
        let pool = installation.environment().pool();
        let from = format!("headgate_{}", of.environment().name());
        let remove = [
            "DELETE FROM api_keys".to_owned(),
            "DELETE FROM partners".to_owned(),
        ];
        let copies = COPIED.map(|table| format!("INSERT INTO {table} SELECT * FROM {from}.{table}"));
        for change in remove.into_iter().chain(copies) {
            sqlx::query(AssertSqlSafe(change))
                .execute(pool)
                .await
                .expect("the tables can be copied");
        }
        Self { installation }
    }

    /// Applies what of the stream must be applied in the end.
    pub async fn apply(self, world: &World) -> Self {
        let environment = self.installation.environment();
        let mut applied: Vec<usize> = world
            .plan
            .ends()
            .into_values()
            .flat_map(|(applied, _)| applied)
            .collect();
        applied.sort_unstable();
        let topic = format!("{}{}", environment.kafka_prefix(), super::operator::PUBLIC);
        let records: Vec<Record> = applied
            .iter()
            .map(|number| Record {
                topic: topic.clone(),
                ..world.sent[*number].record.clone()
            })
            .collect();
        topic::publish(environment.kafka_bootstrap(), &records).await;
        let mut consumers = self.installation.consumers().spawn().await;
        eventually("the clean stream to be applied", TIMEOUT, async || {
            let applied: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM inbox WHERE state = 'applied'")
                .fetch_one(environment.pool())
                .await
                .ok()?;
            (usize::try_from(applied) == Ok(records.len())).then_some(())
        })
        .await;
        consumers.stop().await;
        self
    }
}
