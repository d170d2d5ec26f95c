//! Letters by cause, and the filters that lists, groups and replays have in common.

use headgate_dead_letters::replay::Pace;
use headgate_dead_letters::replay::plan::{self, Draft};
use headgate_dead_letters::store::replays;
use headgate_dead_letters::{LetterFilter, LetterState, Slice, store};
use headgate_operator::dead_letters::groups::{FailureGroups, Trend};
use headgate_operator::dead_letters::list::Letters;
use headgate_operator::dead_letters::show::ShownLetter;
use headgate_operator::replays::ReplayView;
use headgate_operator::replays::show::ReplayLetters;
use headgate_schemas::ids::DeadLetterId;
use serde_json::json;
use sqlx::mysql::MySqlPoolOptions;
use sqlx::{MySqlPool, Row};
use tokio::sync::mpsc;

use crate::listener::{Listener, OPERATOR, VIEWER};

impl Listener {
    /// Letters of a new campaign that a rule rejected for one cause, oldest first.
    async fn rejected(&self, count: u32) -> Vec<DeadLetterId> {
        let campaign = self.campaign(10).await;
        let mut letters = Vec::new();
        for ticket in 1..=count {
            let claim_id = self.claim(&campaign, ticket).await;
            letters.push(self.rejected_letter(&campaign, claim_id, ticket).await);
        }
        letters
    }

    async fn failed_first(&self, letter: DeadLetterId, minutes_ago: u32) {
        sqlx::query(
            "UPDATE dead_letters SET first_failed_at = UTC_TIMESTAMP(6) - INTERVAL ? MINUTE WHERE letter_id = ?",
        )
        .bind(minutes_ago)
        .bind(letter)
        .execute(self.environment.pool())
        .await
        .expect("an update");
    }

    async fn groups(&self, query: &str) -> FailureGroups {
        self.get(VIEWER, &format!("/v1/dead-letters/groups?{query}"))
            .await
            .ok()
    }

