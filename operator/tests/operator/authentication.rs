//! Who is let in, and what they may do.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::listener::{ADMIN, Listener, OPERATOR, VIEWER};

/// An id that nothing has.
const NO_ID: &str = "0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_answered_without_a_token_that_is_known() {
    let listener = Listener::start("no_token").await;
    let document: Value = listener.get(VIEWER, "/openapi.json").await.ok();
    let mut paths: Vec<_> = document["paths"]
        .as_object()
        .expect("paths")
        .keys()
        .cloned()
        .collect();
    paths.extend(["/openapi.json", "/", "/nothing/here"].map(str::to_owned));
    for path in paths {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let anonymous = listener.request(method.clone(), &path);
            listener.send(anonymous).await.refused(401, "token-required");
            for wrong in ["", "x", &VIEWER[1..], &VIEWER.to_uppercase()] {
                let wrong = listener.request(method.clone(), &path).bearer_auth(wrong);
                listener.send(wrong).await.refused(401, "token-required");
            }
            let basic = listener.request(method, &path).basic_auth("vera", Some(VIEWER));
            listener.send(basic).await.refused(401, "token-required");
        }
    }
    assert_eq!(listener.audit().await, []);
}

/// What only admins may do; every other POST and DELETE takes an operator, every GET a viewer.
const ADMIN_PATHS: [&str; 5] = [
    "/v1/partners",
    "/v1/partners/{partner_id}/keys",
    "/v1/keys/{key_id}/rotate",
    "/v1/keys/{key_id}/revoke",
    "/v1/reconciliation/points/{wallet_id}/repair",
];

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_do_what_the_lower_ones_may_and_no_more() {
    let listener = Listener::start("roles").await;
    let document: Value = listener.get(VIEWER, "/openapi.json").await.ok();
    let mut acts = 0;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let filled: Vec<_> = path
            .split('/')
            .map(|part| if part.starts_with('{') { NO_ID } else { part })
            .collect();
        let filled = filled.join("/");
        if methods.get("get").is_some() {
            for token in [VIEWER, OPERATOR, ADMIN] {
                let answer = listener.get(token, &filled).await;
                assert!(
                    matches!(answer.status.as_u16(), 200 | 404),
                    "{path}: {}",
                    answer.text
                );
            }
        }
        for method in [Method::POST, Method::DELETE] {
            if methods.get(method.as_str().to_lowercase()).is_none() {
                continue;
            }
            acts += 1;
            let act = async |token: &str| {
                let request = listener.request(method.clone(), &filled).bearer_auth(token);
                listener.send(request.json(&json!({}))).await
            };
            let (refused, allowed) = if ADMIN_PATHS.contains(&path.as_str()) {
                (vec![VIEWER, OPERATOR], vec![ADMIN])
            } else {
                (vec![VIEWER], vec![OPERATOR, ADMIN])
            };
            for token in refused {
                act(token).await.refused(403, "role-missing");
            }
            for token in allowed {
                // Nothing is there, or no reason is given; but not for want of a role.
                let answer = act(token).await;
                assert!(
                    matches!(answer.status.as_u16(), 400 | 404 | 422),
                    "{path}: {} {}",
                    answer.status,
                    answer.text
                );
            }
        }
    }
    assert!(acts > 10, "{acts} acts");
    // A refused act leaves no trace in the audit log, because it changed nothing.
    let lines = listener.audit().await;
    assert!(
        lines.iter().all(|(_, action, _)| action == "outbox.retry"),
        "{lines:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_need_no_token_and_have_their_own_listener() {
    let listener = Listener::start("health").await;
    for path in ["/health/live", "/health/ready", "/metrics"] {
        let response = reqwest::get(format!("{}{path}", listener.health))
            .await
            .expect("it answers");
        assert_eq!(response.status(), 200, "{path}");
        listener.get(VIEWER, path).await.refused(404, "route-not-found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_request_is_a_problem_and_changes_nothing() {
    let listener = Listener::start("wrong_requests").await;
    listener
        .get(VIEWER, "/v1/nothing")
        .await
        .refused(404, "route-not-found");
    listener
        .post(VIEWER, "/v1/audit", &json!({}))
        .await
        .refused(405, "method-not-allowed");
    for query in [
        "limit=0",
        "limit=501",
        "limit=x",
        "cursor=1",
        "state=lost",
        "unknown=1",
        "disposition=",
    ] {
        listener
            .get(VIEWER, &format!("/v1/dead-letters?{query}"))
            .await
            .refused(400, "invalid-parameter");
    }
    listener
        .get(VIEWER, "/v1/dead-letters/1")
        .await
        .refused(400, "invalid-parameter");
    let replay = "/v1/replays";
    for body in [
        json!({}),
        json!({"filter": {}}),
        json!({"filter": {"group": 1}}),
        json!({"filter": {"group": "g"}, "x": 1}),
        json!({"filter": {"group": "g"}, "pace": {"rate_per_second": -1}}),
        json!([]),
    ] {
        listener
            .post(OPERATOR, replay, &body)
            .await
            .refused(422, "invalid-body");
    }
    let fast = json!({"filter": {"group": "g"}, "pace": {"rate_per_second": 0, "failures_percent_max": 101}});
    let problem = listener
        .post(OPERATOR, replay, &fast)
        .await
        .refused(422, "invalid-body");
    let fields: Vec<&str> = problem.errors.iter().map(|wrong| wrong.field.as_str()).collect();
    assert_eq!(fields, ["rate_per_second", "failures_percent_max"]);
    let large = json!({"filter": {"group": "g".repeat(70_000)}});
    listener
        .post(OPERATOR, replay, &large)
        .await
        .refused(413, "body-too-large");
    assert_eq!(listener.audit().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_at_once_are_refused_at_once() {
    let listener = Listener::start_with("overload", |config| config.http.in_flight_max = 1).await;
    let body = r#"{"filter":{"group":"g"}}"#;
    let head = format!(
        "POST /v1/replays HTTP/1.1\r\nhost: operator\r\nauthorization: Bearer {OPERATOR}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        body.len()
    );
    let address = listener.url.trim_start_matches("http://");
    let mut holding = TcpStream::connect(address).await.expect("the listener listens");
    holding
        .write_all(head.as_bytes())
        .await
        .expect("it takes the head");
    // Asked for its body, the request is with its handler: it holds the only slot.
    assert_eq!(line(&mut holding).await, "HTTP/1.1 100 Continue");
    listener.get(VIEWER, "/v1/audit").await.refused(503, "overloaded");
    assert_eq!(line(&mut holding).await, "");
    holding
        .write_all(body.as_bytes())
        .await
        .expect("it takes the body");
    assert_eq!(line(&mut holding).await, "HTTP/1.1 201 Created");
}

async fn line(stream: &mut TcpStream) -> String {
    let mut line = String::new();
    while !line.ends_with("\r\n") {
        line.push(char::from(stream.read_u8().await.expect("it answers")));
    }
    line.trim_end().to_owned()
}
