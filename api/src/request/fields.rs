//! Reads a JSON object field by field, so that every wrong field is reported and not
//! only the first.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::problem::WrongField;

/// Most wrong fields that one answer lists.
const WRONG_FIELDS_MAX: usize = 32;
/// Longest piece of an unknown field's name that an answer repeats, in characters.
const NAME_SHOWN_CHARS: usize = 64;

/// An object that is being read.
#[derive(Debug)]
pub struct Fields {
    object: Map<String, Value>,
    /// Where the object lies in the body: empty, or with a dot at its end.
    place: String,
    now: DateTime<Utc>,
    wrong: Vec<WrongField>,
}

impl Fields {
    /// Begins to read `object`. `now` is for fields that are judged by the time.
    pub const fn new(object: Map<String, Value>, now: DateTime<Utc>) -> Self {
        Self {
            object,
            place: String::new(),
            now,
            wrong: Vec::new(),
        }
    }

    /// Now, by MySQL's clock.
    pub const fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// A field that has to be there.
    pub fn required<T>(&mut self, name: &str, read: impl FnOnce(&Value) -> Result<T, String>) -> Option<T> {
        match self.object.remove(name) {
            None => {
                self.fault(name, "is required");
                None
            }
            Some(value) => self.read(name, &value, read),
        }
    }

    /// A field that may be left out, or null. The outer `None` is a wrong field.
    #[expect(clippy::option_option, reason = "left out and wrong are different things")]
    pub fn optional<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<Option<T>> {
        match self.object.remove(name) {
            None | Some(Value::Null) => Some(None),
            Some(value) => self.read(name, &value, read).map(Some),
        }
    }

    /// An object that has to be there, read by `read` in the same manner.
    pub fn required_object<T>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let object = self.required(name, |value| {
            value
                .as_object()
                .cloned()
                .ok_or_else(|| "must be an object".to_owned())
        })?;
        let mut inner = Self::new(object, self.now);
        inner.place = format!("{}{name}.", self.place);
        let read = read(&mut inner);
        let outcome = inner.finish(read);
        outcome.map_err(|wrong| self.wrong.extend(wrong)).ok()
    }

    /// Notes a fault of a field.
    pub fn fault(&mut self, name: &str, detail: impl Into<String>) {
        self.wrong.push(WrongField {
            field: format!("{}{name}", self.place),
            detail: detail.into(),
        });
    }

    /// Ends the reading: what is left over is unknown.
    pub fn finish<T>(mut self, read: Option<T>) -> Result<T, Vec<WrongField>> {
        for name in std::mem::take(&mut self.object).keys() {
            let shown: String = name.chars().take(NAME_SHOWN_CHARS).collect();
            self.fault(&shown, "is unknown");
        }
        self.wrong.truncate(WRONG_FIELDS_MAX);
        match read {
            Some(read) if self.wrong.is_empty() => Ok(read),
            _ => Err(self.wrong),
        }
    }

    fn read<T>(
        &mut self,
        name: &str,
        value: &Value,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        read(value).map_err(|detail| self.fault(name, detail)).ok()
    }
}

/// Reads a string.
pub fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| "must be a string".to_owned())
}

/// Reads true or false.
pub fn flag(value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| "must be true or false".to_owned())
}

/// Reads a whole number from 0.
pub fn whole_number(value: &Value) -> Result<u64, String> {
    value
        .as_u64()
        .ok_or_else(|| "must be a whole number from 0".to_owned())
}

/// Reads a time.
pub fn time(value: &Value) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text(value)?)
        .map(DateTime::into)
        .map_err(|_| "must be a time such as 2026-11-21T10:00:00Z (RFC 3339)".to_owned())
}

/// Passes on what a type of the domain says about a value.
pub fn parsed<T, E: ToString>(outcome: Result<T, E>) -> Result<T, String> {
    outcome.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(value: Value) -> Fields {
        let Value::Object(object) = value else {
            panic!("an object")
        };
        Fields::new(object, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn every_wrong_field_is_reported() {
        let mut fields = fields(json!({"a": "1", "inner": {"b": -1, "d": 0}, "e": 0}));
        let read = (
            fields.required("a", whole_number),
            fields.required_object("inner", |inner| inner.required("b", whole_number)),
            fields.required("c", flag),
        );
        assert_eq!(read, (None, None, None));
        let wrong = fields.finish(None::<()>).expect_err("faults");
        let names: Vec<_> = wrong.iter().map(|wrong| wrong.field.as_str()).collect();
        assert_eq!(names, ["a", "inner.b", "inner.d", "c", "e"]);
    }

    #[test]
    fn numbers_are_whole_and_times_are_exact() {
        for wrong in [
            json!(1.5),
            json!(-1),
            json!("1"),
            json!(1e30),
            json!(null),
            json!([1]),
        ] {
            assert!(whole_number(&wrong).is_err(), "{wrong}");
        }
        assert_eq!(whole_number(&json!(u64::MAX)), Ok(u64::MAX));
        for wrong in ["2026-11-21", "2026-11-21T10:00:00", "2026-13-01T00:00:00Z", ""] {
            assert!(time(&json!(wrong)).is_err(), "{wrong}");
        }
        assert_eq!(
            time(&json!("2026-11-21T10:00:00+09:00")),
            Ok("2026-11-21T01:00:00Z".parse().expect("a time"))
        );
    }
}
