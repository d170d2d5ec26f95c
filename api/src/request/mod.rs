//! What a request brings: read strictly, with every fault reported at once.

mod body;
mod distinct;
mod fields;
mod page;
mod path;
mod prefer;

pub use body::{Body, Nothing, RawBody, ReadBody};
pub use fields::{Fields, flag, parsed, text, time, whole_number};
pub use page::Page;
pub use path::{Id, NamedSubscription, NamedUser, OfClaim, OfCoupon};
pub use prefer::{PREFER, Wait};
