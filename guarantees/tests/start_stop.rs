//! Services start from what the contract says, tell where they listen, say when they
//! are ready, and stop when asked to.

use headgate_guarantees::Installation;
use headgate_testkit::process::run_any;

const SERVICES: [&str; 4] = [
    "headgate-api",
    "headgate-relay",
    "headgate-consumers",
    "headgate-operator",
];

#[tokio::test]
async fn services_start_and_stop_cleanly() {
    let installation = Installation::new("start_stop").await;
    let starts = [
        installation.api(),
        installation.relay(),
        installation.consumers(),
        installation.operator(),
    ];
    for start in starts {
        let mut service = start.spawn().await;
        let live = reqwest::get(format!("{}/health/live", service.health()))
            .await
            .expect("the listener answers");
        assert!(live.status().is_success());
        let metrics = reqwest::get(format!("{}/metrics", service.health()))
            .await
            .expect("the listener answers");
        assert!(metrics.status().is_success());
        service.stop().await;
    }
}

#[tokio::test]
async fn wrong_settings_are_all_reported_at_start() {
    let wrong = [
        ("MYSQL_URL", "mysql://x:y@127.0.0.1:1/none"),
        ("HEADGATE_REDIS__RESPONSE_TIMEOUT_MS", "0"),
        ("HEADGATE_KAFKA__BOOTSTRAP", "nowhere"),
        ("HEADGATE_OPERATOR_TOKEN", "a-token-for-a-test-0123456789"),
    ];
    let wrong: Vec<_> = wrong
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec();
    for service in SERVICES {
        let (status, stdout, stderr) = run_any(service, &wrong, &["--check-config"]).await;
        assert!(!status.success(), "{service} accepts wrong settings");
        for fault in ["redis.response_timeout_ms", "kafka.bootstrap"] {
            assert!(
                format!("{stdout}{stderr}").contains(fault),
                "{service} does not say {fault}: {stdout}{stderr}"
            );
        }
    }
}

#[tokio::test]
async fn defaults_are_accepted() {
    let token = [(
        "HEADGATE_OPERATOR_TOKEN".to_owned(),
        "a-token-for-a-test-0123456789".to_owned(),
    )];
    for service in SERVICES {
        let (status, _, stderr) = run_any(service, &token, &["--check-config"]).await;
        assert!(status.success(), "{service}: {stderr}");
    }
}
