//! Counting campaigns.

use chrono::{DateTime, Utc};
use headgate_runtime::mysql;
use headgate_schemas::ids::CampaignId;
use sqlx::{MySqlConnection, MySqlPool};

use super::Rows;

/// A campaign to count.
pub(super) struct Named {
    pub campaign_no: u32,
    pub campaign_id: CampaignId,
    pub name: String,
}

/// MySQL's time.
pub(super) async fn now(pool: &MySqlPool) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT UTC_TIMESTAMP(6) AS "now!: DateTime<Utc>""#)
        .fetch_one(pool)
        .await
}

/// The campaigns after `after`, in order of registration.
pub(super) async fn page(pool: &MySqlPool, after: u32, limit: u32) -> Result<Vec<Named>, sqlx::Error> {
    sqlx::query_as!(
        Named,
        r#"SELECT campaign_no, campaign_id AS "campaign_id: CampaignId", name
           FROM campaigns WHERE campaign_no > ? ORDER BY campaign_no LIMIT ?"#,
        after,
        limit
    )
    .fetch_all(pool)
    .await
}

/// Campaigns that are worth watching: not ended, or ended within the last day.
pub(super) async fn running(pool: &MySqlPool, limit: u32) -> Result<Vec<Named>, sqlx::Error> {
    sqlx::query_as!(
        Named,
        r#"SELECT campaign_no, campaign_id AS "campaign_id: CampaignId", name FROM campaigns
           WHERE state <> 'ended' OR ended_at > UTC_TIMESTAMP(6) - INTERVAL 1 DAY
           ORDER BY campaign_no DESC LIMIT ?"#,
        limit
    )
    .fetch_all(pool)
    .await
}

/// Whether nothing waits to be published.
pub(super) async fn outbox_is_empty(pool: &MySqlPool) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT NOT EXISTS (SELECT 1 FROM outbox) AND NOT EXISTS (SELECT 1 FROM outbox_blocked)
               AS "is_empty!: bool""#
    )
    .fetch_one(pool)
    .await
}

/// Counts one campaign in one snapshot, so that the numbers belong together.
pub(super) async fn count(
    pool: &MySqlPool,
    campaign_no: u32,
    settled_before: DateTime<Utc>,
) -> Result<Rows, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let mut snapshot = mysql::snapshot(&mut connection).await?;
    let counted = count_in(&mut snapshot, campaign_no, settled_before).await;
    snapshot.rollback().await?;
    counted
}

async fn count_in(
    snapshot: &mut MySqlConnection,
    campaign_no: u32,
    settled_before: DateTime<Utc>,
) -> Result<Rows, sqlx::Error> {
    let stock = sqlx::query!(
        "SELECT g.quota, s.remaining, s.issued FROM campaigns g JOIN campaign_stock s USING (campaign_no)
         WHERE g.campaign_no = ?",
        campaign_no
    )
    .fetch_one(&mut *snapshot)
    .await?;
    let claims = sqlx::query!(
        r#"SELECT COUNT(*) AS claims, COUNT(DISTINCT c.ticket) AS tickets,
               CAST(COALESCE(MAX(c.ticket), 0) AS UNSIGNED) AS "ticket_highest!: u64",
               COUNT(p.coupon_id) AS coupons,
               COUNT(IF(p.ticket <> c.ticket OR p.user_id <> c.user_id OR p.campaign_no <> c.campaign_no, 1, NULL))
                   AS coupons_strange
           FROM claims c LEFT JOIN coupons p ON p.coupon_id = c.claim_id
           WHERE c.campaign_no = ?"#,
        campaign_no
    )
    .fetch_one(&mut *snapshot)
    .await?;
    let released = sqlx::query_scalar!(
        "SELECT COUNT(*) FROM released_claims WHERE campaign_no = ?",
        campaign_no
    )
    .fetch_one(&mut *snapshot)
    .await?;
    let waiting = count_waiting(snapshot, campaign_no, settled_before).await?;
    Ok(Rows {
        quota: stock.quota.into(),
        stock_remaining: stock.remaining.into(),
        stock_issued: stock.issued.into(),
        claims: claims.claims.unsigned_abs(),
        tickets: claims.tickets.unsigned_abs(),
        ticket_highest: claims.ticket_highest,
        coupons: claims.coupons.unsigned_abs(),
        coupons_strange: claims.coupons_strange.unsigned_abs(),
        released: released.unsigned_abs(),
        letters: waiting.letters,
        stuck: waiting.stuck,
    })
}

struct Waiting {
    letters: u64,
    stuck: u64,
}

/// Claims without a coupon: those with an unsettled letter, and those with neither that
/// were admitted before `settled_before`. A letter names its claim by the record's key.
async fn count_waiting(
    snapshot: &mut MySqlConnection,
    campaign_no: u32,
    settled_before: DateTime<Utc>,
) -> Result<Waiting, sqlx::Error> {
    let waiting = sqlx::query!(
        r#"WITH letters AS (
               SELECT DISTINCT UUID_TO_BIN(CONVERT(d.record_key USING latin1)) AS claim_id
               FROM dead_letters d
               WHERE d.state IN ('open', 'replaying', 'archived', 'quarantined')
                   AND OCTET_LENGTH(d.record_key) = 36 AND IS_UUID(CONVERT(d.record_key USING latin1))
           )
           SELECT COUNT(l.claim_id) AS letters,
               COUNT(IF(l.claim_id IS NULL AND c.admitted_at < ?, 1, NULL)) AS stuck
           FROM claims c
           LEFT JOIN coupons p ON p.coupon_id = c.claim_id
           LEFT JOIN letters l ON l.claim_id = c.claim_id
           WHERE c.campaign_no = ? AND p.coupon_id IS NULL"#,
        settled_before,
        campaign_no
    )
    .fetch_one(snapshot)
    .await?;
    Ok(Waiting {
        letters: waiting.letters.unsigned_abs(),
        stuck: waiting.stuck.unsigned_abs(),
    })
}
