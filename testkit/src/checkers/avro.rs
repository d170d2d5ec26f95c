//! Reading values with the schema that the registry has for them.

use std::collections::{BTreeMap, BTreeSet};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use serde_json::Value;

use super::evidence::{Event, Evidence};

/// Bytes before the datum: a zero and the schema's id.
const HEADER_BYTES: usize = 5;

/// The schemas that these values name.
pub(super) async fn schemas(registry_url: &str, events: &[Event]) -> BTreeMap<u32, Schema> {
    let ids: BTreeSet<u32> = events
        .iter()
        .filter_map(|event| schema_id(event.payload.as_deref()?))
        .collect();
    let mut schemas = BTreeMap::new();
    for id in ids {
        let url = format!("{}/schemas/ids/{id}", registry_url.trim_end_matches('/'));
        let answer = reqwest::get(url).await.expect("the registry answers");
        if !answer.status().is_success() {
            continue;
        }
        let answer: Value = answer.json().await.expect("the registry answers in JSON");
        let text = answer["schema"].as_str().expect("the answer holds a schema");
        schemas.insert(
            id,
            Schema::parse_str(text).expect("a registered schema can be read"),
        );
    }
    schemas
}

fn schema_id(value: &[u8]) -> Option<u32> {
    let (magic, id) = value.split_first()?;
    (*magic == 0).then_some(u32::from_be_bytes(*id.first_chunk()?))
}

impl Evidence {
    /// A value as JSON; `None` where it cannot be read.
    pub fn read_value(&self, value: &[u8]) -> Option<Value> {
        let schema = self.schemas.get(&schema_id(value)?)?;
        let datum = value.get(HEADER_BYTES..)?;
        let reader = GenericDatumReader::builder(schema).build().ok()?;
        reader.read_value(&mut &*datum).ok()?.try_into().ok()
    }
}
