//! G14: the audit log is append-only. Nothing in the product updates or deletes a line of it: the
//! statements that are checked against the schema say so, and no other code names its tables.

use std::fs;
use std::path::{Path, PathBuf};

use headgate_testkit::servers::workspace_root;

/// The log, and the row that says which line is the last.
const TABLES: [&str; 2] = ["audit_log", "audit_head"];
/// The only code that names them.
const STORE: &str = "outbox/src/audit/store.rs";
/// The migrations that made them; a later one that touches them is a decision to be taken here.
const MIGRATIONS: [&str; 2] = ["0002_inbox.sql", "0015_audit_chain.sql"];
/// Beginnings of what may be done.
const ALLOWED: [&str; 3] = ["SELECT ", "INSERT INTO audit_log ", "UPDATE audit_head SET "];
/// Folders that are not part of the product.
const OUTSIDE: [&str; 5] = ["testkit", "guarantees", "bench", "target", "tests"];

fn names_a_table(text: &str) -> bool {
    TABLES.iter().any(|table| text.contains(table))
}

/// Files below `folder` with this ending, but for hidden folders and those that do not ship.
fn files(folder: &Path, ending: &str, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && !OUTSIDE.contains(&name.as_str()) {
                files(&path, ending, into);
            }
        } else if name.ends_with(ending) {
            into.push(path);
        }
    }
}

fn relative(path: &Path) -> String {
    let inside = path.strip_prefix(workspace_root()).expect("below the root");
    inside.to_string_lossy().into_owned()
}

/// One blank between words, as in the constants above.
fn plain(statement: &str) -> String {
    statement.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn g14_every_checked_statement_on_the_audit_log_reads_or_adds() {
    let mut found = Vec::new();
    for entry in fs::read_dir(workspace_root().join(".sqlx")).expect("the metadata is there") {
        let text = fs::read_to_string(entry.expect("an entry").path()).expect("it can be read");
        let metadata: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        let statement = plain(metadata["query"].as_str().expect("a statement"));
        if names_a_table(&statement) {
            found.push(statement);
        }
    }
    let changes = |statement: &&String| {
        !ALLOWED.iter().any(|allowed| statement.starts_with(allowed))
            || statement.contains("ON DUPLICATE KEY")
    };
    assert_eq!(
        found.iter().filter(changes).collect::<Vec<_>>(),
        Vec::<&String>::new()
    );
    for allowed in ALLOWED {
        let is_there = found.iter().any(|statement| statement.starts_with(allowed));
        assert!(
            is_there,
            "no statement begins with `{allowed}`: this test looks at the wrong place"
        );
    }
}

#[test]
fn g14_no_other_code_names_the_audit_log() {
    let mut sources = Vec::new();
    files(&workspace_root(), ".rs", &mut sources);
    let mut named = Vec::new();
    for source in sources {
        let text = fs::read_to_string(&source).expect("it can be read");
        let in_code = |line: &str| names_a_table(line) && !line.trim_start().starts_with("//");
        if text.lines().any(in_code) {
            named.push(relative(&source));
        }
    }
    assert_eq!(named, [STORE]);
    // What is not checked at compile time is not in the metadata.
    let store = fs::read_to_string(workspace_root().join(STORE)).expect("the store is there");
    for unchecked in ["raw_sql", "query(", "query_as(", "query_scalar(", "QueryBuilder"] {
        assert!(
            !store.contains(unchecked),
            "{STORE} has a statement that nothing checks: {unchecked}"
        );
    }
}

#[test]
fn g14_no_migration_and_no_script_touches_the_audit_log_unseen() {
    let mut scripts = Vec::new();
    for ending in [".sql", ".py", ".sh"] {
        files(&workspace_root(), ending, &mut scripts);
    }
    let mut named: Vec<String> = scripts
        .iter()
        .filter(|script| names_a_table(&fs::read_to_string(script).expect("it can be read")))
        .map(|script| relative(script))
        .collect();
    named.sort();
    let mut expected = vec!["deploy/mysql/grants.sql".to_owned()];
    expected.extend(MIGRATIONS.map(|name| format!("schemas/migrations/{name}")));
    assert_eq!(named, expected);
}
