//! What somebody who can write the database might do to the log.

use headgate_outbox::audit::{Line, Link};
use sqlx::MySqlPool;

use super::{execute, lines};
use crate::listener::Listener;

/// Lines that the log has before it is tampered with.
const LINES: u32 = 6;

impl Listener {
    async fn faults(&self, query: &str) -> Vec<(String, u64)> {
        let verified = self.verified(query).await;
        let found = verified.found.into_iter();
        found.map(|fault| (fault.kind, fault.audit_no)).collect()
    }

    /// Requires these faults, in this order.
    async fn finds(&self, what: &str, expected: &[(&str, u64)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(kind, audit_no)| ((*kind).to_owned(), *audit_no))
            .collect();
        assert_eq!(self.faults("").await, expected, "{what}");
    }
}

/// Everything as it was before.
async fn put_back(pool: &MySqlPool) {
    execute(
        pool,
        "DELETE FROM audit_log; INSERT INTO audit_log SELECT * FROM kept_log;
         DELETE FROM audit_head; INSERT INTO audit_head SELECT * FROM kept_head",
    )
    .await;
}

/// Writes a line over another of its number, or where none is.
async fn write(pool: &MySqlPool, line: &Line) {
    execute(
        pool,
        &format!(
            "REPLACE INTO audit_log VALUES ({}, '{}', '{}', '{}', '{}', '{}', UNHEX('{}'), UNHEX('{}'))",
            line.audit_no,
            line.at.naive_utc(),
            line.actor,
            line.action,
            line.object,
            line.detail.as_deref().expect("a detail"),
            line.previous_hash,
            line.hash
        ),
    )
    .await;
}

/// What is done in SQL, and what is found.
const DONE: &[(&str, &[(&str, u64)])] = &[
    (
        "UPDATE audit_log SET at = at + INTERVAL 1 MICROSECOND WHERE audit_no = 3",
        &[("changed", 3)],
    ),
    (
        "UPDATE audit_log SET actor = 'lee' WHERE audit_no = 3",
        &[("changed", 3)],
    ),
    (
        "UPDATE audit_log SET action = 'test.ac' WHERE audit_no = 3",
        &[("changed", 3)],
    ),
    (
        "UPDATE audit_log SET object = 'o-4' WHERE audit_no = 3",
        &[("changed", 3)],
    ),
    // As a JSON document it is the same.
    (
        "UPDATE audit_log SET detail = CONCAT(detail, ' ') WHERE audit_no = 3",
        &[("changed", 3)],
    ),
    (
        "UPDATE audit_log SET detail = NULL WHERE audit_no = 6",
        &[("changed", 6)],
    ),
    (
        "UPDATE audit_log SET previous_hash = hash WHERE audit_no = 3",
        &[("changed", 3)],
    ),
    (
        "UPDATE audit_log SET previous_hash = hash WHERE audit_no = 1",
        &[("changed", 1)],
    ),
    (
        "UPDATE audit_log SET hash = previous_hash WHERE audit_no = 3",
        &[("changed", 3)],
    ),
    (
        "UPDATE audit_log SET object = 'o' WHERE audit_no IN (2, 5)",
        &[("changed", 2), ("changed", 5)],
    ),
    ("DELETE FROM audit_log WHERE audit_no = 1", &[("missing", 1)]),
    ("DELETE FROM audit_log WHERE audit_no = 3", &[("missing", 3)]),
    (
        "DELETE FROM audit_log WHERE audit_no IN (2, 3, 5)",
        &[("missing", 2), ("missing", 5)],
    ),
    ("DELETE FROM audit_log WHERE audit_no = 6", &[("missing", 6)]),
    ("DELETE FROM audit_log", &[("missing", 1)]),
    (
        "UPDATE audit_log SET audit_no = 99 WHERE audit_no = 3;
         UPDATE audit_log SET audit_no = 3 WHERE audit_no = 4;
         UPDATE audit_log SET audit_no = 4 WHERE audit_no = 99",
        &[("changed", 3), ("changed", 4)],
    ),
    // One removed, and the others moved up.
    (
        "DELETE FROM audit_log WHERE audit_no = 3;
         UPDATE audit_log SET audit_no = audit_no - 1 WHERE audit_no > 3 ORDER BY audit_no",
        &[("changed", 3), ("changed", 4), ("changed", 5), ("missing", 6)],
    ),
    (
        "INSERT INTO audit_log SELECT 7, at, actor, action, object, detail, hash, hash FROM kept_log WHERE audit_no = 6",
        &[("inserted", 7)],
    ),
    (
        "INSERT INTO audit_log SELECT 0, at, actor, action, object, detail, hash, hash FROM kept_log WHERE audit_no = 6",
        &[("inserted", 0)],
    ),
    ("UPDATE audit_head SET audit_no = 5", &[("inserted", 6)]),
    ("UPDATE audit_head SET audit_no = 9", &[("missing", 7)]),
    (
        "UPDATE audit_head SET hash = UNHEX(REPEAT('11', 32))",
        &[("replaced", 6)],
    ),
    ("DELETE FROM audit_head", &[("head-missing", 6)]),
];

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_done_to_the_log_is_found_and_named_by_number() {
    let (listener, pool) = Listener::with_lines("audit_tampered", LINES).await;
    execute(
        &pool,
        "CREATE TABLE kept_log AS SELECT * FROM audit_log; CREATE TABLE kept_head AS SELECT * FROM audit_head",
    )
    .await;
    for (statements, expected) in DONE {
        execute(&pool, statements).await;
        listener.finds(statements, expected).await;
        put_back(&pool).await;
        listener.holds().await;
    }

    // By somebody who knows how hashes are made: a line with a hash of its own ...
    let before = lines(&pool).await;
    let mut third = before[2].clone();
    third.actor = "lee".to_owned();
    third.hash = third.hashed();
    write(&pool, &third).await;
    listener
        .finds("a line with its own hash", &[("replaced", 3)])
        .await;
    // ... to which the next line points ...
    let mut fourth = before[3].clone();
    fourth.previous_hash = third.hash;
    write(&pool, &fourth).await;
    listener
        .finds("and the next points to it", &[("changed", 4)])
        .await;
    put_back(&pool).await;
    // ... the last line, which nothing follows but the head ...
    let mut last = before[5].clone();
    last.object = "o".to_owned();
    last.hash = last.hashed();
    write(&pool, &last).await;
    listener.finds("the last line", &[("replaced", 6)]).await;
    put_back(&pool).await;
    // ... or one that is pushed in between, the others moved down.
    execute(
        &pool,
        "UPDATE audit_log SET audit_no = audit_no + 1 WHERE audit_no >= 3 ORDER BY audit_no DESC",
    )
    .await;
    write(&pool, &third).await;
    let moved = [("changed", 4), ("changed", 5), ("changed", 6), ("inserted", 7)];
    let found = listener.faults("").await;
    assert_eq!(found[0], ("inserted".to_owned(), 3));
    assert!(
        found[1..].iter().map(|(kind, no)| (kind.as_str(), *no)).eq(moved),
        "{found:?}"
    );
}

