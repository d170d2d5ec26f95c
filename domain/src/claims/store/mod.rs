//! All SQL on `claims` and `released_claims`.

pub mod epochs;
pub mod last;

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use headgate_outbox::multirow;
use headgate_outbox::write::Predecessor;
use headgate_schemas::ids::{CampaignId, ClaimId};
use headgate_schemas::names::UserId;
use headgate_schemas::quantities::Ticket;
use sqlx::mysql::MySqlRow;
use sqlx::{MySql, MySqlExecutor, MySqlPool, QueryBuilder, Row, Transaction};

use super::admit::Gate;
use super::issue::Issuable;
use super::{Claim, ClaimState, Reservation};

/// Quota and state of campaigns, locked FOR SHARE.
pub(in crate::claims) async fn lock_gates_for_share(
    transaction: &mut Transaction<'_, MySql>,
    campaigns: &[u32],
) -> Result<HashMap<u32, Gate>, sqlx::Error> {
    let mut select = QueryBuilder::new(
        "SELECT campaign_no, quota, admission_epoch, state IN ('scheduled', 'open') AS passable, admission_source = 'redis' AS by_redis FROM campaigns WHERE campaign_no IN (",
    );
    push_list(&mut select, campaigns);
    select.push(") FOR SHARE");
    let rows = select.build().fetch_all(&mut **transaction).await?;
    rows.iter()
        .map(|row| {
            let passable: i64 = row.try_get("passable")?;
            let by_redis: i64 = row.try_get("by_redis")?;
            Ok((
                row.try_get("campaign_no")?,
                Gate {
                    quota: row.try_get("quota")?,
                    passable: passable == 1,
                    epoch: row.try_get("admission_epoch")?,
                    by_redis: by_redis == 1,
                },
            ))
        })
        .collect()
}

/// Inserts claims, each with the outbox id of its first event.
pub(in crate::claims) async fn insert(
    transaction: &mut Transaction<'_, MySql>,
    claims: &[(&Reservation, u64)],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    for claims in multirow::pieces(claims) {
        insert_piece(claims, now)
            .build()
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

fn insert_piece(claims: &[(&Reservation, u64)], now: DateTime<Utc>) -> QueryBuilder<MySql> {
    let mut insert = QueryBuilder::new(
        "INSERT INTO claims (campaign_no, ticket, claim_id, user_id, admission_epoch, sequence, admitted_at,
             last_outbox_id) ",
    );
    insert.push_values(claims, |mut values, (claim, outbox_id)| {
        values
            .push_bind(claim.campaign_no)
            .push_bind(claim.ticket.get())
            .push_bind(claim.claim_id)
            .push_bind(claim.user_id.as_str().as_bytes())
            .push_bind(claim.epoch.get())
            .push_bind(claim.sequence)
            .push_bind(now)
            .push_bind(*outbox_id);
    });
    insert
}

/// Reads claims of every state; the condition that follows says which.
const SELECT_CLAIMS: &str = "SELECT c.claim_id, g.campaign_id, g.partner_no, c.user_id, c.ticket, c.sequence, c.admitted_at,
        k.coupon_id IS NOT NULL AS issued, NULL AS release_reason
    FROM claims c JOIN campaigns g USING (campaign_no) LEFT JOIN coupons k ON k.coupon_id = c.claim_id WHERE ";

fn claim(row: &MySqlRow) -> Result<Claim, sqlx::Error> {
    let issued: i64 = row.try_get("issued")?;
    let release_reason: Option<String> = row.try_get("release_reason")?;
    let state = match (&release_reason, issued) {
        (Some(_), _) => ClaimState::Released,
        (None, 1) => ClaimState::Issued,
        (None, _) => ClaimState::Admitted,
    };
    Ok(Claim {
        claim_id: row.try_get("claim_id")?,
        campaign_id: row.try_get("campaign_id")?,
        partner_no: row.try_get("partner_no")?,
        user_id: UserId::from_stored(row.try_get("user_id")?),
        ticket: row.try_get("ticket")?,
        sequence: row.try_get("sequence")?,
        state,
        admitted_at: row.try_get("admitted_at")?,
        release_reason,
    })
}

/// The claim of this id, whatever its state.
pub async fn find(pool: &MySqlPool, claim_id: ClaimId) -> Result<Option<Claim>, sqlx::Error> {
    let mut select = QueryBuilder::new(SELECT_CLAIMS);
    select.push("c.claim_id = ").push_bind(claim_id);
    if let Some(row) = select.build().fetch_optional(pool).await? {
        return claim(&row).map(Some);
    }
    let row = sqlx::query(
        "SELECT r.claim_id, g.campaign_id, g.partner_no, r.user_id, r.ticket, r.sequence, r.admitted_at,
             0 AS issued, r.reason AS release_reason
         FROM released_claims r JOIN campaigns g USING (campaign_no) WHERE r.claim_id = ?",
    )
    .bind(claim_id)
    .fetch_optional(pool)
    .await?;
    row.as_ref().map(claim).transpose()
}

/// The user's claim in a campaign, unless it was released.
pub async fn find_of_user(
    on: impl MySqlExecutor<'_>,
    campaign_no: u32,
    user_id: &UserId,
) -> Result<Option<Claim>, sqlx::Error> {
    let mut select = QueryBuilder::new(SELECT_CLAIMS);
    select.push("c.campaign_no = ").push_bind(campaign_no);
    select
        .push(" AND c.user_id = ")
        .push_bind(user_id.as_str().as_bytes());
    let row = select.build().fetch_optional(on).await?;
    row.as_ref().map(claim).transpose()
}

/// The claim that holds a ticket, unless it was released.
pub async fn find_of_ticket(
    pool: &MySqlPool,
    campaign_no: u32,
    ticket: Ticket,
) -> Result<Option<Claim>, sqlx::Error> {
    let mut select = QueryBuilder::new(SELECT_CLAIMS);
    select.push("c.campaign_no = ").push_bind(campaign_no);
    select.push(" AND c.ticket = ").push_bind(ticket);
    let row = select.build().fetch_optional(pool).await?;
    row.as_ref().map(claim).transpose()
}

/// Which of these users have a claim in the campaign.
pub(in crate::claims) async fn of_users(
    transaction: &mut Transaction<'_, MySql>,
    campaign_no: u32,
    users: &[UserId],
) -> Result<Vec<Claim>, sqlx::Error> {
    let mut select = QueryBuilder::new(SELECT_CLAIMS);
    select
        .push("c.campaign_no = ")
        .push_bind(campaign_no)
        .push(" AND c.user_id IN (");
    let mut list = select.separated(", ");
    for user in users {
        list.push_bind(user.as_str().as_bytes());
    }
    select.push(")");
    let rows = select.build().fetch_all(&mut **transaction).await?;
    rows.iter().map(claim).collect()
}

/// What the admission state in Redis is rebuilt and audited from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The number.
    pub ticket: Ticket,
    /// Who holds it.
    pub user_id: UserId,
    /// By which claim.
    pub claim_id: ClaimId,
    /// Its sequence.
    pub sequence: u64,
}

