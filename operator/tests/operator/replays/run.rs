//! A replay sends what was planned, once, as far as it may; each letter gets its outcome.

use headgate_dead_letters::replay::step::{Limits, step};
use headgate_operator::replays::ReplayView;
use headgate_operator::replays::show::ReplayLetters;
use headgate_operator::state::Servers;
use headgate_schemas::ids::{DeadLetterId, ReplayId};
use headgate_testkit::eventually;
use serde_json::{Value, json};

use super::TIMEOUT;
use crate::listener::{Listener, OPERATOR};

impl Listener {
    async fn give_up(&self, letter: DeadLetterId, act: &str) {
        let path = format!("/v1/dead-letters/{letter}/{act}");
        let answer = self
            .post(OPERATOR, &path, &json!({"reason": "not worth it"}))
            .await;
        assert!(answer.status.is_success(), "{}", answer.text);
    }

    /// Pages of three, of letters that have had their turn and of those that wait.
    async fn expect_pages_of(&self, id: ReplayId, letters: &[DeadLetterId]) {
        let path = format!("/v1/replays/{id}/letters?limit=3");
        let (mut listed, mut cursor) = (Vec::new(), String::new());
        loop {
            let page: ReplayLetters = self.get(OPERATOR, &format!("{path}{cursor}")).await.ok();
            listed.extend(page.items);
            let Some(next) = page.next_cursor else { break };
            assert_eq!(listed.len() % 3, 0);
            cursor = format!("&cursor={next}");
        }
        let ids: Vec<_> = listed.iter().map(|letter| letter.letter_id).collect();
        assert_eq!(ids, letters);
        let waiting: ReplayLetters = self.get(OPERATOR, &format!("{path}&outcome=waiting")).await.ok();
        assert_eq!(
            (waiting.items, waiting.next_cursor),
            (listed[2..5].to_vec(), Some(5))
        );
        let failed: ReplayLetters = self.get(OPERATOR, &format!("{path}&outcome=failed")).await.ok();
        assert_eq!((failed.items, failed.next_cursor), (listed[1..2].to_vec(), None));
    }

