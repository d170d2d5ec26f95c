//! What the api says of itself: its document, its pages, its health and metrics.

use reqwest::Method;
use serde_json::Value;

use crate::harness::Installation;
use crate::partner::{Answer, Partner};

#[tokio::test]
async fn the_document_and_the_pages_are_served() {
    let installation = Installation::new("documents").await;
    let api = installation.start().await;
    let visitor = Partner::new(&api.url, "none");
    let served = Answer::of(visitor.anonymous(Method::GET, "/openapi.json")).await;
    let checked_in = headgate_api::openapi::document().expect("the document");
    let checked_in: Value = serde_json::from_str(&checked_in).expect("JSON");
    assert_eq!((served.status, &served.body), (200, &checked_in));
    let docs = Answer::of(visitor.anonymous(Method::GET, "/docs/")).await;
    assert_eq!(docs.status, 200);
    assert!(
        docs.body.as_str().is_some_and(|page| page.contains("swagger-ui")),
        "{docs:?}"
    );
    let problem = Answer::of(visitor.anonymous(Method::GET, "/v1/campaigns")).await;
    let page = Answer::of(visitor.anonymous(Method::GET, problem.text("type"))).await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("text/markdown"));
    assert!(
        page.body
            .as_str()
            .is_some_and(|page| page.contains("`unauthenticated`"))
    );
    api.stop().await;
}
