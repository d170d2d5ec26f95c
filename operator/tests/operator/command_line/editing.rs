//! `headgate dlq edit`.

use std::path::Path;

use serde_json::{Value, json};

use crate::listener::{Listener, OPERATOR, VIEWER};

/// Writes a value into a file and returns its path.
fn file(folder: &tempfile::TempDir, value: &Value) -> String {
    let path = folder.path().join("value.json");
    std::fs::write(&path, value.to_string()).expect("a file");
    path.to_str().expect("UTF-8").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_edited_from_a_file_and_replayed() {
    let listener = Listener::start("cli_dlq_edit").await;
    let letter = listener.letters(1).await.remove(0);
    let show = format!("dlq show {letter}");
    let mut value = listener.json(OPERATOR, &show).await["record"]["value"].clone();
    let folder = tempfile::tempdir().expect("a folder");
    let edit = |arguments: &str| format!("dlq edit {letter} --reason wrong-user {arguments}");
    // Nobody could answer, and nothing could be typed.
    listener.fails(OPERATOR, &edit("--yes"), 2, "--file").await;
    let same = edit(&format!("--yes --file {}", file(&folder, &value)));
    listener.fails(OPERATOR, &same, 4, "unchanged").await;
    value["user_id"] = json!("u-9");
    let path = file(&folder, &value);
    listener
        .fails(OPERATOR, &edit(&format!("--file {path}")), 5, "nothing was done")
        .await;
    listener
        .fails(VIEWER, &edit(&format!("--yes --file {path}")), 4, "role")
        .await;
    let absent = Path::new(&path).with_file_name("absent.json");
    let absent = edit(&format!("--yes --file {}", absent.display()));
    listener.fails(OPERATOR, &absent, 2, "cannot be read").await;
    // Nothing comes from stdin here.
    listener
        .fails(OPERATOR, &edit("--yes --file -"), 4, "not JSON")
        .await;
    assert!(listener.acts().await.is_empty());

    let edit = edit(&format!("--yes --replay --output json --file {path}"));
    let ended = listener.run(OPERATOR, &edit).await;
    let done: Value = ended.json();
    ended.says(r#"/user_id: "u-1" -> "u-9""#);
    assert_eq!(
        (&done["edit_no"], &done["replay"]["attempt"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        listener.acts().await,
        ["olga dead-letter.edit", "olga dead-letter.replay"]
    );
    let shown = listener.run(OPERATOR, &show).await;
    for text in ["u-1", "u-9", "because wrong-user", "edited by olga"] {
        assert!(shown.code(0).stdout.contains(text), "`{text}`: {}", shown.stdout);
    }
    let viewed = listener.run(VIEWER, &show).await;
    assert!(
        !viewed.stdout.contains("u-1") && !viewed.stdout.contains("u-9"),
        "{}",
        viewed.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_does_not_fit_is_named() {
    let listener = Listener::start("cli_dlq_edit_wrong").await;
    let letter = listener.letters(1).await.remove(0);
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(&folder, &json!({"ticket": "seven"}));
    let edit = format!("dlq edit {letter} --reason wrong --yes --file {path}");
    listener
        .fails(OPERATOR, &edit, 4, "value.ticket: must be a whole number")
        .await;
    std::fs::write(&path, "{").expect("a file");
    listener.fails(OPERATOR, &edit, 4, "not JSON").await;
    std::fs::write(&path, " ".repeat(70_000)).expect("a file");
    listener.fails(OPERATOR, &edit, 2, "more than 65536 bytes").await;
}
