//! The api over HTTP, on real servers: each test has a database and prefixes of its own.

mod bodies;
mod callers;
mod campaigns;
mod claims;
mod clock;
mod coupons;
mod documents;
mod harness;
mod idempotency;
mod key_lookups;
mod keys;
mod large_bodies;
mod members;
mod pages;
mod partner;
mod points;
mod processes;
mod rate_limits;
mod streams;
mod subscriptions;
