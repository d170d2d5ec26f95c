//! Access tokens: JWT, signed by a key that every process reads from MySQL and that changes by
//! itself. A token is good until its time is up or its session has ended, which every process
//! reads from MySQL as it does the ends of keys.

use std::collections::HashSet;
use std::time::Duration;

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use headgate_domain::Error;
use headgate_domain::members::{Session, SigningKey, store};
use headgate_runtime::clock::DatabaseClock;
use headgate_runtime::shutdown::{CancellationToken, stopped_within};
use headgate_schemas::ids::{MemberId, PartnerId, SessionId};
use headgate_schemas::names::UserId;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sqlx::MySqlPool;

use super::config::Config;
use super::signature;

/// Who issues the tokens.
const ISSUER: &str = "headgate";
/// The media type of access tokens (RFC 9068): no other JWT is taken for one.
const TYPE: &str = "at+jwt";
/// Periods whose keys are remembered: this one, the one before, and what a faster clock began.
const KEYS_MAX: u32 = 3;
/// Most ended sessions that are read.
const ENDED_MAX: u32 = 100_000;
/// How much longer than a token lives they are read.
const ENDED_MARGIN: Duration = Duration::from_mins(1);
/// Longest wait for MySQL.
const READ_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a key that nobody knows may make this process look for new ones.
const LOOK_EVERY: chrono::TimeDelta = chrono::TimeDelta::seconds(1);
/// Sessions that are removed at once when their time is up.
const REMOVED_AT_ONCE: u32 = 500;

/// What a token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    iss: String,
    /// The member.
    pub sub: MemberId,
    /// The session.
    pub sid: SessionId,
    /// The partner.
    pub pid: PartnerId,
    /// The partner's user that the member is.
    pub uid: UserId,
    iat: i64,
    exp: i64,
}

/// Signs and verifies tokens.
pub struct Tokens {
    pool: MySqlPool,
    clock: DatabaseClock,
    config: Config,
    keys: ArcSwap<Vec<SigningKey>>,
    looked_at: Mutex<Option<DateTime<Utc>>>,
    ended: ArcSwap<HashSet<SessionId>>,
}

impl Tokens {
    /// Knows no key yet.
    pub fn new(pool: MySqlPool, clock: DatabaseClock, config: Config) -> Self {
        signature::install();
        Self {
            pool,
            clock,
            config,
            keys: ArcSwap::default(),
            looked_at: Mutex::default(),
            ended: ArcSwap::default(),
        }
    }

    fn period(&self) -> u32 {
        let seconds = u64::try_from(self.clock.now().timestamp()).unwrap_or_default();
        u32::try_from(seconds / self.config.signing_period.as_secs().max(1)).unwrap_or(u32::MAX)
    }