/// Holders of the tickets above `after`, in order, at most `limit`.
pub async fn holders(
    pool: &MySqlPool,
    campaign_no: u32,
    after: u32,
    limit: u32,
) -> Result<Vec<Holder>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT ticket AS "ticket: Ticket", user_id, claim_id AS "claim_id: ClaimId", sequence
           FROM claims WHERE campaign_no = ? AND ticket > ? ORDER BY ticket LIMIT ?"#,
        campaign_no,
        after,
        limit
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Holder {
            ticket: row.ticket,
            user_id: UserId::from_stored(row.user_id),
            claim_id: row.claim_id,
            sequence: row.sequence,
        })
        .collect())
}

/// Which of these tickets are held, and by which claim.
pub async fn holders_of(
    pool: &MySqlPool,
    campaign_no: u32,
    tickets: &[u32],
) -> Result<HashMap<u32, ClaimId>, sqlx::Error> {
    let mut select = QueryBuilder::new("SELECT ticket, claim_id FROM claims WHERE campaign_no = ");
    select.push_bind(campaign_no).push(" AND ticket IN (");
    push_list(&mut select, tickets);
    select.push(")");
    let rows = select.build().fetch_all(pool).await?;
    rows.iter()
        .map(|row| Ok((row.try_get("ticket")?, row.try_get("claim_id")?)))
        .collect()
}

/// Which of these claims exist, with the tickets they hold.
pub async fn tickets_of(
    pool: &MySqlPool,
    claims: &[ClaimId],
) -> Result<HashMap<ClaimId, (Ticket, u64)>, sqlx::Error> {
    let mut select = QueryBuilder::new("SELECT claim_id, ticket, sequence FROM claims WHERE claim_id IN (");
    push_list(&mut select, claims);
    select.push(")");
    let rows = select.build().fetch_all(pool).await?;
    rows.iter()
        .map(|row| {
            Ok((
                row.try_get("claim_id")?,
                (row.try_get("ticket")?, row.try_get("sequence")?),
            ))
        })
        .collect()
}

/// How many tickets are held.
pub async fn count(pool: &MySqlPool, campaign_no: u32) -> Result<u64, sqlx::Error> {
    let count = sqlx::query_scalar!("SELECT COUNT(*) FROM claims WHERE campaign_no = ?", campaign_no)
        .fetch_one(pool)
        .await?;
    Ok(count.unsigned_abs())
}

/// A claim that is to be released, locked.
#[derive(Debug)]
pub(in crate::claims) struct Releasable {
    pub campaign_no: u32,
    pub campaign_id: CampaignId,
    pub partner_id: headgate_schemas::ids::PartnerId,
    pub ticket: Ticket,
    pub user_id: UserId,
    pub issued: bool,
    pub predecessor: Predecessor,
}

