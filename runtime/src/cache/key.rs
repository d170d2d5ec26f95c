//! What is remembered.

use std::fmt;

use headgate_schemas::ids::PartnerId;
use headgate_schemas::names::UserId;

/// The key of a value, e.g. `balance:0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77:u-1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey(String);

impl CacheKey {
    /// What a partner's user has.
    pub fn balance(partner_id: PartnerId, user_id: &UserId) -> Self {
        Self(format!("balance:{partner_id}:{}", user_id.as_str()))
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
