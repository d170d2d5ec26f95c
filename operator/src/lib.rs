//! What people run Headgate with: the operator's HTTP listener and the command line
//! `headgate`.
//!
//! The command line talks to the servers itself where nothing is audited (migrations,
//! topics, schemas) and goes through the operator's listener for everything else.

pub mod cli;
pub mod topics;