    /// Outcome, attempt and class of error of each letter, in their order.
    async fn outcomes(&self, replay_id: ReplayId) -> Vec<String> {
        let letters = self.letters_of(replay_id).await;
        let outcomes = letters.into_iter().map(|letter| {
            let class = letter.error_class.unwrap_or_else(|| "-".to_owned());
            format!(
                "{} {} {class}",
                letter.outcome,
                letter.attempt.unwrap_or_default()
            )
        });
        outcomes.collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_pauses_after_its_canary_and_gives_each_letter_its_outcome() {
    let listener = Listener::start("replay_canary").await;
    let (_, letters) = listener.rejected_letters(8).await;
    let everything = json!({"group": "coupon-issuance"});
    let pace = json!({"canary_letters": 2, "failures_percent_max": 100});
    let id = listener.planned(everything, pace).await.replay_id;
    let started: ReplayView = listener.do_to(id, "start").await.ok();
    assert_eq!(
        (started.state.as_str(), started.run_by.as_deref()),
        ("running", Some("olga"))
    );
    listener.until_sent(id, 2).await;
    listener.answered(letters[0], "resolved").await;
    listener.answered(letters[1], "open").await;
    let paused = listener.until(id, "paused").await;
    assert_eq!(paused.pause_reason.as_deref(), Some("canary"));
    let progress = paused.progress;
    assert_eq!((progress.waiting, progress.resolved, progress.failed), (6, 1, 1));

    // Meanwhile one is given up, and one is put away.
    listener.give_up(letters[2], "discard").await;
    listener.give_up(letters[3], "archive").await;
    let resumed: ReplayView = listener.do_to(id, "resume").await.ok();
    assert_eq!((resumed.state.as_str(), resumed.pause_reason), ("running", None));
    listener.until_sent(id, 4).await;
    listener.answered(letters[4], "resolved").await;
    listener.answered(letters[5], "quarantined").await;
    // Nobody answers this one in time, and this one was replayed by hand meanwhile.
    listener
        .change(
            letters[6],
            "replay_deadline = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND",
        )
        .await;
    listener.change(letters[7], "replay_attempt = 2").await;
    let done = listener.until(id, "completed").await;
    assert!(done.ended_at.is_some());
    assert_eq!(
        listener.outcomes(id).await,
        [
            "resolved 1 -",
            "failed 1 ticket-above-quota",
            "refused 0 dead-letter-not-open",
            "refused 0 dead-letter-not-open",
            "resolved 1 -",
            "quarantined 1 ticket-above-quota",
            "unanswered 1 unanswered",
            "unanswered 1 replayed-again",
        ]
    );
    let line = format!("attempt 1, replay {id}");
    let lines =
        format!("dead_letter_history WHERE action = 'replayed' AND actor = 'olga' AND detail = '{line}'");
    assert_eq!(listener.count(&lines).await, 6);
    let acts: Vec<_> = listener
        .audit()
        .await
        .into_iter()
        .map(|(actor, action, _)| format!("{actor} {action}"))
        .collect();
    let acts: Vec<_> = acts
        .iter()
        .filter(|act| act.contains("replay"))
        .map(String::as_str)
        .collect();
    assert_eq!(
        acts,
        [
            "olga replay.plan",
            "olga replay.start",
            "replay replay.pause",
            "olga replay.resume"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_pauses_when_too_much_fails_and_is_forgiven_once() {
    let listener = Listener::start_with("replay_failures", |config| config.replay.in_flight_max = 2).await;
    let (_, letters) = listener.rejected_letters(6).await;
    let everything = json!({"group": "coupon-issuance"});
    let pace = json!({"canary_letters": 0, "failures_percent_max": 0});
    let id = listener.planned(everything, pace).await.replay_id;
    let _started: ReplayView = listener.do_to(id, "start").await.ok();
    // No more may be on their way at once.
    listener.until_sent(id, 2).await;
    listener.answered(letters[0], "open").await;
    let paused = listener.until(id, "paused").await;
    assert_eq!(paused.pause_reason.as_deref(), Some("failures"));
    assert_eq!(
        paused.pause_detail.as_deref(),
        Some("1 of the last 1 letters failed")
    );
    // What was on its way is still heard, and nothing else is sent.
    listener.answered(letters[1], "resolved").await;
    let heard = eventually("the last answer", TIMEOUT, async || {
        Some(listener.shown(id).await).filter(|replay| replay.progress.sent == 0)
    })
    .await;
    assert_eq!((heard.state.as_str(), heard.progress.waiting), ("paused", 4));

    let _resumed: ReplayView = listener.do_to(id, "resume").await.ok();
    listener.until_sent(id, 2).await;
    let cancelled: ReplayView = listener.do_to(id, "cancel").await.ok();
    assert_eq!(cancelled.state, "cancelled");
    listener.answered(letters[2], "resolved").await;
    listener.answered(letters[3], "open").await;
    let heard = eventually("the last answers", TIMEOUT, async || {
        Some(listener.shown(id).await).filter(|replay| replay.progress.sent == 0)
    })
    .await;
    let progress = heard.progress;
    assert_eq!((progress.waiting, progress.resolved, progress.failed), (2, 2, 2));
    assert_eq!(
        listener.count("dead_letters WHERE replay_attempt = 0").await,
        2,
        "left as they were"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pace_can_be_changed_when_it_starts_and_when_it_goes_on() {
    let listener = Listener::start("replay_pace").await;
    listener.rejected_letters(2).await;
    let id = listener
        .planned(json!({"group": "coupon-issuance"}), json!({}))
        .await
        .replay_id;
    let start = format!("/v1/replays/{id}/start");
    let wrong = json!({"failures_percent_max": 101});
    listener
        .post(OPERATOR, &start, &wrong)
        .await
        .refused(422, "invalid-body");
    let pace = json!({"rate_per_second": 50, "canary_letters": 1});
    let started: ReplayView = listener.post(OPERATOR, &start, &pace).await.ok();
    assert_eq!(
        (
            started.rate_per_second,
            started.canary_letters,
            started.failures_percent_max
        ),
        (50, 1, 20)
    );
    let paused: ReplayView = listener.do_to(id, "pause").await.ok();
    assert_eq!(paused.pause_reason.as_deref(), Some("operator"));
    let resume = format!("/v1/replays/{id}/resume");
    let resumed: ReplayView = listener
        .post(OPERATOR, &resume, &json!({"rate_per_second": 60}))
        .await
        .ok();
    assert_eq!((resumed.rate_per_second, resumed.canary_letters), (60, 1));
    // It was paused before its canary was through: that comes first.
    let sent = listener.until_sent(id, 1).await;
    assert_eq!(sent.progress.waiting, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_may_have_another_canary_when_it_goes_on() {
    let listener = Listener::start("replay_canaries").await;
    let (_, letters) = listener.rejected_letters(6).await;
    let everything = json!({"group": "coupon-issuance"});
    let pace = json!({"canary_letters": 1});
    let id = listener.planned(everything, pace).await.replay_id;
    let _started: ReplayView = listener.do_to(id, "start").await.ok();
    listener.until_sent(id, 1).await;
    listener.answered(letters[0], "resolved").await;
    listener.until(id, "paused").await;
    let resume = format!("/v1/replays/{id}/resume");
    let again = json!({"canary_letters": 2});
    let _resumed: ReplayView = listener.post(OPERATOR, &resume, &again).await.ok();
    let sent = listener.until_sent(id, 2).await;
    assert_eq!(sent.progress.waiting, 3);
    listener.answered(letters[1], "resolved").await;
    listener.answered(letters[2], "resolved").await;
    let paused = listener.until(id, "paused").await;
    assert_eq!(paused.pause_reason.as_deref(), Some("canary"));
    let none = json!({"canary_letters": 0});
    let _resumed: ReplayView = listener.post(OPERATOR, &resume, &none).await.ok();
    listener.until_sent(id, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_listed_on_pages_whether_their_turn_has_come_or_not() {
    let listener = Listener::start("replay_pages").await;
    let (_, letters) = listener.rejected_letters(8).await;
    let everything = json!({"group": "coupon-issuance"});
    let pace = json!({"canary_letters": 2, "failures_percent_max": 100});
    let id = listener.planned(everything, pace).await.replay_id;
    let _started: ReplayView = listener.do_to(id, "start").await.ok();
    listener.until_sent(id, 2).await;
    listener.answered(letters[0], "resolved").await;
    listener.answered(letters[1], "open").await;
    listener.until(id, "paused").await;
    listener.expect_pages_of(id, &letters).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_is_gone_is_refused_and_the_rest_goes_on() {
    let listener = Listener::start("replay_gone").await;
    let (_, letters) = listener.rejected_letters(3).await;
    let everything = json!({"group": "coupon-issuance"});
    let pace = json!({"canary_letters": 0});
    let id = listener.planned(everything, pace).await.replay_id;
    sqlx::query("DELETE FROM dead_letters WHERE letter_id = ?")
        .bind(letters[1])
        .execute(listener.environment.pool())
        .await
        .expect("it is removed");
    let _started: ReplayView = listener.do_to(id, "start").await.ok();
    let progress = listener.until_sent(id, 2).await.progress;
    assert_eq!((progress.waiting, progress.refused), (0, 1));
    let gone = "replay_letters WHERE error_class = 'dead-letter-not-found' AND outcome = 'refused'";
    assert_eq!(listener.count(gone).await, 1);
    listener.answered(letters[0], "resolved").await;
    listener.answered(letters[2], "resolved").await;
    listener.until(id, "completed").await;
}

impl Listener {
    /// A replay of everything that runs, and that nobody but the test steps; its number.
    async fn unstepped(&self, pace: Value) -> (ReplayId, u32) {
        let pool = self.environment.pool();
        let lease = "INSERT INTO leases (name, holder, epoch, expires_at)
             VALUES ('replays', 'test', 1, '2100-01-01')";
        sqlx::query(lease).execute(pool).await.expect("a lease");
        let everything = json!({"group": "coupon-issuance"});
        let id = self.planned(everything, pace).await.replay_id;
        let _started: ReplayView = self.do_to(id, "start").await.ok();
        let replay_no = sqlx::query_scalar("SELECT replay_no FROM replays")
            .fetch_one(pool)
            .await
            .expect("a replay");
        (id, replay_no)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_one_look_weigh_no_more_than_what_went_well_in_it() {
    let listener = Listener::start("replay_one_look").await;
    let (_, letters) = listener.rejected_letters(12).await;
    let pace = json!({"canary_letters": 0, "failures_percent_max": 20});
    let (_, replay_no) = listener.unstepped(pace).await;
    let pool = listener.environment.pool();
    let servers = Servers::new(listener.config.clone()).expect("clients");
    let writer = servers.writer().await.expect("a writer");
    let limits = Limits {
        letters_max: 12,
        in_flight_max: 12,
    };
    let sent = step(pool, writer, replay_no, limits).await.expect("a step").sent;
    assert_eq!(sent, 12);
    // The first failed, and all that came later went well.
    listener.answered(letters[0], "open").await;
    for letter in &letters[1..] {
        listener.answered(*letter, "resolved").await;
    }
    step(pool, writer, replay_no, limits).await.expect("a step");
    let judged: Vec<u8> = sqlx::query_scalar("SELECT recent_answers FROM replays")
        .fetch_one(pool)
        .await
        .expect("what it is judged by");
    assert_eq!(judged, b"frrrrrrrrrrr", "the failure is the oldest");
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_step_a_replay_together_send_each_letter_once() {
    let listener = Listener::start("replay_together").await;
    listener.rejected_letters(12).await;
    listener.published().await;
    let (id, replay_no) = listener.unstepped(json!({"canary_letters": 0})).await;
    let pool = listener.environment.pool();
    let servers = Servers::new(listener.config.clone()).expect("clients");
    let writer = servers.writer().await.expect("a writer");
    let limits = Limits {
        letters_max: 4,
        in_flight_max: 8,
    };
    let steps = (0..6).map(|_| step(pool, writer, replay_no, limits));
    let stepped = futures::future::join_all(steps).await;
    let sent: u32 = stepped.into_iter().map(|step| step.expect("a step").sent).sum();
    assert_eq!(sent, 8, "as many as may be on their way");
    let progress = listener.shown(id).await.progress;
    assert_eq!((progress.sent, progress.waiting, progress.refused), (8, 4, 0));
    assert_eq!(
        listener
            .count("dead_letters WHERE state = 'replaying' AND replay_attempt = 1")
            .await,
        8
    );
    assert_eq!(
        listener.unpublished().await.len(),
        8,
        "a record for each, and no more"
    );
    let _paused: ReplayView = listener.do_to(id, "pause").await.ok();
    sqlx::query("UPDATE dead_letters SET state = 'resolved', replay_deadline = NULL, closed_at = UTC_TIMESTAMP(6) WHERE state = 'replaying'")
        .execute(pool)
        .await
        .expect("an update");
    let stepped = step(pool, writer, replay_no, limits).await.expect("a step");
    assert_eq!(
        (stepped.sent, stepped.outcomes.len()),
        (0, 8),
        "paused, it only listens"
    );
}
