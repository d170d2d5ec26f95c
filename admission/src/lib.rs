//! The Redis side of a claim: which request may proceed, in which order. It reserves,
//! it never decides alone: a reservation becomes a claim only in MySQL, which refuses
//! whatever Redis got wrong. Redis may lose everything at any moment.
//!
//! `reserve` -> (commit in MySQL) -> `confirm`, or `release` after a known failure.
//! What is neither is settled by [`sweep`]; what was lost is found by [`audit`]; a lost
//! or stale state is made anew by [`rebuild`].

pub mod audit;
mod forget;
mod give_back;
mod keys;
pub mod rebuild;
pub mod release;
pub mod reserve;
mod scripts;
mod server;
pub mod settings;
pub mod sold_out;
pub mod sweep;

use std::sync::Arc;

use headgate_schemas::ids::{CampaignId, ClaimId};
use headgate_schemas::quantities::Ticket;
use redis::aio::ConnectionManager;

pub use settings::Settings;

use crate::keys::CampaignKeys;
use crate::scripts::Scripts;

/// Redis could not be asked, or MySQL not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Redis is away or did not answer in time. What was asked may have taken effect.
    #[error("redis did not answer")]
    Redis(#[from] redis::RedisError),
    /// The answer is not of the agreed shape.
    #[error("redis answered something else than was agreed: {0}")]
    Answer(&'static str),
    /// MySQL took over a moment ago, and goes on for a while.
    #[error("mysql hands out the tickets for the time being")]
    MysqlHolds,
    /// MySQL could not be read.
    #[error("the claims cannot be read")]
    Database(#[from] sqlx::Error),
}

/// The admission state of all campaigns in one Redis. Clones share a connection.
#[derive(Clone)]
pub struct Admission {
    connection: ConnectionManager,
    prefix: Arc<str>,
    scripts: Arc<Scripts>,
    settings: Settings,
}

impl Admission {
    /// Over a connection whose waits are limited; `prefix` precedes every key.
    pub fn new(connection: ConnectionManager, prefix: &str, settings: Settings) -> Self {
        Self {
            connection,
            prefix: prefix.into(),
            scripts: Arc::default(),
            settings,
        }
    }

    /// Its settings.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    fn keys(&self, campaign_id: CampaignId) -> CampaignKeys {
        CampaignKeys::new(&self.prefix, campaign_id)
    }
}

/// What the state says a user holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// By which claim.
    pub claim_id: ClaimId,
    /// Which ticket.
    pub ticket: Ticket,
    /// Its sequence.
    pub sequence: u64,
}

/// Bytes of a [`Held`] as Redis keeps it: claim id, ticket, sequence.
const HELD_BYTES: usize = 16 + 4 + 8;

impl Held {
    fn to_bytes(self) -> [u8; HELD_BYTES] {
        let mut bytes = [0; HELD_BYTES];
        bytes[..16].copy_from_slice(self.claim_id.as_bytes());
        bytes[16..20].copy_from_slice(&self.ticket.get().to_be_bytes());
        bytes[20..].copy_from_slice(&self.sequence.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let parse = || {
            let (claim_id, rest) = bytes.split_first_chunk::<16>()?;
            let (ticket, sequence) = rest.split_first_chunk::<4>()?;
            Some(Self {
                claim_id: ClaimId::from_bytes(*claim_id),
                ticket: Ticket::new(u32::from_be_bytes(*ticket)).ok()?,
                sequence: u64::from_be_bytes(sequence.try_into().ok()?),
            })
        };
        parse().ok_or(Error::Answer("what a user holds"))
    }
}
