//! Retention: days that are old enough are dropped with their partitions.

use chrono::{Days, NaiveDate};
use headgate_runtime::config::require;
use headgate_schemas::topics::CATALOGUE;
use sqlx::MySqlPool;

use crate::Error;
use crate::partitions::{DayTable, Turn, days, name_of};

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// For how many whole days rows are kept. Of the section `retention` of the configuration
/// of whoever runs the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How long a redelivered event is recognised. Longer than Kafka keeps records.
    pub inbox_days: u32,
    /// How long published events can be looked up, counted and fed again.
    pub archive_days: u32,
}

impl Retention {
    /// What is wrong with it.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let kept_by_kafka = CATALOGUE.iter().map(|topic| topic.retention.as_secs()).max();
        let outlives_kafka = u64::from(self.inbox_days) * SECONDS_PER_DAY > kept_by_kafka.unwrap_or_default();
        require(
            &mut faults,
            outlives_kafka,
            "retention.inbox_days must be more than the days that Kafka keeps records: a record that is \
             delivered again would be applied again",
        );
        require(
            &mut faults,
            self.archive_days > 0,
            "retention.archive_days must be at least 1",
        );
        faults
    }

    const fn days_kept(self, table: DayTable) -> u32 {
        match table {
            DayTable::Inbox => self.inbox_days,
            DayTable::OutboxArchive => self.archive_days,
        }
    }
}

/// Drops the days that `retention` no longer asks for, by MySQL's date. Returns what
/// was dropped.
pub async fn drop_before(
    pool: &MySqlPool,
    retention: Retention,
) -> Result<Vec<(DayTable, NaiveDate)>, Error> {
    let mut turn = Turn::take(pool).await?;
    let mut dropped = Vec::new();
    for table in DayTable::ALL {
        let first_kept = turn.today() - Days::new(u64::from(retention.days_kept(table)));
        let days = days(turn.connection(), table).await?;
        for day in days.into_iter().take_while(|day| *day < first_kept) {
            let statement = format!("ALTER TABLE {} DROP PARTITION {}", table.name(), name_of(day));
            turn.alter(&statement).await?;
            tracing::info!(table = table.name(), %day, "day dropped");
            dropped.push((table, day));
        }
    }
    turn.give_back().await?;
    Ok(dropped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inbox_that_forgets_before_kafka_is_refused() {
        let mut retention = Retention {
            inbox_days: 14,
            archive_days: 14,
        };
        assert!(retention.faults().is_empty());
        retention.inbox_days = 7;
        assert_eq!(retention.faults().len(), 1);
    }
}
