//! The audit log as a chain: what is done to it is found, and acts do not get in its way.

mod grants;
mod migration;
mod tampering;

use headgate_operator::audit::verify::ChainVerification;
use headgate_operator::audit::{Line, Lines};
use headgate_outbox::audit::{self, Link, Wanted};
use headgate_runtime::mysql;
use serde_json::json;
use sqlx::{AssertSqlSafe, MySqlPool};

use crate::listener::{ADMIN, Listener, OPERATOR, VIEWER};

/// An act that is nothing but its line.
pub async fn act(pool: &MySqlPool, object: &str) {
    let mut transaction = pool.begin().await.expect("MySQL answers");
    let detail = json!({"because": "축제 🎉", "of": object});
    audit::record(&mut transaction, "kim", "test.act", object, &detail)
        .await
        .expect("the line is written");
    transaction.commit().await.expect("the act is committed");
}

/// Lines of the chain, oldest first.
pub async fn lines(pool: &MySqlPool) -> Vec<audit::Line> {
    let mut lines = audit::list(pool, &Wanted::default(), 1_000)
        .await
        .expect("MySQL answers");
    lines.reverse();
    lines
}

/// Does something that the product never does.
pub async fn execute(pool: &MySqlPool, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(pool)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
}

impl Listener {
    /// A listener whose log has so many lines, and a pool as the product's processes have it.
    async fn with_lines(test_name: &str, lines: u32) -> (Self, MySqlPool) {
        let listener = Self::start(test_name).await;
        let pool = mysql::pool(&listener.config.mysql).expect("the address is readable");
        for number in 1..=lines {
            act(&pool, &format!("o-{number}")).await;
        }
        (listener, pool)
    }

    /// One request; `query` begins with `?` or is empty.
    async fn verified(&self, query: &str) -> ChainVerification {
        self.get(VIEWER, &format!("/v1/audit/verify{query}")).await.ok()
    }

