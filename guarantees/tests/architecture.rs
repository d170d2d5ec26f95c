//! The rooms of the house: which crate may depend on which. A dependency that the
//! table does not allow is a decision to be taken, not one to slip in.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use headgate_testkit::servers::workspace_root;
use serde_json::Value;

/// Crate, and the crates of the product that it may depend on.
const ROOMS: &[(&str, &[&str])] = &[
    ("schemas", &[]),
    ("runtime", &["schemas"]),
    ("outbox", &["schemas", "runtime"]),
    ("domain", &["schemas", "outbox"]),
    ("groups", &["domain", "outbox", "runtime", "schemas"]),
    ("dead-letters", &["outbox", "schemas", "runtime"]),
    ("admission", &["domain", "runtime", "schemas"]),
    ("api", &["admission", "domain", "outbox", "runtime", "schemas"]),
    ("relay", &["outbox", "runtime", "schemas"]),
    (
        "consumers",
        &[
            "groups",
            "dead-letters",
            "admission",
            "domain",
            "outbox",
            "runtime",
            "schemas",
        ],
    ),
    (
        "operator",
        &[
            "groups",
            "dead-letters",
            "admission",
            "domain",
            "outbox",
            "runtime",
            "schemas",
        ],
    ),
    ("testkit", &[]),
    ("guarantees", &["testkit"]),
];

/// Crates that no other may depend on: programs, and what measures them.
const LEAVES: &[&str] = &["api", "relay", "consumers", "operator", "guarantees", "bench"];

#[derive(Debug, Default)]
struct Dependencies {
    product: BTreeSet<String>,
    tests: BTreeSet<String>,
    others: BTreeSet<String>,
}

fn workspace() -> BTreeMap<String, Dependencies> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(workspace_root())
        .output()
        .expect("cargo can be run");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            (
                room(&package["name"]).expect("a crate of ours"),
                dependencies(package),
            )
        })
        .collect()
}

fn dependencies(package: &Value) -> Dependencies {
    let mut found = Dependencies::default();
    for dependency in package["dependencies"].as_array().expect("dependencies") {
        let is_test = dependency["kind"] == "dev";
        match room(&dependency["name"]) {
            Some(ours) if is_test => found.tests.insert(ours),
            Some(ours) => found.product.insert(ours),
            None if !is_test => found
                .others
                .insert(dependency["name"].as_str().expect("a name").to_owned()),
            None => false,
        };
    }
    found
}

fn room(name: &Value) -> Option<String> {
    name.as_str()?.strip_prefix("headgate-").map(str::to_owned)
}

#[test]
fn rooms_depend_only_on_what_the_table_allows() {
    let workspace = workspace();
    let mut wrong = Vec::new();
    for (crate_name, dependencies) in &workspace {
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| name == crate_name) else {
            assert_eq!(crate_name, "bench", "{crate_name} is not in the table of rooms");
            continue;
        };
        for dependency in &dependencies.product {
            if !allowed.contains(&dependency.as_str()) {
                wrong.push(format!("{crate_name} depends on {dependency}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(
        ROOMS.iter().all(|(name, _)| workspace.contains_key(*name)),
        "the table names a crate that is gone"
    );
}

#[test]
fn programs_never_import_each_other() {
    for (crate_name, dependencies) in workspace() {
        let both = dependencies.product.union(&dependencies.tests);
        let wrong: Vec<_> = both
            .filter(|dependency| LEAVES.contains(&dependency.as_str()))
            .collect();
        assert!(
            wrong.is_empty() || crate_name == "bench",
            "{crate_name} depends on {wrong:?}"
        );
    }
}

#[test]
fn the_test_kit_is_for_tests_and_knows_no_product_crate() {
    let workspace = workspace();
    let kit = &workspace["testkit"];
    assert!(kit.product.is_empty() && kit.tests.is_empty(), "{kit:?}");
    for (crate_name, dependencies) in &workspace {
        let ships_it = dependencies.product.contains("testkit") && crate_name != "guarantees";
        assert!(!ships_it, "{crate_name} ships the test kit");
    }
}

#[test]
fn rules_know_neither_redis_nor_kafka() {
    let workspace = workspace();
    for pure in ["domain", "groups", "schemas"] {
        let wrong: Vec<_> = ["redis", "rdkafka", "axum", "reqwest"]
            .into_iter()
            .filter(|name| workspace[pure].others.contains(*name))
            .collect();
        assert!(wrong.is_empty(), "{pure} depends on {wrong:?}");
    }
}
