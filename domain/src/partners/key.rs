//! The secret of a key: 256 random bits behind a prefix that secret scanners can
//! recognise. Only its SHA-256 is stored: it is too long to guess, so a slow hash
//! would protect nothing and cost every request.

use std::fmt;

use sha2::{Digest, Sha256};

/// What every key begins with.
const PREFIX: &str = "hgk_";
/// Random bytes of a key.
const SECRET_BYTES: usize = 32;
/// Length of a key's text: prefix and hex digits.
pub const KEY_TEXT_BYTES: usize = PREFIX.len() + 2 * SECRET_BYTES;

/// SHA-256 of a key's text, as MySQL stores it.
pub type KeyHash = [u8; 32];

/// The text of a key. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyText(String);

impl KeyText {
    /// A new key.
    pub fn generate() -> Self {
        let secret: [u8; SECRET_BYTES] = rand::random();
        Self(format!("{PREFIX}{}", hex::encode(secret)))
    }

    /// The text, to be shown once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored of it.
    pub fn hash(&self) -> KeyHash {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText(hidden)")
    }
}

/// The hash of a presented key; `None` if it cannot be one of ours, which saves
/// asking for it.
pub fn hash(presented: &[u8]) -> Option<KeyHash> {
    let secret = presented.strip_prefix(PREFIX.as_bytes())?;
    let well_formed = presented.len() == KEY_TEXT_BYTES
        && secret
            .iter()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    well_formed.then(|| Sha256::digest(presented).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_presented_key_has_the_hash_that_was_stored() {
        let key = KeyText::generate();
        assert_eq!(hash(key.reveal().as_bytes()), Some(key.hash()));
        assert_ne!(KeyText::generate().hash(), key.hash());
    }

    #[test]
    fn what_cannot_be_a_key_has_no_hash() {
        let key = KeyText::generate();
        let text = key.reveal();
        for wrong in [
            "",
            "hgk_",
            "abc",
            &text[1..],
            &text.to_uppercase(),
            &format!("{text}0"),
        ] {
            assert_eq!(hash(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_key_is_not_printed() {
        let key = KeyText::generate();
        assert!(!format!("{key:?}").contains(&key.reveal()[4..]));
    }
}