    /// Requires that the whole chain holds, and returns its head.
    async fn holds(&self) -> Link {
        let verified = self.verified("").await;
        assert_eq!(
            (verified.faults, verified.next_cursor.as_deref()),
            (0, None),
            "{verified:?}"
        );
        let head = verified.head.expect("a head");
        assert_eq!(head, verified.reached);
        head.parse().expect("a link")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_act_is_a_link_and_is_shown_with_its_number_and_hash() {
    let listener = Listener::start("audit_links").await;
    assert_eq!(listener.holds().await, Link::START);
    for name in ["one", "two"] {
        let body = json!({ "name": name });
        let _partner: serde_json::Value = listener.post(ADMIN, "/v1/partners", &body).await.ok();
    }
    let nothing = json!({"aggregate_type": "claim", "aggregate_id": "nobody"});
    listener
        .post(OPERATOR, "/v1/outbox/retry", &nothing)
        .await
        .refused(404, "nothing-blocked");
    let shown: Lines = listener.get(VIEWER, "/v1/audit").await.ok();
    let numbers: Vec<u64> = shown.items.iter().map(|line| line.audit_no).collect();
    assert_eq!(numbers, [2, 1], "what was refused is no act");
    let Line { hash, .. } = &shown.items[0];
    assert_eq!(listener.holds().await.to_string(), format!("2:{hash}"));
    assert_eq!(
        shown.items[0].detail.as_ref().expect("a detail")["name"],
        "two",
        "it is shown as JSON"
    );
}

/// The mechanism: one row, locked until the act is committed.
#[tokio::test(flavor = "multi_thread")]
async fn acts_of_many_at_once_are_one_chain_without_a_gap() {
    const AT_ONCE: usize = 8;
    const ACTS: usize = 24;
    let (listener, pool) = Listener::with_lines("audit_at_once", 0).await;
    let actors = (0..AT_ONCE).map(|actor| {
        let pool = pool.clone();
        tokio::spawn(async move {
            for number in 0..ACTS {
                let mut transaction = pool.begin().await.expect("MySQL answers");
                let object = format!("{actor}-{number}");
                audit::record(&mut transaction, "kim", "test.act", &object, &json!({}))
                    .await
                    .expect("nobody is in its way for long");
                // Every third act fails after all.
                if number % 3 == 0 {
                    transaction.rollback().await.expect("MySQL answers");
                } else {
                    transaction.commit().await.expect("MySQL answers");
                }
            }
        })
    });
    for actor in actors.collect::<Vec<_>>() {
        actor.await.expect("every act is done or not");
    }
    let committed = AT_ONCE * ACTS / 3 * 2;
    assert_eq!(listener.holds().await.audit_no, committed as u64);
    let lines = lines(&pool).await;
    assert!(
        lines.iter().map(|line| line.audit_no).eq(1..=committed as u64),
        "an act that was rolled back leaves no gap"
    );
    assert!(
        lines.is_sorted_by_key(|line| line.at),
        "times have the order of numbers"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_is_verified_page_by_page_while_it_grows() {
    let (listener, pool) = Listener::with_lines("audit_pages", 25).await;
    let mut pages = Vec::new();
    let mut query = "?limit=10".to_owned();
    loop {
        let page = listener.verified(&query).await;
        assert_eq!(page.faults, 0, "{page:?}");
        pages.push((page.looked_at, page.lines));
        act(&pool, "meanwhile").await;
        let Some(cursor) = page.next_cursor else { break };
        assert_eq!(cursor, page.reached);
        query = format!("?limit=10&cursor={cursor}");
    }
    assert_eq!(pages, [(10, 25), (10, 26), (7, 27)]);

    // What lies on the border of two pages is found, whichever of them it is seen from.
    let mut tenth = lines(&pool).await.remove(9);
    tenth.object.push('!');
    let forged = tenth.hashed();
    execute(
        &pool,
        &format!("UPDATE audit_log SET object = 'o-10!', hash = UNHEX('{forged}') WHERE audit_no = 10"),
    )
    .await;
    let first = listener.verified("?limit=10").await;
    assert_eq!((first.faults, first.looked_at), (0, 10));
    let second = listener
        .verified(&format!("?limit=10&cursor={}", first.reached))
        .await;
    let found: Vec<_> = second
        .found
        .iter()
        .map(|fault| (fault.kind.as_str(), fault.audit_no))
        .collect();
    assert_eq!(found, [("replaced", 10)]);

    for wrong in [
        "limit=0",
        "limit=1000001",
        "cursor=7",
        "cursor=x:00",
        "head=1",
        "since=1",
    ] {
        listener
            .get(VIEWER, &format!("/v1/audit/verify?{wrong}"))
            .await
            .refused(400, "invalid-parameter");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_verifies_and_says_so_by_its_exit_code() {
    let (listener, pool) = Listener::with_lines("audit_cli", 3).await;
    let report = listener.json(VIEWER, "audit verify").await;
    assert_eq!(
        (&report["holds"], &report["looked_at"]),
        (&json!(true), &json!(3))
    );
    let head = report["head"].as_str().expect("a head").to_owned();
    let noted = format!("audit verify --head {head}");
    let printed = listener.run(VIEWER, &noted).await;
    assert!(printed.code(0).stdout.contains(&head), "{}", printed.stdout);
    let listed = listener.run(VIEWER, "audit list").await;
    let (_, hash) = head.split_once(':').expect("NUMBER:HASH");
    assert!(listed.code(0).stdout.contains(hash), "{}", listed.stdout);

    execute(&pool, "UPDATE audit_log SET actor = 'lee' WHERE audit_no = 2").await;
    let broken = listener.run(VIEWER, "audit verify").await;
    broken.code(1).says("the chain does not hold: 1 faults");
    for says in ["NO", "changed", "line 2 is not what its hash was made of"] {
        assert!(broken.stdout.contains(says), "{}", broken.stdout);
    }
    let broken = listener.run(VIEWER, "audit verify --output json").await;
    let report: serde_json::Value = serde_json::from_str(&broken.code(1).stdout).expect("JSON");
    assert_eq!(
        (&report["holds"], &report["found"][0]["audit_no"]),
        (&json!(false), &json!(2))
    );
    listener
        .fails(VIEWER, "audit verify --head 3", 2, "64 hexadecimal digits")
        .await;
}

/// A hundred thousand lines take seconds.
#[tokio::test(flavor = "multi_thread")]
async fn long_a_hundred_thousand_lines_are_verified_in_seconds() {
    const LINES: u64 = 100_000;
    let (listener, pool) = Listener::with_lines("audit_long", 1).await;
    let mut line = lines(&pool).await.remove(0);
    while line.audit_no < LINES {
        let mut rows = Vec::new();
        for _ in 0..1_000.min(LINES - line.audit_no) {
            line.audit_no += 1;
            line.previous_hash = line.hash;
            line.hash = line.hashed();
            rows.push(format!(
                "({}, '{}', '{}', '{}', '{}', '{}', UNHEX('{}'), UNHEX('{}'))",
                line.audit_no,
                line.at.naive_utc(),
                line.actor,
                line.action,
                line.object,
                line.detail.as_deref().expect("a detail"),
                line.previous_hash,
                line.hash
            ));
        }
        execute(
            &pool,
            &format!("INSERT INTO audit_log VALUES {}", rows.join(", ")),
        )
        .await;
    }
    let head = format!(
        "UPDATE audit_head SET audit_no = {LINES}, hash = UNHEX('{}')",
        line.hash
    );
    execute(&pool, &head).await;
    let begin = std::time::Instant::now();
    let report = listener.json(VIEWER, "audit verify").await;
    let took = begin.elapsed();
    eprintln!("{LINES} lines were verified in {took:?}");
    assert_eq!(
        (&report["holds"], &report["looked_at"]),
        (&json!(true), &json!(LINES))
    );
    assert!(took < std::time::Duration::from_secs(30), "{took:?}");
}
