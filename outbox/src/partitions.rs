//! Day partitions of the inbox and of the archive: made ahead, so that old days can be
//! dropped whole (see [`crate::retention`]) instead of being deleted row by row.

use chrono::{Days, NaiveDate};
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, MySqlPool};

use crate::Error;

/// A table that is partitioned by day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DayTable {
    /// What the consumer groups have done, by the day of the event's own id.
    Inbox,
    /// What was published, by the day of publishing.
    OutboxArchive,
}

impl DayTable {
    /// Every table that is partitioned by day.
    pub const ALL: [Self; 2] = [Self::Inbox, Self::OutboxArchive];

    /// Its name in MySQL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inbox => "inbox",
            Self::OutboxArchive => "outbox_archive",
        }
    }
}

/// How many days before today have a partition of their own in a new installation. The
/// oldest partition also holds whatever is older.
const DAYS_BACK: u64 = 1;
/// Most days ahead that can be asked for.
const DAYS_AHEAD_MAX: u32 = 400;
/// Longest wait for whoever else changes partitions, in seconds.
const TURN_TIMEOUT_S: u32 = 30;
/// Longest wait for open transactions on the table. Everybody else who needs the table
/// queues up behind an ALTER that waits, so it gives up early and tries again.
const ALTER_WAIT_TIMEOUT_S: u32 = 3;
/// How often an ALTER that had to give up is tried again.
const ALTER_ATTEMPTS_MAX: u32 = 5;

/// Makes the missing day partitions from yesterday to `days_ahead` days from today, by
/// MySQL's date. Doing it again changes nothing; several processes may do it at once.
pub async fn ensure(pool: &MySqlPool, days_ahead: u32) -> Result<(), Error> {
    let mut turn = Turn::take(pool).await?;
    for table in DayTable::ALL {
        let days = days(turn.connection(), table).await?;
        let missing = missing(days.last().copied(), turn.today(), days_ahead.min(DAYS_AHEAD_MAX));
        if !missing.is_empty() {
            turn.alter(&reorganize(table, &missing)).await?;
            tracing::info!(
                table = table.name(),
                partitions = missing.len(),
                "day partitions made"
            );
        }
    }
    turn.give_back().await
}

/// The oldest day of `table` that nothing was dropped of: whoever deduplicates by the
/// inbox has to refuse what is older. `None`: there are no day partitions yet.
pub async fn oldest_day(pool: &MySqlPool, table: DayTable) -> Result<Option<NaiveDate>, Error> {
    let mut connection = pool.acquire().await?;
    Ok(days(&mut connection, table).await?.first().copied())
}

/// The days that have a partition, ascending.
pub(crate) async fn days(
    connection: &mut MySqlConnection,
    table: DayTable,
) -> Result<Vec<NaiveDate>, sqlx::Error> {
    let names = sqlx::query_scalar!(
        r#"SELECT CAST(PARTITION_NAME AS CHAR) AS "name!: String" FROM information_schema.PARTITIONS
           WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? AND PARTITION_NAME IS NOT NULL
           ORDER BY PARTITION_ORDINAL_POSITION"#,
        table.name()
    )
    .fetch_all(connection)
    .await?;
    Ok(names.iter().filter_map(|name| day_of(name)).collect())
}

/// One process's turn to change partitions: a session of its own that holds MySQL's
/// named lock. When it is dropped half-way its connection closes, and the lock is free.
pub(crate) struct Turn {
    connection: MySqlConnection,
    today: NaiveDate,
}

impl Turn {
    pub(crate) async fn take(pool: &MySqlPool) -> Result<Self, Error> {
        let mut connection = pool.acquire().await?.detach();
        let taken = sqlx::query_scalar!(
            r#"SELECT GET_LOCK(CONCAT('headgate-partitions-', CRC32(DATABASE())), ?) AS "taken: i64""#,
            TURN_TIMEOUT_S
        )
        .fetch_one(&mut connection)
        .await?;
        if taken != Some(1) {
            return Err(Error::Busy {
                seconds: TURN_TIMEOUT_S,
            });
        }
        let limit = format!("SET SESSION lock_wait_timeout = {ALTER_WAIT_TIMEOUT_S}");
        sqlx::raw_sql(AssertSqlSafe(limit))
            .execute(&mut connection)
            .await?;
        let today = sqlx::query_scalar!(r#"SELECT UTC_DATE() AS "today!: NaiveDate""#)
            .fetch_one(&mut connection)
            .await?;
        Ok(Self { connection, today })
    }

    pub(crate) fn connection(&mut self) -> &mut MySqlConnection {
        &mut self.connection
    }

    pub(crate) const fn today(&self) -> NaiveDate {
        self.today
    }

    /// Runs an ALTER TABLE, again when open transactions kept it from its lock.
    pub(crate) async fn alter(&mut self, statement: &str) -> Result<(), Error> {
        let mut attempt = 1;
        loop {
            let altered = sqlx::raw_sql(AssertSqlSafe(statement))
                .execute(&mut self.connection)
                .await;
            match altered {
                Ok(_) => return Ok(()),
                Err(error) if attempt < ALTER_ATTEMPTS_MAX && is_contention(&error) => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(crate) async fn give_back(self) -> Result<(), Error> {
        Ok(self.connection.close().await?)
    }
}

fn is_contention(error: &sqlx::Error) -> bool {
    headgate_runtime::mysql::fault(error) == headgate_runtime::mysql::Fault::Contention
}

/// Days that need a partition, ascending, all behind the newest that has one.
fn missing(newest: Option<NaiveDate>, today: NaiveDate, days_ahead: u32) -> Vec<NaiveDate> {
    let yesterday = today - Days::new(DAYS_BACK);
    let first = newest.map_or(yesterday, |newest| yesterday.max(newest + Days::new(1)));
    let last = today + Days::new(u64::from(days_ahead));
    first.iter_days().take_while(|day| *day <= last).collect()
}

fn reorganize(table: DayTable, days: &[NaiveDate]) -> String {
    let mut partitions: Vec<_> = days
        .iter()
        .map(|day| {
            let below = *day + Days::new(1);
            format!("PARTITION {} VALUES LESS THAN ('{below}')", name_of(*day))
        })
        .collect();
    partitions.push("PARTITION pmax VALUES LESS THAN (MAXVALUE)".to_owned());
    format!(
        "ALTER TABLE {} REORGANIZE PARTITION pmax INTO ({})",
        table.name(),
        partitions.join(", ")
    )
}

/// Name of a day's partition: `p20261121`.
pub(crate) fn name_of(day: NaiveDate) -> String {
    day.format("p%Y%m%d").to_string()
}

fn day_of(name: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(name, "p%Y%m%d").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, day).expect("a day")
    }

    #[test]
    fn a_new_installation_begins_yesterday() {
        assert_eq!(missing(None, day(21), 2), [day(20), day(21), day(22), day(23)]);
    }

    #[test]
    fn only_what_lies_behind_the_newest_is_made() {
        assert_eq!(missing(Some(day(22)), day(21), 2), [day(23)]);
        assert_eq!(missing(Some(day(23)), day(21), 2), []);
    }

    #[test]
    fn days_that_were_slept_through_share_the_next_partition() {
        assert_eq!(missing(Some(day(3)), day(21), 0), [day(20), day(21)]);
    }

    #[test]
    fn a_name_is_read_back_as_its_day() {
        assert_eq!(name_of(day(7)), "p20261107");
        assert_eq!(day_of("p20261107"), Some(day(7)));
        assert_eq!(day_of("pmax"), None);
    }
}
