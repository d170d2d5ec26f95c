//! What people run Headgate with: the operator's HTTP listener and the command line
//! `headgate`.
//!
//! The command line talks to the servers itself where nothing is audited (migrations,
//! topics, schemas) and goes through the operator's listener for everything else.

pub mod audit;
pub mod auth;
pub mod campaigns;
pub mod cli;
pub mod config;
pub mod dead_letters;
pub mod deliveries;
mod error;
pub mod http;
pub mod lag;
pub mod locks;
pub mod offsets;
pub mod outbox;
pub mod partners;
mod passed;
pub mod reconcile;
pub mod refeed;
pub mod replays;
mod service;
pub mod state;
mod tickets;
pub mod topics;
mod transaction;

pub use error::{Error, Thing};
pub use service::{Addresses, BuildError, Service};