    /// A token for the session. It ends with it at the latest.
    pub async fn sign(&self, session: &Session) -> Result<String, Error> {
        let key = self.signing_key().await?;
        let now = self.clock.now();
        let ends = (now + self.config.access).min(session.expires_at);
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: session.member.member_id,
            sid: session.session_id,
            pid: session.member.partner_id,
            uid: session.member.user_id.clone(),
            iat: now.timestamp(),
            exp: ends.timestamp(),
        };
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(uuid::Uuid::from_bytes(key.kid).to_string());
        let signed = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&key.secret));
        signed.map_err(|error| Error::Corrupt {
            what: "signing key",
            why: error.to_string(),
        })
    }

    /// Seconds that a token lives.
    pub const fn lives(&self) -> u64 {
        self.config.access.as_secs()
    }

    /// The key of this period, which the first who needs it makes.
    async fn signing_key(&self) -> Result<SigningKey, Error> {
        let period = self.period();
        let known = |keys: &[SigningKey]| keys.iter().find(|key| key.period == period).cloned();
        if let Some(key) = known(&self.keys.load()) {
            return Ok(key);
        }
        self.read_keys().await?;
        if let Some(key) = known(&self.keys.load()) {
            return Ok(key);
        }
        store::make_signing_key(&self.pool, &SigningKey::generate(period)).await?;
        self.read_keys().await?;
        known(&self.keys.load()).ok_or_else(|| Error::Corrupt {
            what: "signing key",
            why: "it is not there after it was made".to_owned(),
        })
    }

    async fn read_keys(&self) -> Result<(), Error> {
        let from = self.period().saturating_sub(1);
        let keys = store::signing_keys(&self.pool, from, KEYS_MAX).await?;
        self.keys.store(keys.into());
        Ok(())
    }

    /// What a token says, if it is one of ours and still good.
    pub async fn verify(&self, token: &str) -> Result<Option<Claims>, Error> {
        let Ok(header) = jsonwebtoken::decode_header(token) else {
            return Ok(None);
        };
        let kid = header.kid.and_then(|kid| kid.parse::<uuid::Uuid>().ok());
        let (Some(kid), Some(TYPE)) = (kid, header.typ.as_deref()) else {
            return Ok(None);
        };
        let Some(key) = self.key(kid.into_bytes()).await? else {
            return Ok(None);
        };
        let mut rules = Validation::new(Algorithm::HS256);
        rules.set_issuer(&[ISSUER]);
        // Judged below, by the clock that set it.
        rules.validate_exp = false;
        rules.required_spec_claims.clear();
        rules.validate_aud = false;
        let decoded = jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_secret(&key.secret), &rules);
        let good = decoded.ok().map(|decoded| decoded.claims).filter(|claims| {
            claims.iss == ISSUER
                && self.clock.now().timestamp() < claims.exp
                && !self.ended.load().contains(&claims.sid)
        });
        Ok(good)
    }

    /// The key that a token names. Another process may have made it a moment ago.
    async fn key(&self, kid: [u8; 16]) -> Result<Option<SigningKey>, Error> {
        let oldest = self.period().saturating_sub(1);
        let known = |keys: &[SigningKey]| {
            let found = keys.iter().find(|key| key.kid == kid && key.period >= oldest);
            found.cloned()
        };
        if let Some(key) = known(&self.keys.load()) {
            return Ok(Some(key));
        }
        let now = self.clock.now();
        {
            let mut looked_at = self.looked_at.lock();
            if looked_at.is_some_and(|at| now - at < LOOK_EVERY) {
                return Ok(None);
            }
            *looked_at = Some(now);
        }
        self.read_keys().await?;
        Ok(known(&self.keys.load()))
    }

    /// This process knows at once; the others within seconds.
    pub fn end(&self, session_id: SessionId) {
        self.ended.rcu(|ended| {
            let mut ended = HashSet::clone(ended);
            ended.insert(session_id);
            ended
        });
    }

    /// Reads which sessions have ended, once. What is read stays if that fails.
    pub async fn read_ended(&self) {
        let read = store::ended_lately(&self.pool, self.config.access + ENDED_MARGIN, ENDED_MAX);
        match tokio::time::timeout(READ_TIMEOUT, read).await {
            Ok(Ok(ended)) => self.ended.store(std::sync::Arc::new(ended.into_iter().collect())),
            Ok(Err(error)) => tracing::debug!(%error, "the ends of sessions could not be read"),
            Err(_) => tracing::debug!("the ends of sessions could not be read in time"),
        }
    }

    /// Goes on reading which sessions have ended, and removes those whose time is up, until
    /// stopped.
    pub async fn watch(&self, stop: &CancellationToken) {
        while !stopped_within(stop, self.config.ended_every).await {
            self.read_ended().await;
            let remove = store::remove_expired(&self.pool, REMOVED_AT_ONCE);
            match tokio::time::timeout(READ_TIMEOUT, remove).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::debug!(%error, "old sessions could not be removed"),
                Err(_) => tracing::debug!("old sessions could not be removed in time"),
            }
        }
    }
}
