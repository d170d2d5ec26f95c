//! What the tests of Headgate stand on: an environment of one's own on real servers,
//! processes that can be killed, servers that can be broken, and checkers that read
//! MySQL, Redis and Kafka by themselves. It imports no product crate, so that a
//! mistake in the product cannot hide itself here.

pub mod checkers;
pub mod client;
pub mod environment;
pub mod mailbox;
pub mod otlp;
pub mod process;
pub mod receiver;
mod removal;
pub mod servers;
pub mod stack;
pub mod topic;
pub mod toxiproxy;
pub mod waiting;

pub use environment::Environment;
pub use waiting::eventually;
