//! Looking into MySQL and Kafka, with queries of the tests' own.

use std::collections::BTreeMap;

use headgate_schemas::headers::RawHeaders;
use headgate_testkit::topic::{self, Record};
use sqlx::{AssertSqlSafe, MySqlPool, Row};

/// How many rows a query without parameters counts.
pub async fn count(pool: &MySqlPool, from: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(format!("SELECT COUNT(*) FROM {from}")))
        .fetch_one(pool)
        .await
        .unwrap_or_else(|error| panic!("{from} cannot be counted: {error}"))
}

/// Rows by the value of one column.
pub async fn count_by(pool: &MySqlPool, column: &str, from: &str) -> BTreeMap<String, i64> {
    let select = format!("SELECT CAST({column} AS CHAR) AS it, COUNT(*) FROM {from} GROUP BY 1");
    let rows: Vec<(String, i64)> = sqlx::query_as(AssertSqlSafe(select))
        .fetch_all(pool)
        .await
        .unwrap_or_else(|error| panic!("{from} cannot be counted: {error}"));
    rows.into_iter().collect()
}

/// `(remaining, issued)` of a campaign.
pub async fn stock(pool: &MySqlPool, campaign_no: u32) -> (u32, u32) {
    sqlx::query_as("SELECT remaining, issued FROM campaign_stock WHERE campaign_no = ?")
        .bind(campaign_no)
        .fetch_one(pool)
        .await
        .expect("a stock")
}

/// Event types in the outbox, with how many there are.
pub async fn outbox(pool: &MySqlPool) -> BTreeMap<String, i64> {
    count_by(
        pool,
        "SUBSTRING_INDEX(event_type, '.', -1)",
        "outbox WHERE raw_headers IS NULL",
    )
    .await
}

/// Writes the copies that the outbox holds for `topic` to Kafka and removes them.
pub async fn relay(pool: &MySqlPool, bootstrap: &str, topic: &str) -> usize {
    let rows = sqlx::query(
        "SELECT bucket, id, raw_key, raw_headers, payload FROM outbox WHERE topic = ? ORDER BY id",
    )
    .bind(topic)
    .fetch_all(pool)
    .await
    .expect("the outbox can be read");
    let records = rows.iter().map(|row| {
        let headers: Vec<u8> = row.get("raw_headers");
        Record {
            topic: topic.to_owned(),
            partition: 0,
            offset: 0,
            key: row.get("raw_key"),
            value: row.get("payload"),
            headers: RawHeaders::from_bytes(&headers).expect("stored headers").0,
        }
    });
    topic::write_all(bootstrap, &records.collect::<Vec<_>>()).await;
    for row in &rows {
        sqlx::query("DELETE FROM outbox WHERE bucket = ? AND id = ?")
            .bind(row.get::<u16, _>("bucket"))
            .bind(row.get::<u64, _>("id"))
            .execute(pool)
            .await
            .expect("the row is removed");
    }
    rows.len()
}
