//! One trace goes from the HTTP request to the coupon row, and the metrics that alerts
//! depend on exist.

use std::time::Duration;

use headgate_guarantees::pipeline::assert_all_hold;
use headgate_guarantees::{Installation, Partner};
use headgate_testkit::eventually;
use headgate_testkit::otlp::Sink;
use reqwest::{Method, StatusCode};
use serde_json::json;

/// Until the spans of all processes have arrived, at most.
const TRACE_TIMEOUT: Duration = Duration::from_secs(30);
/// Until every metric was looked up once, at most.
const METRICS_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test]
async fn one_trace_from_http_to_coupon() {
    let sink = Sink::start().await;
    let installation = Installation::new("one_trace")
        .await
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", sink.endpoint())
        .with("HEADGATE_TELEMETRY__TRACE_RATIO", "1.0");
    let pipeline = installation.start(1).await;
    let partner = pipeline.partner(&installation);
    let campaign = partner.open_campaign(3).await;
    let trace_id = format!("{:032x}", rand::random::<u128>());
    let request = partner
        .request(Method::POST, &format!("/v1/campaigns/{campaign}/claims"))
        .header("traceparent", format!("00-{trace_id}-00f067aa0ba902b7-01"))
        .header("prefer", "wait=20")
        .json(&json!({"user_id": "u-1"}));
    let reply = Partner::reply(request).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.body);

    let services = eventually("spans of all three processes", TRACE_TIMEOUT, async || {
        let services = sink.services(&trace_id);
        (services.len() >= 3).then_some(services)
    })
    .await;
    for service in ["api", "relay", "consumers"] {
        assert!(
            services.iter().any(|name| name.contains(service)),
            "{service} is not among {services:?}"
        );
    }
    // Every span hangs on another one of the trace, or on the caller's.
    let spans = sink.trace(&trace_id);
    for span in &spans {
        let known = span.parent_span_id == "00f067aa0ba902b7"
            || spans.iter().any(|other| other.span_id == span.parent_span_id);
        assert!(known, "{span:?} hangs in the air");
    }
    pipeline.stop().await;
}

#[tokio::test]
async fn problems_name_their_trace() {
    let sink = Sink::start().await;
    let installation = Installation::new("problem_trace")
        .await
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", sink.endpoint());
    let api = installation.api().spawn().await;
    let trace_id = format!("{:032x}", rand::random::<u128>());
    let request = installation
        .partner(&api)
        .request(Method::GET, "/v1/campaigns/0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77")
        .header("traceparent", format!("00-{trace_id}-00f067aa0ba902b7-01"));
    let reply = Partner::reply(request).await;
    assert_eq!(reply.body["trace_id"], trace_id.as_str(), "{}", reply.body);
}

#[tokio::test]
async fn metrics_exist_as_the_contract_names_them() {
    let installation = Installation::new("metrics").await;
    let pipeline = installation.start(1).await;
    let campaign = pipeline.partner(&installation).open_campaign(10).await;
    let ledger = pipeline.load(&installation, campaign, 15, 2).run().await;
    assert_all_hold(&installation, campaign, &ledger).await;
    let expected = [
        (
            &pipeline.apis[0],
            &[
                "headgate_http_request_seconds_count",
                "headgate_http_in_flight",
                "headgate_db_pool_connections",
                "headgate_redis_command_seconds_count",
                "headgate_claims_total",
            ][..],
        ),
        (
            &pipeline.relay,
            &[
                "headgate_outbox_oldest_pending_seconds",
                "headgate_outbox_pending_rows",
                "headgate_relay_publish_seconds_count",
                "headgate_db_pool_connections",
            ],
        ),
        (
            &pipeline.consumers,
            &[
                "headgate_consumer_lag_records",
                "headgate_consumer_lag_seconds",
                "headgate_end_to_end_seconds_count",
                "headgate_dead_letters_open",
                "headgate_dead_letters_quarantined",
                "headgate_db_pool_connections",
            ],
        ),
    ];
    for (service, names) in expected {
        // Some are looked up every few seconds only.
        eventually(&format!("{names:?} of {service:?}"), METRICS_WITHIN, async || {
            let shown = service.metrics().await;
            let is_shown = |name: &&str| shown.lines().any(|line| line.starts_with(*name));
            names.iter().all(is_shown).then_some(())
        })
        .await;
    }
    pipeline.stop().await;
}

#[tokio::test]
async fn secrets_and_payloads_stay_out_of_logs() {
    let installation = Installation::new("g14_logs").await;
    let pipeline = installation.start(1).await;
    let partner = pipeline.partner(&installation);
    let campaign = partner.open_campaign(3).await;
    let secret_user = "kim.minsu@example.org";
    let ledger = headgate_testkit::client::Load {
        users: vec![secret_user.to_owned()],
        ..pipeline.load(&installation, campaign, 1, 1)
    }
    .run()
    .await;
    assert_all_hold(&installation, campaign, &ledger).await;
    for service in [&pipeline.apis[0], &pipeline.relay, &pipeline.consumers] {
        let log = service.log();
        for secret in [installation.api_key(), secret_user, "headgate:headgate"] {
            assert!(!log.contains(secret), "{service:?} logs `{secret}`");
        }
    }
    pipeline.stop().await;
}
