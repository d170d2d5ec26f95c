//! Fingerprints: letters of one cause have one, however their ids and numbers differ.

use sha2::{Digest, Sha256};

/// Bytes of a fingerprint.
pub(crate) const FINGERPRINT_BYTES: usize = 16;

/// The fingerprint of a failure: group, class and the cause without what varies.
pub(crate) fn fingerprint(group: &str, class: &str, error: &str) -> [u8; FINGERPRINT_BYTES] {
    let mut hash = Sha256::new();
    for part in [group, class, &normalised(error)] {
        hash.update(part.as_bytes());
        // No part can run into the next.
        hash.update([0]);
    }
    let digest = hash.finalize();
    let mut fingerprint = [0; FINGERPRINT_BYTES];
    fingerprint.copy_from_slice(&digest[..FINGERPRINT_BYTES]);
    fingerprint
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
    fn group_and_class_matter() {
        let all = [
            fingerprint("a", "b", "c"),
            fingerprint("ab", "", "c"),
            fingerprint("a", "c", "c"),
        ];
        assert!(all[0] != all[1] && all[0] != all[2] && all[1] != all[2]);
    }
}
