//! What members log in with. Nothing of it is ever shown by `Debug`.

use std::fmt;

use sha2::{Digest, Sha256};

/// Most characters of a login name.
pub const LOGIN_CHARS_MAX: usize = 254;
/// Fewest characters of a password.
pub const PASSWORD_CHARS_MIN: usize = 8;
/// Most characters of a password: hashing takes time by its length.
pub const PASSWORD_CHARS_MAX: usize = 128;
/// What every refresh token begins with.
const REFRESH_PREFIX: &str = "hgr_";
/// Random bytes of a refresh token.
const REFRESH_BYTES: usize = 32;

/// The text is no login name.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("must have 1 to {LOGIN_CHARS_MAX} characters, none of them white space or a control character")]
pub struct InvalidLogin;

/// The text is no password.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("must have {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters")]
pub struct InvalidPassword;

/// A login name, in lower case: an e-mail address, mostly.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Login(String);

impl Login {
    /// Accepts 1 to [`LOGIN_CHARS_MAX`] characters without white space and control characters.
    pub fn new(text: &str) -> Result<Self, InvalidLogin> {
        let lower = text.to_lowercase();
        let fits = (1..=LOGIN_CHARS_MAX).contains(&lower.chars().take(LOGIN_CHARS_MAX + 1).count());
        let plain = !lower.chars().any(|c| c.is_whitespace() || c.is_control());
        if fits && plain {
            Ok(Self(lower))
        } else {
            Err(InvalidLogin)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(hidden)")
    }
}

/// A password as it was typed.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// Accepts [`PASSWORD_CHARS_MIN`] to [`PASSWORD_CHARS_MAX`] characters.
    pub fn new(text: &str) -> Result<Self, InvalidPassword> {
        let chars = text.chars().take(PASSWORD_CHARS_MAX + 1).count();
        let fits = (PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&chars);
        fits.then(|| Self(text.to_owned())).ok_or(InvalidPassword)
    }

    /// What is hashed.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

/// SHA-256 of a refresh token's text, as MySQL stores it: 256 random bits need no slow hash.
pub type RefreshHash = [u8; 32];

/// The text of a refresh token.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshText(String);

impl RefreshText {
    /// A new token.
    pub fn generate() -> Self {
        let secret: [u8; REFRESH_BYTES] = rand::random();
        Self(format!("{REFRESH_PREFIX}{}", hex::encode(secret)))
    }

    /// One that was presented; `None` if it cannot be one of ours.
    pub fn presented(text: &str) -> Option<Self> {
        let secret = text.strip_prefix(REFRESH_PREFIX)?;
        let well_formed = secret.len() == 2 * REFRESH_BYTES
            && secret
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        well_formed.then(|| Self(text.to_owned()))
    }

    /// The text, to be shown once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored of it.
    pub fn hash(&self) -> RefreshHash {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

impl fmt::Debug for RefreshText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshText(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_lower_case_and_bounded() {
        assert_eq!(
            Login::new("Anna@Example.com").map(|login| login.0),
            Ok("anna@example.com".to_owned())
        );
        for wrong in ["", "a b", "a\u{7}", &"x".repeat(LOGIN_CHARS_MAX + 1)] {
            assert_eq!(Login::new(wrong), Err(InvalidLogin), "{wrong}");
        }
    }

    #[test]
    fn passwords_are_bounded_and_never_shown() {
        assert!(Password::new("1234567").is_err());
        assert!(Password::new(&"ä".repeat(PASSWORD_CHARS_MAX)).is_ok());
        assert!(Password::new(&"x".repeat(PASSWORD_CHARS_MAX + 1)).is_err());
        let shown = format!("{:?}", Password::new("correct horse").expect("a password"));
        assert!(!shown.contains("horse"));
    }

    #[test]
    fn a_presented_refresh_token_has_the_hash_that_was_stored() {
        let token = RefreshText::generate();
        let presented = RefreshText::presented(token.reveal()).expect("one of ours");
        assert_eq!(presented.hash(), token.hash());
        for wrong in ["", "hgr_", "hgr_00", &token.reveal().to_uppercase()] {
            assert_eq!(RefreshText::presented(wrong), None, "{wrong}");
        }
    }
}
