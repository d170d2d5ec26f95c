//! `GET /v1/claims/{id}/events`.

use std::time::Duration;

use futures::StreamExt;
use headgate_testkit::eventually;
use reqwest::Method;

use crate::harness::Installation;
use crate::partner::{Answer, Partner};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

/// A stream under way.
struct Stream {
    bytes: futures::stream::BoxStream<'static, reqwest::Result<Vec<u8>>>,
    text: String,
}

impl Stream {
    async fn open(partner: &Partner, claim: &str) -> Self {
        let response = partner
            .request(Method::GET, &format!("/v1/claims/{claim}/events"))
            .send()
            .await
            .expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let bytes = response
            .bytes_stream()
            .map(|bytes| bytes.map(|bytes| bytes.to_vec()))
            .boxed();
        Self {
            bytes,
            text: String::new(),
        }
    }

    /// Reads on until `part` has come, or to the end.
    async fn read_until(&mut self, part: Option<&str>) -> &str {
        while !part.is_some_and(|part| self.text.contains(part)) {
            match tokio::time::timeout(LONG, self.bytes.next())
                .await
                .expect("something in time")
            {
                Some(bytes) => self
                    .text
                    .push_str(&String::from_utf8_lossy(&bytes.expect("bytes"))),
                None => break,
            }
        }
        &self.text
    }

    fn names(&self) -> Vec<&str> {
        self.text
            .lines()
            .filter_map(|line| line.strip_prefix("event: "))
            .collect()
    }
}

#[tokio::test]
async fn c4_a_stream_tells_every_state_and_ends_with_the_last() {
    let (installation, api, partner) = Installation::with_partner("stream").await;
    let campaign = partner.campaign(2).await;
    let claim = partner.claim(&campaign, "u-1").await;
    let id = claim.text("claim_id");
    let mut stream = Stream::open(&partner, id).await;
    stream.read_until(Some("event: admitted")).await;
    assert_eq!(stream.names(), ["admitted"]);
    installation.issue(claim.id("claim_id")).await;
    let text = stream.read_until(None).await;
    assert!(text.contains(&format!("\"claim_id\":\"{id}\"")), "{text}");
    assert_eq!(stream.names(), ["admitted", "issued"]);
    // Whoever comes later hears the last state, and no more.
    let mut late = Stream::open(&partner, id).await;
    late.read_until(None).await;
    assert_eq!(late.names(), ["issued"]);
    api.stop().await;
}

#[tokio::test]
async fn c4_a_stream_has_an_end_and_stops_with_the_process() {
    let installation = Installation::new("stream_end").await;
    let mut config = installation.config();
    config.waiting.stream_max = Duration::from_millis(300);
    let short = installation.start_with(config).await;
    let api = installation.start().await;
    let (_, key) = installation
        .partner_and_key(headgate_domain::partners::Scopes::all())
        .await;
    let [partner, hasty] = [&api, &short].map(|api| Partner::new(&api.url, key.text.reveal()));
    let campaign = partner.campaign(2).await;
    let claim = partner.claim(&campaign, "u-1").await;
    let mut ending = Stream::open(&hasty, claim.text("claim_id")).await;
    ending.read_until(None).await;
    assert_eq!(ending.names(), ["admitted"]);
    let mut stopped = Stream::open(&partner, claim.text("claim_id")).await;
    stopped.read_until(Some("event: admitted")).await;
    api.stop().await;
    stopped.read_until(None).await;
    assert_eq!(stopped.names(), ["admitted"]);
    short.stop().await;
}

#[tokio::test]
async fn g13_places_for_waiting_are_limited_and_given_back() {
    let installation = Installation::new("stream_places").await;
    let mut config = installation.config();
    config.waiting.waiters_max = 1;
    let api = installation.start_with(config).await;
    let partner = installation.partner(&api).await;
    let campaign = partner.campaign(2).await;
    let claim = partner.claim(&campaign, "u-1").await;
    let path = format!("/v1/claims/{}", claim.text("claim_id"));
    let mut stream = Stream::open(&partner, claim.text("claim_id")).await;
    stream.read_until(Some("event: admitted")).await;
    let refused = partner.get(&format!("{path}/events")).await;
    assert_eq!(refused.problem(), (503, "overloaded"));
    // A wait is a preference: it is not granted, and the answer comes at once.
    let at_once = partner.request(Method::GET, &path).header("Prefer", "wait=25");
    let at_once = Answer::of(at_once).await;
    assert_eq!((at_once.status, at_once.text("state")), (200, "admitted"));
    assert!(!at_once.headers.contains_key("preference-applied"), "{at_once:?}");
    drop(stream);
    eventually("the place of the client that left", LONG, async || {
        let response = partner
            .request(Method::GET, &format!("{path}/events"))
            .send()
            .await;
        (response.expect("an answer").status() == 200).then_some(())
    })
    .await;
    api.stop().await;
}
