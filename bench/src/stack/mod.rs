//! What is measured runs here: the servers, and our own processes upon them.

pub mod connect;
pub mod installation;
pub mod process;
pub mod servers;
pub mod settings;
pub mod topic;
