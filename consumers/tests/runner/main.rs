//! The runner against real servers: what it does with records of every kind, with
//! replays, with rebalances, and with servers that are away.

mod edit;
mod issuance;
mod jobs;
mod lifecycle;
mod notifications;
mod outage;
mod parking;
mod place;
mod poison;
mod redelivery;
mod replay;
mod support;
mod together;
