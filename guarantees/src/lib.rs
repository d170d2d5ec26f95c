//! The guarantees of Headgate, each as a test against the real servers and the real
//! processes: `tests/` has a file per theme, and a test's name begins with the number
//! of the guarantee or trap that it would see broken. This library holds what those
//! tests share: a whole installation, brought up as a user brings it up.

pub mod installation;
pub mod partner;
pub mod pipeline;
pub mod rejected;

pub use installation::Installation;
pub use partner::Partner;
pub use pipeline::Pipeline;