/// All lines from `first` on again, with hashes that fit, as whoever can write everything could.
async fn rewrite(pool: &MySqlPool, first: usize) {
    let mut lines = lines(pool).await;
    "lee".clone_into(&mut lines[first - 1].actor);
    for index in first - 1..lines.len() {
        if index > 0 {
            lines[index].previous_hash = lines[index - 1].hash;
        }
        lines[index].hash = lines[index].hashed();
        write(pool, &lines[index]).await;
    }
    let head = lines.last().expect("a line").link();
    set_head(pool, head).await;
}

async fn set_head(pool: &MySqlPool, Link { audit_no, hash }: Link) {
    let head = format!("UPDATE audit_head SET audit_no = {audit_no}, hash = UNHEX('{hash}')");
    execute(pool, &head).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_was_written_anew_differs_from_the_head_that_was_noted() {
    let (listener, pool) = Listener::with_lines("audit_rewritten", LINES).await;
    let noted = lines(&pool).await[1].link();
    let head = listener.holds().await;
    let with = |head: Link| format!("?head={head}");
    assert_eq!(listener.faults(&with(head)).await, []);
    assert_eq!(listener.faults(&with(Link::START)).await, []);

    rewrite(&pool, 3).await;
    assert_ne!(listener.holds().await, head, "of itself it holds");
    let differs = |audit_no| [("noted-differs".to_owned(), audit_no)];
    assert_eq!(listener.faults(&with(head)).await, differs(6));
    assert_eq!(
        listener.faults(&with(noted)).await,
        [],
        "up to here it is the same"
    );

    // Cut off, and the head with it.
    execute(&pool, "DELETE FROM audit_log WHERE audit_no > 4").await;
    set_head(&pool, lines(&pool).await[3].link()).await;
    assert_eq!(listener.holds().await.audit_no, 4);
    assert_eq!(listener.faults(&with(head)).await, differs(6));
    // A look that saw more than there is now.
    let beyond = listener.faults(&format!("?cursor={head}")).await;
    assert_eq!(beyond, [("missing".to_owned(), 5)]);
}
