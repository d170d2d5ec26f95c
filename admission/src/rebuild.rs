//! Making a campaign's admission state anew from the claims in MySQL, when Redis lost
//! it or fell behind.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use headgate_domain::claims::store::epochs::Beginning;
use headgate_domain::claims::store::{self, Holder};
use headgate_schemas::ids::{CampaignId, ClaimId};
use headgate_schemas::quantities::AdmissionEpoch;
use redis::{AsyncCommands, ExistenceCheck, SetExpiry, SetOptions};
use sqlx::MySqlPool;

use crate::reserve::{Known, Reserved};
use crate::{Admission, Error, Held};

/// Claims that are read and written at a time.
const PAGE_ROWS: u32 = 5_000;
/// How long the lock of a rebuild that died keeps others waiting.
const LOCK_LIFE: Duration = Duration::from_secs(5);
/// How long the keys of a rebuild that died stay.
const REBUILT_LIFE: Duration = Duration::from_mins(5);
/// How long MySQL goes on after it took over from Redis and opened. Much longer than the
/// rest before that: while one process cannot reach Redis, this is when all are admitted.
pub const MYSQL_HOLDS: Duration = Duration::from_secs(4);
/// How long the state outlives the campaign.
const OUTLIVES_CAMPAIGN: TimeDelta = TimeDelta::hours(24);
/// Score of the sentinels: never due.
const NEVER: f64 = f64::INFINITY;

/// The campaign whose state is made.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// Its row.
    pub campaign_no: u32,
    /// Its id.
    pub campaign_id: CampaignId,
    /// Its quota in MySQL.
    pub quota: u32,
    /// When it closes.
    pub closes_at: DateTime<Utc>,
}

/// What became of a rebuild.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rebuilt {
    /// The state stands, in this epoch.
    Installed(AdmissionEpoch),
    /// Somebody else is at it, or was faster: ask again in a moment.
    Elsewhere,
}

struct Image {
    counter: u32,
    users: u64,
    free: u64,
}

impl Admission {
    /// Rebuilds the state: raises the epoch in MySQL, reads the claims, writes them
    /// beside the old state, and switches in one step. One instance at a time does it.
    ///
    /// With `cold_to` only if the state is still cold to somebody who knows as much: another
    /// instance may have rebuilt it since the question that was answered so.
    pub async fn rebuild(
        &self,
        pool: &MySqlPool,
        campaign: Campaign,
        cold_to: Option<Known>,
    ) -> Result<Rebuilt, Error> {
        let keys = self.keys(campaign.campaign_id);
        let token = ClaimId::generate().to_string();
        let mut connection = self.connection.clone();
        let life = u64::try_from(LOCK_LIFE.as_millis()).unwrap_or(u64::MAX);
        let alone = SetOptions::default()
            .conditional_set(ExistenceCheck::NX)
            .with_expiration(SetExpiry::PX(life));
        let locked: Option<String> = connection.set_options(keys.rebuild_lock(), &token, alone).await?;
        if locked.is_none() {
            return Ok(Rebuilt::Elsewhere);
        }
        let rebuilt = match self.is_needed(campaign, cold_to).await {
            Ok(true) => self.rebuild_locked(pool, campaign, &token).await,
            Ok(false) => Ok(Rebuilt::Elsewhere),
            Err(error) => Err(error),
        };
        // Only our own lock: a rebuild that took too long has lost it to another.
        let holder: Option<String> = connection.get(keys.rebuild_lock()).await?;
        if holder.as_deref() == Some(&token) {
            let _removed: u64 = connection.del(keys.rebuild_lock()).await?;
        }
        rebuilt
    }

    async fn is_needed(&self, campaign: Campaign, cold_to: Option<Known>) -> Result<bool, Error> {
        let Some(known) = cold_to else { return Ok(true) };
        // Nobody asks for a ticket.
        Ok(self.reserve(campaign.campaign_id, known, &[]).await? == Reserved::Cold)
    }

