//! Fingerprints: letters of one cause have one, however their ids and numbers differ.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::bury::hex;

/// Bytes of a fingerprint.
const FINGERPRINT_BYTES: usize = 16;

/// What the letters of one cause have in common. As text: 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u8; FINGERPRINT_BYTES]);

/// It is none.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("must be {} hexadecimal digits", 2 * FINGERPRINT_BYTES)]
pub struct InvalidFingerprint;

impl Fingerprint {
    /// As MySQL keeps it, in a column of as many bytes.
    pub(crate) fn from_stored(stored: &[u8]) -> Self {
        let mut bytes = [0; FINGERPRINT_BYTES];
        let kept = stored.len().min(FINGERPRINT_BYTES);
        bytes[..kept].copy_from_slice(&stored[..kept]);
        Self(bytes)
    }

    pub(crate) const fn as_slice(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let mut bytes = [0; FINGERPRINT_BYTES];
        if text.len() != 2 * FINGERPRINT_BYTES || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(InvalidFingerprint);
        }
        for (byte, at) in bytes.iter_mut().zip((0..text.len()).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| InvalidFingerprint)?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = InvalidFingerprint;

    fn try_from(text: String) -> Result<Self, InvalidFingerprint> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

/// The fingerprint of a failure: group, class and the cause without what varies.
pub(crate) fn fingerprint(group: &str, class: &str, error: &str) -> Fingerprint {
    let mut hash = Sha256::new();
    for part in [group, class, &normalised(error)] {
        hash.update(part.as_bytes());
        // No part can run into the next.
        hash.update([0]);
    }
    let digest = hash.finalize();
    let mut fingerprint = [0; FINGERPRINT_BYTES];
    fingerprint.copy_from_slice(&digest[..FINGERPRINT_BYTES]);
    Fingerprint(fingerprint)
}

/// The text with every word that holds a digit (ids, numbers, times), and everything
/// between quotation marks, replaced by `#`.
fn normalised(error: &str) -> String {
    let mut text = String::with_capacity(error.len());
    let mut quoted = false;
    for piece in error.split_inclusive(|c: char| c.is_whitespace() || "`'\"(),;=".contains(c)) {
        let (word, end) = match piece.char_indices().next_back() {
            Some((at, last)) if last.is_whitespace() || "`'\"(),;=".contains(last) => piece.split_at(at),
            _ => (piece, ""),
        };
        if word.contains(|c: char| c.is_ascii_digit()) || (quoted && !word.is_empty()) {
            if !text.ends_with('#') {
                text.push('#');
            }
        } else {
            text.push_str(word);
        }
        if matches!(end, "`" | "'" | "\"") {
            quoted = !quoted;
        }
        text.push_str(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_numbers_do_not_matter_and_words_do() {
        let of = |error| fingerprint("coupon-issuance", "claim-not-found", error);
        let first = of("there is no claim 0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77 of ticket 7");
        assert_eq!(
            first,
            of("there is no claim 0198c5a1-aaaa-7c3d-9a55-2f6d1c0b4e77 of ticket 12")
        );
        assert_ne!(
            first,
            of("there is no coupon 0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77 of ticket 7")
        );
        assert_eq!(of("`Other` is no event"), of("`Another` is no event"));
    }

    #[test]
    fn its_text_is_read_back_and_no_other() {
        let one = fingerprint("a", "b", "c");
        assert_eq!(one.to_string().parse::<Fingerprint>().expect("32 digits"), one);
        assert_eq!(Fingerprint::from_stored(one.as_slice()), one);
        for wrong in ["", "0f", &"x".repeat(32), &"+1".repeat(16), &"ü".repeat(16)] {
            assert!(wrong.parse::<Fingerprint>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn group_and_class_matter() {
        let all = [
            fingerprint("a", "b", "c"),
            fingerprint("ab", "", "c"),
            fingerprint("a", "c", "c"),
        ];
        assert!(all[0] != all[1] && all[0] != all[2] && all[1] != all[2]);
    }
}
