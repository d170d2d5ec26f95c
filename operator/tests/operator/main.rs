//! The operator's listener and the command line, against the real servers.

mod authentication;
mod dead_letters;
mod listener;
mod openapi;
mod planted;
mod reconciliation;