    async fn rebuild_locked(
        &self,
        pool: &MySqlPool,
        campaign: Campaign,
        token: &str,
    ) -> Result<Rebuilt, Error> {
        // First the epoch, then the claims: a claim that is committed in between is
        // either read or refused later by MySQL, which is learned from.
        let keys = self.keys(campaign.campaign_id);
        let server = self.server().await?;
        let in_redis: Option<u32> = self.connection.clone().hget(keys.state(), "epoch").await?;
        let beginning = Beginning {
            in_redis: in_redis.unwrap_or_default(),
            rest: self.settings().rest(),
            mysql_holds: MYSQL_HOLDS,
        };
        let begun = store::epochs::begin_redis_epoch(pool, campaign.campaign_no, beginning)
            .await?
            .ok_or(Error::MysqlHolds)?;
        // Counted from before the image is made: that takes its time too.
        let opens = Instant::now() + begun.rests;
        let epoch = AdmissionEpoch::new(begun.epoch).map_err(|_| Error::Answer("the epoch"))?;
        let rebuilt = keys.rebuilt(token);
        let image = self.write_image(pool, campaign.campaign_no, &rebuilt).await?;
        let mut call = self.scripts.install.prepare_invoke();
        for key in keys.all().iter().chain(&rebuilt) {
            call.key(key);
        }
        let gone_at = (campaign.closes_at + OUTLIVES_CAMPAIGN).max(Utc::now() + OUTLIVES_CAMPAIGN);
        call.arg(epoch.get())
            .arg(image.counter)
            .arg(campaign.quota)
            .arg(image.users)
            .arg(image.free);
        let rests = opens.saturating_duration_since(Instant::now());
        call.arg(gone_at.timestamp_millis())
            .arg(u64::try_from(rests.as_millis()).unwrap_or(u64::MAX))
            .arg(server);
        let installed: i32 = call.invoke_async(&mut self.connection.clone()).await?;
        match installed {
            1 => {
                metrics::counter!("headgate_admission_rebuilds_total").increment(1);
                tracing::info!(campaign_id = %campaign.campaign_id, %epoch, claims = image.users - 1, "admission rebuilt");
                Ok(Rebuilt::Installed(epoch))
            }
            0 => Ok(Rebuilt::Elsewhere),
            _ => Err(Error::Answer("the rebuilt state is not complete")),
        }
    }

    /// Writes users and free tickets beside the state that is in use.
    async fn write_image(
        &self,
        pool: &MySqlPool,
        campaign_no: u32,
        keys: &[String; 3],
    ) -> Result<Image, Error> {
        let [users, free, pending] = keys;
        let mut connection = self.connection.clone();
        let life = i64::try_from(REBUILT_LIFE.as_secs()).unwrap_or(i64::MAX);
        let mut begin = redis::pipe();
        begin
            .hset(users, "", "")
            .ignore()
            .zadd(free, "", NEVER)
            .ignore()
            .zadd(pending, "", NEVER)
            .ignore();
        for key in keys {
            begin.expire(key, life).ignore();
        }
        let () = begin.query_async(&mut connection).await?;
        let mut image = Image {
            counter: 0,
            users: 1,
            free: 1,
        };
        loop {
            let page = store::holders(pool, campaign_no, image.counter, PAGE_ROWS).await?;
            let Some(last) = page.last() else { return Ok(image) };
            let highest = last.ticket.get();
            let holes = holes(image.counter, &page);
            let fields: Vec<(&str, Vec<u8>)> = page
                .iter()
                .map(|holder| (holder.user_id.as_str(), held(holder).to_bytes().to_vec()))
                .collect();
            let _new: u64 = connection
                .hset_multiple::<_, _, _, redis::Value>(users, &fields)
                .await
                .map(|_| 0)?;
            if !holes.is_empty() {
                // They rest with the state.
                for holes in holes.chunks(usize::try_from(PAGE_ROWS).unwrap_or(1)) {
                    let members: Vec<(i64, u32)> = holes.iter().map(|ticket| (0, *ticket)).collect();
                    let _added: u64 = connection.zadd_multiple(free, &members).await?;
                }
            }
            image.counter = highest;
            image.users += page.len() as u64;
            image.free += holes.len() as u64;
        }
    }
}

fn held(holder: &Holder) -> Held {
    Held {
        claim_id: holder.claim_id,
        ticket: holder.ticket,
        sequence: holder.sequence,
    }
}

/// Tickets between `after` and the last of `page` that nobody holds.
fn holes(after: u32, page: &[Holder]) -> Vec<u32> {
    let mut next = after + 1;
    let mut holes = Vec::new();
    for holder in page {
        holes.extend(next..holder.ticket.get());
        next = holder.ticket.get() + 1;
    }
    holes
}
