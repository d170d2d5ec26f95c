//! What Redis keeps under a lock's key.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Who holds a lock, since when. The token makes each acquisition's text unlike any other,
/// so that comparing the text compares the token.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Value {
    /// 122 random bits.
    token: String,
    /// The process, e.g. `api-17`.
    pub holder: String,
    /// By the holder's clock; only shown to people.
    pub since: DateTime<Utc>,
}

impl Value {
    /// The text of a new acquisition.
    pub fn text(holder: &str) -> String {
        let token = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
        let value = serde_json::json!(Self {
            token: token.simple().to_string(),
            holder: holder.to_owned(),
            since: Utc::now(),
        });
        value.to_string()
    }

    /// `None`: nobody here wrote that.
    pub fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_alike_and_each_says_who() {
        let (one, other) = (Value::text("api-1"), Value::text("api-1"));
        assert_ne!(one, other);
        assert_eq!(
            Value::parse(one.as_bytes()).expect("it reads back").holder,
            "api-1"
        );
        assert_eq!(Value::parse(b"by hand"), None);
    }
}
