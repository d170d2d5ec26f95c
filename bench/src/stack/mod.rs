//! What is measured runs here: the servers, and our own processes upon them.

pub mod installation;
pub mod process;
pub mod servers;
pub mod settings;
