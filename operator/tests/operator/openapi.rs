//! The checked-in OpenAPI document is the one that the code describes.

use std::path::Path;

/// Writes the document anew when set: `HEADGATE_UPDATE_OPENAPI=1 cargo test -p headgate-operator openapi`.
const UPDATE_VARIABLE: &str = "HEADGATE_UPDATE_OPENAPI";

#[test]
fn the_checked_in_document_is_fresh() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let described = headgate_operator::http::router::openapi()
        .to_pretty_json()
        .expect("it is JSON")
        + "\n";
    if std::env::var_os(UPDATE_VARIABLE).is_some() {
        std::fs::write(&file, &described).expect("openapi.json can be written");
    }
    let checked_in = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        described == checked_in,
        "operator/openapi.json is stale: run this test with {UPDATE_VARIABLE}=1"
    );
}
