//! A sink for traces: receives OTLP over HTTP and keeps the spans, with the name of
//! the service that sent them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use parking_lot::Mutex;
use prost::Message;
use tokio::net::TcpListener;

/// Most spans that are kept.
const SPANS_MAX: usize = 200_000;

/// One span, ids as hexadecimal text.
#[derive(Clone, Debug)]
pub struct Span {
    /// `service.name` of its process.
    pub service: String,
    /// The trace it belongs to.
    pub trace_id: String,
    /// Its own id.
    pub span_id: String,
    /// Empty at the root.
    pub parent_span_id: String,
    /// What was done.
    pub name: String,
    /// Nanoseconds since 1970.
    pub start_nanos: u64,
    /// Nanoseconds since 1970.
    pub end_nanos: u64,
    /// Attributes as text.
    pub attributes: BTreeMap<String, String>,
}

/// The sink. It serves as long as the test's runtime lives.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Sink {
    /// Listens on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("a bound listener has an address");
        let spans = Arc::new(Mutex::new(Vec::new()));
        let routes = Router::new()
            .route("/v1/traces", post(receive))
            .with_state(spans.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { address, spans }
    }

    /// What goes into `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The spans so far.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().clone()
    }

    /// The spans of one trace so far.
    pub fn trace(&self, trace_id: &str) -> Vec<Span> {
        let spans = self.spans.lock();
        spans
            .iter()
            .filter(|span| span.trace_id == trace_id)
            .cloned()
            .collect()
    }

    /// The services that sent a span of this trace.
    pub fn services(&self, trace_id: &str) -> BTreeSet<String> {
        self.trace(trace_id)
            .into_iter()
            .map(|span| span.service)
            .collect()
    }
}

async fn receive(State(spans): State<Arc<Mutex<Vec<Span>>>>, body: Bytes) -> StatusCode {
    let Ok(request) = ExportTraceServiceRequest::decode(body) else {
        return StatusCode::BAD_REQUEST;
    };
    let mut kept = spans.lock();
    for resource_spans in request.resource_spans {
        let resource = resource_spans.resource.unwrap_or_default();
        let service = text_attributes(&resource.attributes)
            .remove("service.name")
            .unwrap_or_default();
        let received = resource_spans
            .scope_spans
            .into_iter()
            .flat_map(|scope| scope.spans);
        for span in received {
            if kept.len() < SPANS_MAX {
                kept.push(Span {
                    service: service.clone(),
                    trace_id: hexadecimal(&span.trace_id),
                    span_id: hexadecimal(&span.span_id),
                    parent_span_id: hexadecimal(&span.parent_span_id),
                    name: span.name,
                    start_nanos: span.start_time_unix_nano,
                    end_nanos: span.end_time_unix_nano,
                    attributes: text_attributes(&span.attributes),
                });
            }
        }
    }
    StatusCode::OK
}

fn text_attributes(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(yes)) => yes.to_string(),
        _ => String::new(),
    };
    attributes
        .iter()
        .map(|attribute| (attribute.key.clone(), text(&attribute.value)))
        .collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Sent};

    fn attribute(key: &str, value: &str) -> KeyValue {
        KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue {
                value: Some(Value::StringValue(value.to_owned())),
            }),
            ..KeyValue::default()
        }
    }

    #[tokio::test]
    async fn a_span_is_kept_with_its_service() {
        let sink = Sink::start().await;
        let span = Sent {
            trace_id: vec![0xab; 16],
            span_id: vec![1; 8],
            name: "claim".to_owned(),
            attributes: vec![attribute("ticket", "7")],
            ..Sent::default()
        };
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource {
                    attributes: vec![attribute("service.name", "headgate-api")],
                    ..Resource::default()
                }),
                scope_spans: vec![ScopeSpans {
                    spans: vec![span],
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        };
        let sent = reqwest::Client::new()
            .post(format!("{}/v1/traces", sink.endpoint()))
            .body(request.encode_to_vec())
            .send()
            .await
            .expect("the sink answers");
        assert!(sent.status().is_success());
        let trace = "ab".repeat(16);
        assert_eq!(
            sink.services(&trace).into_iter().collect::<Vec<_>>(),
            ["headgate-api"]
        );
        assert_eq!(sink.trace(&trace)[0].attributes["ticket"], "7");
    }
}
