//! G10: what an operator edited is what the group gets, through the whole pipeline, and the
//! record stays as it came.

use std::time::Duration;

use headgate_guarantees::Installation;
use headgate_guarantees::pipeline::assert_all_hold;
use headgate_guarantees::rejected::Rejected;
use headgate_testkit::checkers::Evidence;
use headgate_testkit::eventually;
use serde_json::{Value, json};

/// Until something has come through the pipeline, at most.
const TIMEOUT: Duration = Duration::from_secs(40);

/// Edits the story's letter and sends it.
async fn edit(story: &Rejected, value: &Value) {
    let file = std::env::temp_dir().join(format!("{}.json", story.letter));
    std::fs::write(&file, value.to_string()).expect("a file");
    let path = file.to_str().expect("UTF-8");
    let edit = [
        "dlq",
        "edit",
        &story.letter,
        "--file",
        path,
        "--reason",
        "as the shop says",
        "--replay",
        "--yes",
    ];
    story.installation.headgate(&story.operator, &edit).await;
    std::fs::remove_file(&file).expect("it was there");
}

#[tokio::test]
async fn g10_an_edited_letter_is_applied_as_edited() {
    let story = Rejected::on(Installation::new("g10_edited").await, 20, 30).await;
    story.repair().await;
    let came = story.state().await["record"].clone();
    // Edited wrongly, it fails by what was written, though what came could be applied by now.
    let mut wrong = came["value"].clone();
    wrong["ticket"] = json!(wrong["ticket"].as_i64().expect("a ticket") + 1);
    edit(&story, &wrong).await;
    let failed = eventually("the edited letter to fail", TIMEOUT, async || {
        let shown = story.state().await;
        (shown["state"] == "open" && shown["replay_attempt"] == 1).then_some(shown)
    })
    .await;
    let error = failed["error"].as_str().expect("an error");
    assert!(error.contains("another ticket"), "{error}");
    edit(&story, &came["value"]).await;
    let resolved = eventually("the letter to be resolved", TIMEOUT, async || {
        let shown = story.state().await;
        (shown["state"] == "resolved").then_some(shown)
    })
    .await;
    assert_eq!((&resolved["record"], &resolved["edit_no"]), (&came, &json!(2)));
    assert_eq!(resolved["edits"].as_array().map(Vec::len), Some(2));

    assert_all_hold(&story.installation, story.campaign, &story.ledger).await;
    let evidence = Evidence::collect(story.installation.environment()).await;
    let edits = evidence
        .audit
        .iter()
        .filter(|(object, action)| *object == story.letter && action == "dead-letter.edit");
    assert_eq!(edits.count(), 2, "{:?}", evidence.audit);
    story.pipeline.stop().await;
}