/// Locks an admitted claim.
pub(in crate::claims) async fn lock_for_release(
    transaction: &mut Transaction<'_, MySql>,
    claim_id: ClaimId,
) -> Result<Option<Releasable>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT c.campaign_no, g.campaign_id AS "campaign_id: CampaignId",
               p.partner_id AS "partner_id: headgate_schemas::ids::PartnerId", c.ticket AS "ticket: Ticket", c.user_id,
               EXISTS (SELECT 1 FROM coupons k WHERE k.coupon_id = c.claim_id) AS "issued: bool",
               c.event_sequence, c.last_outbox_id
           FROM claims c JOIN campaigns g USING (campaign_no) JOIN partners p USING (partner_no)
           WHERE c.claim_id = ? FOR UPDATE OF c"#,
        claim_id.as_bytes().as_slice()
    )
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(row.map(|row| Releasable {
        campaign_no: row.campaign_no,
        campaign_id: row.campaign_id,
        partner_id: row.partner_id,
        ticket: row.ticket,
        user_id: UserId::from_stored(row.user_id),
        issued: row.issued,
        predecessor: Predecessor {
            sequence: row.event_sequence,
            outbox_id: row.last_outbox_id,
        },
    }))
}

/// Moves a locked claim to the history, which frees its ticket and its user.
pub(in crate::claims) async fn move_to_released(
    transaction: &mut Transaction<'_, MySql>,
    claim_id: ClaimId,
    last: Predecessor,
    reason: &str,
    actor: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let id = claim_id.as_bytes().as_slice();
    sqlx::query!(
        "INSERT INTO released_claims (claim_id, campaign_no, ticket, user_id, admission_epoch, sequence, admitted_at,
             event_sequence, last_outbox_id, released_at, reason, released_by)
         SELECT claim_id, campaign_no, ticket, user_id, admission_epoch, sequence, admitted_at, ?, ?, ?, ?, ?
         FROM claims WHERE claim_id = ?",
        last.sequence,
        last.outbox_id,
        now,
        reason,
        actor,
        id
    )
    .execute(&mut **transaction)
    .await?;
    sqlx::query!("DELETE FROM claims WHERE claim_id = ?", id)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Locks those of `claims` that exist FOR SHARE, and says whether each has its coupon.
pub(in crate::claims) async fn lock_for_issue(
    transaction: &mut Transaction<'_, MySql>,
    claims: &[ClaimId],
) -> Result<HashMap<ClaimId, Issuable>, sqlx::Error> {
    let mut found = HashMap::with_capacity(claims.len());
    for claims in claims.chunks(multirow::ROWS_MAX) {
        let mut select = QueryBuilder::new(
            "SELECT c.claim_id, c.campaign_no, c.ticket, c.user_id, k.coupon_id IS NOT NULL AS issued,
                 c.event_sequence, c.last_outbox_id
             FROM claims c LEFT JOIN coupons k ON k.coupon_id = c.claim_id WHERE c.claim_id IN (",
        );
        push_list(&mut select, claims);
        select.push(") FOR SHARE OF c");
        for row in select.build().fetch_all(&mut **transaction).await? {
            let issued: i64 = row.try_get("issued")?;
            let claim = Issuable {
                campaign_no: row.try_get("campaign_no")?,
                ticket: row.try_get("ticket")?,
                user_id: UserId::from_stored(row.try_get("user_id")?),
                is_issued: issued == 1,
                last_event: Predecessor {
                    sequence: row.try_get("event_sequence")?,
                    outbox_id: row.try_get("last_outbox_id")?,
                },
            };
            found.insert(row.try_get("claim_id")?, claim);
        }
    }
    Ok(found)
}

/// Those of `claims` that were released.
pub(in crate::claims) async fn released_among(
    transaction: &mut Transaction<'_, MySql>,
    claims: &[ClaimId],
) -> Result<HashSet<ClaimId>, sqlx::Error> {
    let mut found = HashSet::new();
    for claims in claims.chunks(multirow::ROWS_MAX) {
        let mut select = QueryBuilder::new("SELECT claim_id FROM released_claims WHERE claim_id IN (");
        push_list(&mut select, claims);
        select.push(")");
        let rows: Vec<ClaimId> = select.build_query_scalar().fetch_all(&mut **transaction).await?;
        found.extend(rows);
    }
    Ok(found)
}

/// Keeps the last event of a locked claim.
pub(in crate::claims) async fn set_last_event(
    transaction: &mut Transaction<'_, MySql>,
    claim_id: ClaimId,
    last: Predecessor,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE claims SET event_sequence = ?, last_outbox_id = ? WHERE claim_id = ?",
        last.sequence,
        last.outbox_id,
        claim_id.as_bytes().as_slice()
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

fn push_list<T>(query: &mut QueryBuilder<MySql>, items: &[T])
where
    T: Copy + for<'q> sqlx::Encode<'q, MySql> + sqlx::Type<MySql>,
{
    let mut list = query.separated(", ");
    for item in multirow::padded(items) {
        list.push_bind(item);
    }
}
