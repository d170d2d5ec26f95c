//! The tokens that operators present. Only hashes are kept.

use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Operator, Role};

/// Shortest token that is accepted in the configuration, in bytes. A token is a random
/// secret, not a password: a fast hash is enough for what cannot be guessed.
pub const TOKEN_BYTES_MIN: usize = 16;
/// Longest name of a token, in characters: it goes into `audit_log.actor`.
const NAME_CHARS_MAX: usize = 64;
/// Name of the token that the environment brings.
const ENVIRONMENT_NAME: &str = "environment";

type Hash = [u8; 32];

/// One entry of `[[tokens]]`: `sha256` or `token`, not both.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// Shown in the audit log.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// SHA-256 of the token, hexadecimal.
    pub sha256: Option<String>,
    /// The token itself: for a machine of one's own.
    pub token: Option<String>,
}

impl TokenConfig {
    /// The token of `HEADGATE_OPERATOR_TOKEN`: an admin.
    pub fn of_environment(token: String) -> Self {
        Self {
            name: ENVIRONMENT_NAME.to_owned(),
            role: Role::Admin,
            sha256: None,
            token: Some(token),
        }
    }

    /// What is wrong with it.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let named = (1..=NAME_CHARS_MAX).contains(&self.name.chars().count());
        if !named {
            faults.push(format!("tokens.name must have 1 to {NAME_CHARS_MAX} characters"));
        }
        if self.hash().is_none() {
            faults.push(format!(
                "token `{}` needs either sha256 (64 hexadecimal digits) or token (at least {TOKEN_BYTES_MIN} bytes)",
                self.name
            ));
        }
        faults
    }

    fn hash(&self) -> Option<Hash> {
        match (&self.sha256, &self.token) {
            (Some(digits), None) => hex::decode(digits).ok()?.try_into().ok(),
            (None, Some(token)) if token.len() >= TOKEN_BYTES_MIN => Some(hash(token.as_bytes())),
            _ => None,
        }
    }
}

fn hash(token: &[u8]) -> Hash {
    Sha256::digest(token).into()
}

/// The tokens that are let in.
#[derive(Clone, Debug, Default)]
pub struct Tokens(Vec<(Hash, Operator)>);

impl Tokens {
    /// The tokens of the configuration, which was found to be without fault.
    pub fn new(tokens: &[TokenConfig]) -> Self {
        let known = tokens.iter().filter_map(|token| {
            let operator = Operator {
                name: token.name.clone(),
                role: token.role,
            };
            Some((token.hash()?, operator))
        });
        Self(known.collect())
    }

    /// Whose token this is. Takes the same time whether and where it is found.
    pub fn operator(&self, presented: &[u8]) -> Option<&Operator> {
        let presented = hash(presented);
        let mut found = None;
        for (known, operator) in &self.0 {
            if bool::from(known.ct_eq(&presented)) {
                found = Some(operator);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn token(sha256: Option<&str>, token: Option<&str>) -> TokenConfig {
        TokenConfig {
            name: "kim".into(),
            role: Role::Viewer,
            sha256: sha256.map(str::to_owned),
            token: token.map(str::to_owned),
        }
    }

    #[test]
    fn a_token_is_known_by_its_text_or_its_hash() {
        let hashed = hex::encode(hash(TOKEN.as_bytes()));
        for config in [token(None, Some(TOKEN)), token(Some(&hashed), None)] {
            assert_eq!(config.faults(), Vec::<String>::new());
            let tokens = Tokens::new(&[config]);
            assert_eq!(
                tokens.operator(TOKEN.as_bytes()).map(|o| o.role),
                Some(Role::Viewer)
            );
            assert_eq!(tokens.operator(b"0123456789abcdeF"), None);
            assert_eq!(tokens.operator(b""), None);
        }
    }

    #[test]
    fn a_short_doubled_or_missing_secret_is_a_fault() {
        let hashed = hex::encode(hash(TOKEN.as_bytes()));
        for wrong in [
            token(None, None),
            token(None, Some("short")),
            token(Some("abc"), None),
            token(Some(&hashed), Some(TOKEN)),
        ] {
            assert_eq!(wrong.faults().len(), 1, "{wrong:?}");
            assert_eq!(Tokens::new(&[wrong]).operator(b"short"), None);
        }
    }
}
