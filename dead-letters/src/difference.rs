//! The difference between two values: which fields changed, from what to what. Bounded in
//! number and size, because it is kept for ever and shown to people.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Most changes that are listed.
pub const CHANGES_MAX: usize = 50;
/// Longest path, in characters; its beginning is kept.
const PATH_CHARS_MAX: usize = 256;
/// Longest text that is listed, in characters; its beginning is kept.
const TEXT_CHARS_MAX: usize = 256;
/// Largest list or object that is listed, in bytes of JSON; its size stands for it.
const NESTED_BYTES_MAX: usize = 512;
/// Levels of the deepest list or object that is listed. MySQL takes no more than a hundred.
const LEVELS_MAX: usize = 16;

/// What an edit changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// In the order of the fields' names; at most [`CHANGES_MAX`].
    pub changes: Vec<Change>,
    /// How many more there are.
    pub left_out: usize,
    /// What there was before could not be read: every field counts as new.
    pub original_unreadable: bool,
}

/// A field that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// JSON pointer (RFC 6901).
    pub path: String,
    /// What it was; null if it was not there.
    pub before: Value,
    /// What it is; null if it is not there.
    pub after: Value,
}

impl Difference {
    /// What changed; `before` is `None` if it could not be read.
    pub fn between(before: Option<&Value>, after: &Value) -> Self {
        let nothing = Value::Object(Map::new());
        let mut difference = Self {
            original_unreadable: before.is_none(),
            ..Self::default()
        };
        difference.compare("", before.unwrap_or(&nothing), after);
        difference
    }

    /// The paths of what changed, as a line.
    pub fn paths(&self) -> String {
        let mut paths: Vec<&str> = self.changes.iter().map(|change| change.path.as_str()).collect();
        let more = format!("and {} more", self.left_out);
        if self.left_out > 0 {
            paths.push(&more);
        }
        paths.join(", ")
    }

    /// The same with every value as `shown` has it: called with the name of the field (the
    /// path's last part) and the value.
    #[must_use]
    pub fn map(self, shown: impl Fn(&str, Value) -> Value) -> Self {
        let changes = self.changes.into_iter().map(|change| {
            let name = change.path.rsplit('/').next().unwrap_or_default();
            let name = name.replace("~1", "/").replace("~0", "~");
            Change {
                before: shown(&name, change.before),
                after: shown(&name, change.after),
                path: change.path,
            }
        });
        Self {
            changes: changes.collect(),
            ..self
        }
    }

    /// What is not there counts as null.
    fn compare_parts(&mut self, path: &str, before: Option<&Value>, after: Option<&Value>) {
        self.compare(
            path,
            before.unwrap_or(&Value::Null),
            after.unwrap_or(&Value::Null),
        );
    }

    fn compare(&mut self, path: &str, before: &Value, after: &Value) {
        match (before, after) {
            (before, after) if before == after => {}
            (Value::Object(before), Value::Object(after)) => {
                let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
                names.sort_unstable();
                names.dedup();
                for name in names {
                    let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
                    let (before, after) = (before.get(name), after.get(name));
                    self.compare_parts(&path, before, after);
                }
            }
            (Value::Array(before), Value::Array(after)) => {
                for index in 0..before.len().max(after.len()) {
                    let (before, after) = (before.get(index), after.get(index));
                    let path = format!("{path}/{index}");
                    self.compare_parts(&path, before, after);
                }
            }
            _ if self.changes.len() < CHANGES_MAX => self.changes.push(Change {
                path: cut(path, PATH_CHARS_MAX),
                before: bounded(before),
                after: bounded(after),
            }),
            _ => self.left_out += 1,
        }
    }
}

/// A value of bounded size. It stays of its kind, so that whoever hides parts of it by the
/// names of fields judges it as they would the whole.
fn bounded(value: &Value) -> Value {
    match value {
        Value::String(text) => cut(text, TEXT_CHARS_MAX).into(),
        Value::Array(_) | Value::Object(_) => {
            let bytes = value.to_string().len();
            let size = Value::from(format!("{bytes} bytes"));
            match value {
                _ if bytes <= NESTED_BYTES_MAX && !is_deeper(value, LEVELS_MAX) => value.clone(),
                Value::Array(_) => Value::Array(vec![size]),
                _ => Value::Object([("…".to_owned(), size)].into_iter().collect()),
            }
        }
        other => other.clone(),
    }
}

