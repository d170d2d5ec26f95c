//! The header `Idempotency-Key`, after the draft of the IETF's HTTP API group: a quoted
//! string. The bare token that most clients send is accepted, too, and is the same key.
//! <https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/>

use axum::http::{HeaderMap, HeaderValue};
use utoipa::IntoParams;

use crate::problem::Problem;

/// The name of the header.
pub const HEADER: &str = "Idempotency-Key";
/// Longest key, in characters.
pub const KEY_CHARS_MAX: usize = 255;

/// A key: 1 to [`KEY_CHARS_MAX`] visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(String);

/// The header as OpenAPI shows it.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes the header to OpenAPI")]
pub struct KeyHeader {
    /// 1 to 255 visible characters, in quotes or without: the same request under the same
    /// key takes effect once, and hears the first answer for 24 hours.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 255, required = false, value_type = String)]
    key: Option<String>,
}

impl Key {
    /// The key of a request, if it has one.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut values = headers.get_all(HEADER).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(Problem::parameter(HEADER, "must be given once"));
        }
        let key = HeaderValue::to_str(value).ok().and_then(Self::parse);
        let key = key.ok_or_else(|| {
            let detail = format!("must be 1 to {KEY_CHARS_MAX} visible characters, in quotes or without");
            Problem::parameter(HEADER, detail)
        })?;
        Ok(Some(key))
    }

    /// The text of the key, without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parse(value: &str) -> Option<Self> {
        let value = value.trim();
        let text = match value.strip_prefix('"') {
            Some(quoted) => unquoted(quoted.strip_suffix('"')?)?,
            None if value.contains(['"', '\\', ',', ';']) => return None,
            None => value.to_owned(),
        };
        let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        (is_visible && (1..=KEY_CHARS_MAX).contains(&text.len())).then_some(Self(text))
    }
}

/// What stands between the quotes: a backslash stands before a quote or another
/// backslash, and nowhere else (RFC 9651, section 3.3.3).
fn unquoted(text: &str) -> Option<String> {
    let mut unquoted = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return None,
            '\\' => match characters.next() {
                Some(escaped @ ('"' | '\\')) => unquoted.push(escaped),
                _ => return None,
            },
            _ => unquoted.push(character),
        }
    }
    Some(unquoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: &str) -> Option<String> {
        Key::parse(value).map(|key| key.0)
    }

    #[test]
    fn the_quoted_form_and_the_bare_one_are_the_same_key() {
        for value in ["abc-1", "\"abc-1\"", " \"abc-1\" "] {
            assert_eq!(parsed(value).as_deref(), Some("abc-1"), "{value}");
        }
        assert_eq!(parsed(r#""a\"b\\c""#).as_deref(), Some(r#"a"b\c"#));
        assert_eq!(parsed("YWJj/+==").as_deref(), Some("YWJj/+=="));
        assert_eq!(
            parsed(&"x".repeat(KEY_CHARS_MAX)).map(|key| key.len()),
            Some(KEY_CHARS_MAX)
        );
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let long = "x".repeat(KEY_CHARS_MAX + 1);
        let quoted = format!("\"{long}\"");
        for value in [
            "",
            " ",
            "\"",
            "\"\"",
            "\"a",
            "a\"",
            "a b",
            "\"a b\"",
            "\"a\";x=1",
            "a,b",
            "\"a\\b\"",
            "\"a\\\"",
            "\"a\"b\"",
            "\u{e9}",
            "a\tb",
            &long,
            &quoted,
        ] {
            assert_eq!(parsed(value), None, "{value}");
        }
    }

    #[test]
    fn a_key_is_given_once() {
        let mut headers = HeaderMap::new();
        assert!(Key::of(&headers).expect("none is fine").is_none());
        headers.append(HEADER, HeaderValue::from_static("a"));
        assert_eq!(Key::of(&headers).expect("a key"), Some(Key("a".to_owned())));
        headers.append(HEADER, HeaderValue::from_static("a"));
        assert!(Key::of(&headers).is_err());
    }
}
