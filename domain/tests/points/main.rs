//! Points against a real MySQL.

mod concurrency;
mod expiry;
mod ledger;
mod model;
mod notice;
mod property;
mod support;