fn is_deeper(value: &Value, levels: usize) -> bool {
    let mut below = match value {
        Value::Array(items) => items.iter().collect::<Vec<_>>(),
        Value::Object(fields) => fields.values().collect(),
        _ => return false,
    }
    .into_iter();
    levels == 0 || below.any(|value| is_deeper(value, levels - 1))
}

fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn changes(before: &Value, after: &Value) -> Vec<(String, Value, Value)> {
        Difference::between(Some(before), after)
            .changes
            .into_iter()
            .map(|change| (change.path, change.before, change.after))
            .collect()
    }

    #[test]
    fn only_what_changed_is_listed_by_its_path() {
        let before =
            json!({"user": "u-1", "ticket": 7, "of": {"a/b": 1, "same": [1]}, "gone": true, "list": [1, 2]});
        let after =
            json!({"user": "u-1", "ticket": 8, "of": {"a/b": 2, "same": [1]}, "new": "n", "list": [1, 3, 4]});
        let change = |path: &str, before: Value, after: Value| (path.to_owned(), before, after);
        assert_eq!(
            changes(&before, &after),
            [
                change("/gone", json!(true), json!(null)),
                change("/list/1", json!(2), json!(3)),
                change("/list/2", json!(null), json!(4)),
                change("/new", json!(null), json!("n")),
                change("/of/a~1b", json!(1), json!(2)),
                change("/ticket", json!(7), json!(8)),
            ]
        );
        assert_eq!(changes(&after, &after), []);
        assert_eq!(
            changes(&json!([1]), &json!({"a": 1})),
            [change("", json!([1]), json!({"a": 1}))]
        );
    }

    #[test]
    fn what_could_not_be_read_was_nothing_and_that_is_said() {
        let difference = Difference::between(None, &json!({"user": "u-1", "ticket": 7}));
        assert!(difference.original_unreadable);
        assert_eq!(difference.paths(), "/ticket, /user");
        assert!(difference.changes.iter().all(|change| change.before.is_null()));
        assert!(!Difference::between(Some(&json!({})), &json!({})).original_unreadable);
    }

    #[test]
    fn number_and_size_are_bounded() {
        let many: Value = (0..CHANGES_MAX + 3)
            .map(|number| (format!("{number:03}"), Value::from("x".repeat(10_000))))
            .collect();
        let difference = Difference::between(None, &many);
        assert_eq!((difference.changes.len(), difference.left_out), (CHANGES_MAX, 3));
        assert!(difference.paths().ends_with("and 3 more"));
        let text = difference.changes[0].after.as_str().expect("text");
        assert_eq!(text.chars().count(), TEXT_CHARS_MAX + 1);
        let nested = json!({"list": vec!["x"; 1_000], "object": {"name": "x".repeat(1_000)}});
        let difference = Difference::between(Some(&json!({})), &nested);
        assert!(difference.changes[0].after.is_array() && difference.changes[1].after.is_object());
        let text = serde_json::to_string(&difference).expect("JSON");
        assert!(text.len() < 1_000, "{text}");
        let deep = (0..120).fold(json!(1), |inner, _| json!([inner]));
        let difference = Difference::between(Some(&json!({"list": deep})), &json!({"list": [[1]]}));
        let before = difference.changes[0].before.to_string();
        assert!(before.len() < 40, "{before}");
    }

    #[test]
    fn every_value_can_be_shown_by_the_name_of_its_field() {
        let difference = Difference::between(None, &json!({"of": {"a~/b": "secret"}, "ticket": 7}));
        // The object is new as a whole.
        let shown = difference.map(|name, value| {
            if name == "ticket" || value.is_null() {
                value
            } else {
                name.into()
            }
        });
        let after: Vec<&Value> = shown.changes.iter().map(|change| &change.after).collect();
        assert_eq!(after, [&json!("of"), &json!(7)]);
        let nested = Difference::between(Some(&json!({"of": {"a~/b": 1}})), &json!({"of": {"a~/b": 2}}));
        assert_eq!(nested.map(|name, _| name.into()).changes[0].after, json!("a~/b"));
    }
}
