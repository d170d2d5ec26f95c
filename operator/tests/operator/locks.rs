//! The locks in Redis as operators see and end them.

use std::collections::BTreeSet;

use headgate_operator::audit::Lines;
use headgate_operator::locks::{LockView, Locks as Page};
use headgate_runtime::lock::{Acquisition, Config, Guards, LockKey, Locks};
use headgate_runtime::redis;
use reqwest::Method;
use uuid::Uuid;

use crate::listener::{Answer, Listener, OPERATOR, VIEWER};

impl Listener {
    /// What a process named `api-17` takes.
    pub async fn locked(&self, keys: &[LockKey]) -> Guards {
        let connection = redis::connection(&self.config.redis).expect("an address");
        let config = Config {
            command_timeout: self.config.redis.response_timeout,
            ..Config::default()
        };
        let locks = Locks::new(connection, config, &self.config.redis.prefix, "api-17");
        match locks.acquire_all(keys).await {
            Acquisition::Held(guards) => guards,
            Acquisition::Bypassed | Acquisition::Busy => panic!("nobody else is there"),
        }
    }

    async fn release(&self, token: &str, key: &str, reason: &str) -> Answer {
        let request = self
            .request(Method::DELETE, &format!("/v1/locks/{key}"))
            .query(&[("reason", reason)])
            .bearer_auth(token);
        self.send(request).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_are_listed_page_by_page() {
    let listener = Listener::start("locks_listed").await;
    let empty: Page = listener.get(VIEWER, "/v1/locks").await.ok();
    assert_eq!((empty.items.len(), empty.next_cursor), (0, None));
    let keys: Vec<_> = (0..5).map(|_| LockKey::point_use(Uuid::now_v7())).collect();
    let _guards = listener.locked(&keys).await;

    let (mut seen, mut path) = (BTreeSet::new(), "/v1/locks?limit=2".to_owned());
    loop {
        let page: Page = listener.get(VIEWER, &path).await.ok();
        for lock in page.items {
            assert_eq!(
                (lock.kind.as_str(), lock.holder.as_deref()),
                ("point-use", Some("api-17"))
            );
            assert!(lock.remaining_ms.is_some_and(|left| (1..=10_000).contains(&left)));
            assert!(lock.age_ms.is_some() && lock.since.is_some());
            seen.insert(lock.key);
        }
        let Some(cursor) = page.next_cursor else { break };
        path = format!("/v1/locks?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, keys.iter().map(ToString::to_string).collect());
    for wrong in ["cursor=x", "limit=0", "limit=501"] {
        let answer = listener.get(VIEWER, &format!("/v1/locks?{wrong}")).await;
        answer.refused(400, "invalid-parameter");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_released_for_a_reason_by_an_operator() {
    let listener = Listener::start("lock_released").await;
    let [released, kept] = [LockKey::point_use, LockKey::point_cancel_usage].map(|key| key(Uuid::now_v7()));
    let _guards = listener.locked(&[released, kept]).await;
    let key = released.to_string();

    let viewer = listener.release(VIEWER, &key, "it hangs").await;
    viewer.refused(403, "role-missing");
    let too_long = "x".repeat(257);
    for reason in ["", " ", &too_long] {
        let refused = listener.release(OPERATOR, &key, reason).await;
        assert_eq!(
            refused.refused(400, "invalid-parameter").errors[0].field,
            "reason"
        );
    }
    let bare = listener.request(Method::DELETE, &format!("/v1/locks/{key}"));
    let bare = listener.send(bare.bearer_auth(OPERATOR)).await;
    bare.refused(400, "invalid-parameter");
    let no_key = listener.release(OPERATOR, "point:balance:1", "it hangs").await;
    assert_eq!(no_key.refused(400, "invalid-parameter").errors[0].field, "key");
    assert_eq!(listener.audit().await, []);

    let view: LockView = listener.release(OPERATOR, &key, " it hangs ").await.ok();
    assert_eq!((&view.key, view.holder.as_deref()), (&key, Some("api-17")));
    let again = listener.release(OPERATOR, &key, "it hangs").await;
    again.refused(404, "lock-not-held");
    let left: Page = listener.get(VIEWER, "/v1/locks").await.ok();
    let left: Vec<_> = left.items.into_iter().map(|lock| lock.key).collect();
    assert_eq!(left, [kept.to_string()]);

    let lines: Lines = listener.get(VIEWER, "/v1/audit").await.ok();
    assert_eq!(lines.items.len(), 1, "what was refused was not done");
    let line = &lines.items[0];
    assert_eq!(
        (line.actor.as_str(), line.action.as_str(), &line.object),
        ("olga", "lock.release", &key)
    );
    let detail = line.detail.as_ref().expect("more about it");
    assert_eq!(
        (&detail["reason"], &detail["holder"]),
        (&"it hangs".into(), &"api-17".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_locks_are_not_available() {
    let nobody_there = |config: &mut headgate_operator::config::Config| {
        "redis://127.0.0.1:1".clone_into(&mut config.redis.url);
    };
    let listener = Listener::start_with("locks_no_redis", nobody_there).await;
    let answer = listener.get(VIEWER, "/v1/locks").await;
    answer.refused(503, "service-unavailable");
    let key = LockKey::point_use(Uuid::now_v7()).to_string();
    let answer = listener.release(OPERATOR, &key, "it hangs").await;
    answer.refused(503, "service-unavailable");
    assert_eq!(listener.audit().await, []);
}