    /// The letters that a list shows and a replay of the same filter would take.
    async fn matching(&self, query: &str, filter: serde_json::Value) -> Vec<DeadLetterId> {
        let page: Letters = self
            .get(VIEWER, &format!("/v1/dead-letters?state=open&{query}"))
            .await
            .ok();
        let planned: ReplayView = self
            .post(OPERATOR, "/v1/replays", &json!({"filter": filter}))
            .await
            .ok();
        let path = format!("/v1/replays/{}/letters", planned.replay_id);
        let chosen: ReplayLetters = self.get(VIEWER, &path).await.ok();
        let mut chosen: Vec<_> = chosen.items.iter().map(|letter| letter.letter_id).collect();
        let listed: Vec<_> = page.items.iter().map(|letter| letter.letter_id).collect();
        chosen.reverse();
        assert_eq!(chosen, listed, "{query}");
        listed
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_of_one_cause_are_one_group_and_the_largest_comes_first() {
    let listener = Listener::start("failure_groups").await;
    let rejected = listener.rejected(4).await;
    for (letter, minutes_ago) in rejected.iter().zip([5, 90, 300, 3_000]) {
        listener.failed_first(*letter, minutes_ago).await;
    }
    let poison = [listener.poison_letter(1).await, listener.poison_letter(2).await];

    let groups = listener.groups("").await;
    assert_eq!((groups.total, groups.letters), (2, 6));
    let [largest, other] = &groups.items[..] else {
        panic!("{groups:?}")
    };
    assert_eq!((largest.letters, largest.keys, largest.parked), (4, 4, 0));
    assert_eq!(
        (
            largest.group.as_str(),
            largest.error_class.as_str(),
            largest.disposition.as_str()
        ),
        ("coupon-issuance", "ticket-above-quota", "rejected")
    );
    assert_eq!(
        (largest.example, largest.error.as_str()),
        (rejected[3], "ticket 4 is above the quota")
    );
    let trend = Trend {
        last_hour: 1,
        hour_before: 1,
        last_day: 3,
    };
    assert_eq!(largest.trend, trend);
    assert!(largest.first_failed_at < largest.last_failed_at);
    // Both records of the poison have one key.
    assert_eq!((other.letters, other.keys, other.example), (2, 1, poison[1]));

    // One page after the other, as the list is.
    let first = listener.groups("limit=1").await;
    let cursor = String::from(first.next_cursor.expect("there is another"));
    let second = listener.groups(&format!("limit=1&cursor={cursor}")).await;
    assert_eq!(
        (
            &second.items[0].fingerprint,
            second.items.len(),
            second.next_cursor
        ),
        (&other.fingerprint, 1, None)
    );

    // Only what is open, unless something else is asked for; and what the list would show.
    sqlx::query("UPDATE dead_letters SET state = 'resolved', closed_at = NOW(6) WHERE letter_id = ?")
        .bind(rejected[0])
        .execute(listener.environment.pool())
        .await
        .expect("an update");
    assert_eq!(listener.groups("").await.letters, 5);
    assert_eq!(listener.groups("state=resolved").await.letters, 1);
    assert_eq!(listener.groups("disposition=poison").await.letters, 2);
    listener
        .get(VIEWER, "/v1/dead-letters/groups?cursor=lost")
        .await
        .refused(400, "invalid-parameter");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_takes_what_the_list_shows_by_the_same_filter() {
    let listener = Listener::start("letter_filters").await;
    let rejected = listener.rejected(2).await;
    listener.failed_first(rejected[0], 120).await;
    let poison = listener.poison_letter(1).await;
    let shown: ShownLetter = listener
        .get(OPERATOR, &format!("/v1/dead-letters/{}", rejected[0]))
        .await
        .ok();

    let fingerprint = shown.letter.fingerprint;
    let by_cause = listener
        .matching(
            &format!("fingerprint={fingerprint}"),
            json!({"fingerprint": fingerprint}),
        )
        .await;
    assert_eq!(by_cause, [rejected[1], rejected[0]]);

    let an_hour_ago = (chrono::Utc::now() - chrono::TimeDelta::hours(1)).format("%Y-%m-%dT%H:%M:%SZ");
    let until = listener
        .matching(
            &format!("until={an_hour_ago}"),
            json!({"until": an_hour_ago.to_string()}),
        )
        .await;
    assert_eq!(until, [rejected[0]]);
    let since = listener
        .matching(
            &format!("since={an_hour_ago}"),
            json!({"since": an_hour_ago.to_string()}),
        )
        .await;
    assert_eq!(since, [poison, rejected[1]]);

    let text = listener
        .matching("text=ticket%201%20is", json!({"text": "ticket 1 is"}))
        .await;
    assert_eq!(text, [rejected[0]]);
    // Each character stands for itself.
    for pattern in ["ticket%25quota", "ticket_1", "TICKET"] {
        let query = format!("/v1/dead-letters?text={pattern}");
        let nothing: Letters = listener.get(VIEWER, &query).await.ok();
        assert_eq!(nothing.total, 0, "{pattern}");
    }

    let schema_id = shown.record.schema_id.expect("Avro in the wire format");
    let by_schema = listener
        .matching(&format!("schema_id={schema_id}"), json!({"schema_id": schema_id}))
        .await;
    assert_eq!(by_schema, [rejected[1], rejected[0]]);
    // `not avro` begins with other bytes than a zero.
    assert_eq!(
        listener
            .matching("schema_id=1869881376", json!({"schema_id": 1_869_881_376}))
            .await,
        []
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_cannot_be_meant_is_refused() {
    let listener = Listener::start("wrong_filters").await;
    let long = "x".repeat(257);
    for (field, value) in [
        ("text", ""),
        ("text", &long),
        ("fingerprint", "12"),
        ("since", "yesterday"),
        ("schema_id", "-1"),
    ] {
        let problem = listener
            .get(VIEWER, &format!("/v1/dead-letters?{field}={value}"))
            .await
            .refused(400, "invalid-parameter");
        assert_eq!(problem.errors[0].field, field, "{:?}", problem.errors);
        let problem = listener
            .post(OPERATOR, "/v1/replays", &json!({"filter": {field: value}}))
            .await
            .refused(422, "invalid-body");
        let named = format!("filter.{field}");
        assert_eq!(problem.errors[0].field, named, "{:?}", problem.errors);
    }
    listener
        .post(OPERATOR, "/v1/replays", &json!({"filter": {}}))
        .await
        .refused(422, "invalid-body");
}

/// What reading cost a session so far: rows that were sorted, and rows that were read in the
/// order of a table or against that of an index.
async fn sorted_and_passed<'e>(session: impl sqlx::Executor<'e, Database = sqlx::MySql>) -> (u64, u64) {
    let rows =
        sqlx::query("SHOW SESSION STATUS WHERE Variable_name IN ('Sort_rows', 'Handler_read_rnd_next', 'Handler_read_prev')")
            .fetch_all(session)
            .await
            .expect("the status of the session");
    let value = |name: &str| -> u64 {
        let row = rows.iter().find(|row| row.get::<String, _>(0) == name);
        let value: String = row.expect("a variable").get(1);
        value.parse().expect("a number")
    };
    (
        value("Sort_rows"),
        value("Handler_read_rnd_next") + value("Handler_read_prev"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_page_of_many_letters_is_read_by_an_index() {
    let listener = Listener::start("many_letters").await;
    let letter = listener.rejected(1).await[0];
    let pool = listener.environment.pool();
    // Half of them newer and resolved, so that the order of ids alone leads past all of those.
    for (from, state, closed) in [(1_u32, "open", "NULL"), (100_001, "resolved", "NOW(6)")] {
        let plant = format!(
            "INSERT INTO dead_letters (letter_id, group_no, event_id, event_day, topic, partition_no, kafka_offset,
                 kafka_timestamp, record_key, record_value, record_headers, disposition, error_class, error,
                 fingerprint, attempts, first_failed_at, last_failed_at, state, closed_at)
             WITH RECURSIVE numbers (n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM numbers WHERE n < {from} + 99999)
             SELECT /*+ SET_VAR(cte_max_recursion_depth = 100000) */ UNHEX(CONCAT('FF', LPAD(HEX(n), 30, '0'))),
                 group_no, UNHEX(LPAD(HEX(n), 32, '0')), event_day, topic, partition_no, n, kafka_timestamp,
                 CONCAT('key-', n), REPEAT('v', 700), record_headers, disposition, error_class, error, fingerprint,
                 attempts, first_failed_at, last_failed_at, '{state}', {closed}
             FROM dead_letters, numbers WHERE letter_id = ?"
        );
        sqlx::query(sqlx::AssertSqlSafe(plant))
            .bind(letter)
            .execute(pool)
            .await
            .expect("many letters");
    }
    sqlx::query("ANALYZE TABLE dead_letters")
        .execute(pool)
        .await
        .expect("statistics");
    let one = MySqlPoolOptions::new()
        .max_connections(1)
        .connect(&listener.environment.mysql_url())
        .await
        .expect("MySQL answers");
    let filter = LetterFilter {
        state: Some(LetterState::Open),
        ..LetterFilter::default()
    };
    let slice = Slice {
        limit: 50,
        ..Slice::default()
    };
    let before = sorted_and_passed(&one).await;
    let page = store::list(&one, &filter, slice).await.expect("a page");
    let (sorted, passed) = sorted_and_passed(&one).await;
    assert_eq!((page.total, page.items.len()), (100_001, 50));
    assert_eq!(sorted - before.0, 0, "the index is in the order of the list");
    // The status itself is a table of some hundred rows.
    assert!(
        passed - before.1 < 2_000,
        "{} rows were passed",
        passed - before.1
    );
    expect_a_choice_in_their_order(&one).await;
}

/// Rows and entries of indexes that the session has read in their order.
async fn read_in_order(session: &mut sqlx::MySqlConnection) -> u64 {
    let row = sqlx::query("SHOW SESSION STATUS LIKE 'Handler_read_next'")
        .fetch_one(session)
        .await
        .expect("the status of the session");
    row.get::<String, _>(1).parse().expect("a number")
}

/// A plan reads them a page at a time, too, and passes none that is settled.
async fn expect_a_choice_in_their_order(one: &MySqlPool) {
    let draft = Draft {
        filter: LetterFilter::default(),
        asked: json!({}),
        audited: json!({}),
        pace: Pace {
            rate_per_second: 1,
            canary_letters: 0,
            failures_percent_max: 0,
        },
        letters_max: 200_000,
        actor: "test",
    };
    let mut connection = one.acquire().await.expect("MySQL answers");
    let (keys, mut pages) = mpsc::channel(100);
    let (before, _) = sorted_and_passed(&mut *connection).await;
    let read_before = read_in_order(&mut connection).await;
    let choice = plan::choose(&mut connection, &draft, keys)
        .await
        .expect("a choice");
    let (sorted, _) = sorted_and_passed(&mut *connection).await;
    let read = read_in_order(&mut connection).await - read_before;
    // An entry of the index for each letter, but for the first of each page.
    assert!((99_000..=100_001).contains(&read), "{read} were read");
    let mut chosen = 0;
    while let Some(page) = pages.recv().await {
        chosen += page.len();
    }
    assert_eq!((chosen, sorted - before), (100_001, 0));
    drop(connection);
    let replay = plan::keep(one, &draft, choice, 0).await.expect("a replay");
    // Over the end of a piece of the choice, and at its end.
    for after in [800, 99_998] {
        let page = replays::letters(one, &replay, None, 500, Some(after))
            .await
            .expect("a page");
        let places: Vec<u32> = page.items.iter().map(|letter| letter.place).collect();
        let last = 100_001.min(after + 500);
        assert_eq!(places, (after + 1..=last).collect::<Vec<_>>());
        let keys: Vec<_> = page.items.into_iter().filter_map(|letter| letter.key).collect();
        let expected: Vec<_> = (after..last).map(|number| format!("key-{number}")).collect();
        assert_eq!(keys, expected);
        assert_eq!(page.next_cursor, (last < 100_001).then_some(last));
    }
}
