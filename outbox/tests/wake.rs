//! Waking the relays through the real Redis.

mod support;

use std::time::{Duration, Instant};

use futures::StreamExt;
use headgate_outbox::wake::Waker;
use headgate_runtime::redis;
use headgate_testkit::Environment;

fn config(environment: &Environment) -> redis::Config {
    redis::Config {
        url: environment.redis_url().to_owned(),
        prefix: environment.redis_prefix(),
        connect_timeout: support::LIMIT,
        response_timeout: support::LIMIT,
    }
}

#[tokio::test]
async fn many_calls_become_few_messages_and_the_last_call_is_heard() {
    let environment = Environment::new("wake").await;
    let config = config(&environment);
    let client = redis::client(&config).expect("the address is readable");
    let mut subscription = client.get_async_pubsub().await.expect("Redis answers");
    subscription
        .subscribe(config.outbox_channel())
        .await
        .expect("Redis answers");
    let mut messages = subscription.on_message();
    let waker = Waker::new(&config).expect("the address is readable");
    let start = Instant::now();
    for _ in 0..1_000 {
        waker.wake();
    }
    let mut heard = 0;
    while tokio::time::timeout(Duration::from_millis(200), messages.next())
        .await
        .is_ok()
    {
        heard += 1;
    }
    let most = start.elapsed().as_millis() + 1;
    assert!(heard >= 1 && heard <= most, "{heard} messages in {most} ms");
    waker.wake();
    let last = tokio::time::timeout(support::LIMIT, messages.next()).await;
    assert!(last.is_ok_and(|message| message.is_some()));
}

#[tokio::test]
async fn without_redis_nobody_is_kept_waiting() {
    let environment = Environment::new("wake_away").await;
    let mut config = config(&environment);
    // A port at which nobody listens.
    "redis://127.0.0.1:1/".clone_into(&mut config.url);
    let waker = Waker::new(&config).expect("the address is readable");
    let start = Instant::now();
    for _ in 0..1_000 {
        waker.wake();
    }
    assert!(start.elapsed() < Duration::from_millis(100));
}
