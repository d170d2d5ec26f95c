//! Signatures after the Standard Webhooks specification,
//! <https://github.com/standard-webhooks/standard-webhooks>.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headgate_domain::notifications::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The version of the scheme.
const VERSION: &str = "v1";

/// What `webhook-signature` says of a message: a signature by each secret, separated by blanks.
pub(crate) fn signatures(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let signatures: Vec<String> = secrets
        .iter()
        .map(|secret| signature(secret.as_bytes(), id, timestamp, body))
        .collect();
    signatures.join(" ")
}

fn signature(key: &[u8], id: &str, timestamp: i64, body: &[u8]) -> String {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes any key"));
    hmac.update(format!("{id}.{timestamp}.").as_bytes());
    hmac.update(body);
    format!("{VERSION},{}", STANDARD.encode(hmac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn a_known_message_has_the_known_signature() {
        let key = STANDARD
            .decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
            .expect("base64");
        let secret = Secret::from_stored(key);
        let body = br#"{"test": 2432232314}"#;
        let (id, timestamp) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330);
        let known = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(
            signatures(std::slice::from_ref(&secret), id, timestamp, body),
            known
        );
        let both = signatures(&[secret, Secret::generate()], id, timestamp, body);
        assert!(both.starts_with(&format!("{known} v1,")), "{both}");
    }
}
