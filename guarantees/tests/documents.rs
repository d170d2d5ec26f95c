//! The documents say what there is.

use headgate_testkit::Environment;

#[tokio::test]
async fn every_table_is_in_the_diagram() {
    let environment = Environment::migrated("documents_tables").await;
    let tables: Vec<String> = sqlx::query_scalar(
        r"SELECT CAST(table_name AS CHAR) FROM information_schema.tables
          WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' AND table_name NOT LIKE '\_%'",
    )
    .fetch_all(environment.pool())
    .await
    .expect("MySQL names its tables");
    assert!(!tables.is_empty());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/erd.md");
    let diagram = std::fs::read_to_string(path).expect("docs/erd.md can be read");
    let words: Vec<&str> = diagram
        .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .collect();
    let missing: Vec<_> = tables
        .iter()
        .filter(|table| !words.contains(&table.as_str()))
        .collect();
    assert!(missing.is_empty(), "docs/erd.md does not name {missing:?}");
}
