//! The admission state as it lies in Redis.

use std::collections::{BTreeMap, BTreeSet};

use redis::aio::MultiplexedConnection;
use uuid::Uuid;

use super::evidence::Campaign;
use crate::Environment;

/// Bytes of a claim id.
const CLAIM_BYTES: usize = 16;
/// Bytes of a claim id and a ticket.
const TICKET_END: usize = CLAIM_BYTES + 4;

/// One campaign's state. Sentinels, which keep empty keys alive, are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmissionState {
    /// Its epoch.
    pub epoch: u32,
    /// Highest ticket handed out.
    pub counter: u32,
    /// Returned tickets that nobody has taken yet.
    pub free: BTreeSet<u32>,
    /// Reservations whose commit is not confirmed.
    pub pending: usize,
    /// Claim and ticket that each user holds.
    pub users: BTreeMap<Vec<u8>, (Uuid, u32)>,
}

impl AdmissionState {
    /// The states of these campaigns, where Redis answers and has one.
    pub(super) async fn of(environment: &Environment, campaigns: &[Campaign]) -> BTreeMap<Uuid, Self> {
        let client = redis::Client::open(environment.redis_url()).expect("an address");
        let mut states = BTreeMap::new();
        let Ok(mut connection) = client.get_multiplexed_async_connection().await else {
            return states;
        };
        for campaign in campaigns {
            let tag = format!("{}{{{}}}:", environment.redis_prefix(), campaign.campaign_id);
            if let Some(state) = Self::read(&mut connection, &tag).await.expect("Redis answers") {
                states.insert(campaign.campaign_id, state);
            }
        }
        states
    }

    async fn read(connection: &mut MultiplexedConnection, tag: &str) -> redis::RedisResult<Option<Self>> {
        type Raw = (
            BTreeMap<String, String>,
            BTreeMap<Vec<u8>, Vec<u8>>,
            Vec<String>,
            usize,
        );
        let (state, users, free, pending): Raw = redis::pipe()
            .atomic()
            .cmd("HGETALL")
            .arg(format!("{tag}state"))
            .cmd("HGETALL")
            .arg(format!("{tag}users"))
            .cmd("ZRANGE")
            .arg(format!("{tag}free"))
            .arg(0)
            .arg(-1)
            .cmd("ZCARD")
            .arg(format!("{tag}pending"))
            .query_async(connection)
            .await?;
        let number = |field: &str| state.get(field).and_then(|text| text.parse().ok());
        let (Some(epoch), Some(counter)) = (number("epoch"), number("counter")) else {
            return Ok(None);
        };
        Ok(Some(Self {
            epoch,
            counter,
            free: free.iter().filter_map(|ticket| ticket.parse().ok()).collect(),
            // The sentinel is the one that is always there.
            pending: pending.saturating_sub(1),
            users: users
                .into_iter()
                .filter_map(|(user, held)| Some((user, holding(&held)?)))
                .collect(),
        }))
    }
}

/// A user's value: claim id, ticket, sequence.
fn holding(value: &[u8]) -> Option<(Uuid, u32)> {
    let claim = Uuid::from_slice(value.get(..CLAIM_BYTES)?).ok()?;
    let ticket = value.get(CLAIM_BYTES..TICKET_END)?.try_into().ok()?;
    Some((claim, u32::from_be_bytes(ticket)))
}

/// Reservations of these campaigns whose commit is not confirmed; `None` while Redis
/// does not answer.
pub(super) async fn pending(environment: &Environment, campaigns: &[Uuid]) -> Option<usize> {
    let client = redis::Client::open(environment.redis_url()).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.ok()?;
    let mut pending = 0;
    for campaign in campaigns {
        let key = format!("{}{{{campaign}}}:pending", environment.redis_prefix());
        let entries: usize = redis::cmd("ZCARD")
            .arg(key)
            .query_async(&mut connection)
            .await
            .ok()?;
        pending += entries.saturating_sub(1);
    }
    Some(pending)
}
