//! Points against a real MySQL.

mod concurrency;
mod expiry;
mod ledger;
mod model;
mod property;
mod support;
