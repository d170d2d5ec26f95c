//! `headgate lock`.

use headgate_runtime::lock::LockKey;
use serde_json::json;
use uuid::Uuid;

use crate::listener::{Listener, OPERATOR, VIEWER};

#[tokio::test(flavor = "multi_thread")]
async fn locks_are_listed_and_released() {
    let listener = Listener::start("cli_locks").await;
    let keys = [LockKey::point_use, LockKey::point_accumulate].map(|key| key(Uuid::now_v7()));
    let _guards = listener.locked(&keys).await;
    let table = listener.run(VIEWER, "lock list").await;
    for text in [keys[0].to_string(), keys[1].to_string(), "api-17".to_owned()] {
        assert!(table.code(0).stdout.contains(&text), "{}", table.stdout);
    }
    listener
        .run(VIEWER, "lock list --limit 1")
        .await
        .code(0)
        .says("more with --cursor");

    let release = format!("lock release {}", keys[0]);
    listener.fails(OPERATOR, &release, 2, "--reason").await;
    let release = format!("{release} --reason it-hangs");
    listener.fails(OPERATOR, &release, 5, "nothing was done").await;
    let release = format!("{release} --yes");
    listener.fails(VIEWER, &release, 4, "role-missing").await;
    let released = listener.json(OPERATOR, &release).await;
    assert_eq!(
        (&released["key"], &released["holder"]),
        (&json!(keys[0].to_string()), &json!("api-17"))
    );
    listener.fails(OPERATOR, &release, 4, "lock-not-held").await;
    let left = listener.json(VIEWER, "lock list").await;
    assert_eq!(left["items"][0]["key"], keys[1].to_string());
    assert_eq!(left["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(listener.acts().await, ["olga lock.release"]);
    listener
        .fails(OPERATOR, "lock release u-1 --reason x --yes", 2, "key of a lock")
        .await;
}
