//! The operator's listener and the command line, against the real servers.

mod audit_chain;
mod authentication;
mod command_line;
mod dead_letters;
mod deliveries;
mod failure_groups;
mod letter_edit;
mod letter_lifecycle;
mod listener;
mod locks;
mod openapi;
mod outbox;
mod planted;
mod point_policy;
mod process;
mod reconciliation;
mod replays;
