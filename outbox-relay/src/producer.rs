//! The idempotent producer of one worker, and the acknowledgements of one sending.
//!
//! Delivery reports come by callback into a table with a place for each row, and one
//! counter says when the last one is there: a future for each record costs more than
//! sending it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use tokio::sync::Notify;

use crate::record::Record;

/// What became of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Kafka has it, on all replicas that are in sync.
    Acknowledged {
        /// Where it lies.
        partition: i32,
        /// And where there.
        offset: i64,
    },
    /// Kafka refuses this record, or one that it was sent with.
    Refused(RDKafkaErrorCode),
    /// It was not delivered, or nobody knows, for reasons that lie elsewhere.
    Lost(RDKafkaErrorCode),
}

/// Errors that say something of the record or of its topic. All others say something of
/// the broker, the network or this process, and are no reason to give a row up.
const REFUSALS: &[RDKafkaErrorCode] = &[
    RDKafkaErrorCode::MessageSizeTooLarge,
    RDKafkaErrorCode::InvalidMessage,
    RDKafkaErrorCode::InvalidMessageSize,
    RDKafkaErrorCode::MessageBatchTooLarge,
    RDKafkaErrorCode::InvalidRecord,
    RDKafkaErrorCode::InvalidTimestamp,
    RDKafkaErrorCode::UnsupportedForMessageFormat,
    RDKafkaErrorCode::PolicyViolation,
    RDKafkaErrorCode::InvalidTopic,
    RDKafkaErrorCode::UnknownTopic,
    RDKafkaErrorCode::UnknownTopicOrPartition,
    RDKafkaErrorCode::UnknownPartition,
];

impl Delivery {
    fn failed(error: &KafkaError) -> Self {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        if REFUSALS.contains(&code) {
            Self::Refused(code)
        } else {
            Self::Lost(code)
        }
    }
}

/// The records of one sending, until each has its delivery.
#[derive(Debug)]
pub struct InFlight {
    deliveries: Box<[OnceLock<Delivery>]>,
    /// Records without a delivery, and one for the sender until it has sent all.
    open: AtomicUsize,
    settled: Notify,
}

impl InFlight {
    /// A table with `places` places.
    pub fn new(places: usize) -> Arc<Self> {
        Arc::new(Self {
            deliveries: std::iter::repeat_with(OnceLock::new).take(places).collect(),
            open: AtomicUsize::new(1),
            settled: Notify::new(),
        })
    }

    /// Nothing more will be sent.
    pub fn sealed(&self) {
        self.close_one();
    }

    /// Waits until every record that was sent has its delivery.
    pub async fn settled(&self) {
        loop {
            let notified = self.settled.notified();
            if self.open.load(Ordering::Acquire) == 0 {
                return;
            }
            notified.await;
        }
    }

    /// What became of the record at `place`. `None`: not sent, or not known yet.
    pub fn delivery(&self, place: usize) -> Option<&Delivery> {
        self.deliveries.get(place)?.get()
    }

    fn settle(&self, place: usize, delivery: Delivery) {
        let fresh = self
            .deliveries
            .get(place)
            .is_some_and(|at| at.set(delivery).is_ok());
        debug_assert!(fresh, "a record has one delivery");
        self.close_one();
    }

    fn close_one(&self) {
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.settled.notify_waiters();
        }
    }
}

/// Travels with a record through librdkafka.
#[derive(Debug)]
pub struct Place {
    in_flight: Arc<InFlight>,
    place: usize,
}

/// Under this name librdkafka comments on settings.
const SETTINGS_FACILITY: &str = "CONFWARN";

/// Receives what librdkafka reports.
#[derive(Debug)]
pub struct Reports;

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            // That a setting counts as experimental: a test holds what is needed of it.
            _ if facility == SETTINGS_FACILITY => tracing::debug!(facility, message, "librdkafka"),
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(facility, message, "librdkafka");
            }
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => {
                tracing::warn!(facility, message, "librdkafka");
            }
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(facility, message, "librdkafka");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        metrics::counter!("headgate_relay_client_errors_total").increment(1);
        tracing::debug!(%error, reason, "librdkafka");
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Place>;

    fn delivery(&self, report: &DeliveryResult<'_>, place: Box<Place>) {
        let delivery = match report {
            Ok(message) => Delivery::Acknowledged {
                partition: message.partition(),
                offset: message.offset(),
            },
            Err((error, _)) => Delivery::failed(error),
        };
        place.in_flight.settle(place.place, delivery);
    }
}

/// Longest wait for an answer about a topic.
const METADATA_TIMEOUT: Duration = Duration::from_secs(3);

/// A producer that can be made anew.
pub struct Producer {
    settings: ClientConfig,
    client: Arc<ThreadedProducer<Reports>>,
}

impl Producer {
    /// A producer with these settings; it connects when first used.
    pub fn new(settings: ClientConfig) -> Result<Self, KafkaError> {
        let client = Arc::new(settings.create_with_context(Reports)?);
        Ok(Self { settings, client })
    }

    /// Hands a record to librdkafka. Its delivery comes into `in_flight` at `place`, at
    /// once if it cannot even be sent.
    pub fn send(
        &self,
        topic: &str,
        record: Record<'_>,
        value: Option<&[u8]>,
        in_flight: &Arc<InFlight>,
        place: usize,
    ) {
        in_flight.open.fetch_add(1, Ordering::AcqRel);
        let opaque = Box::new(Place {
            in_flight: in_flight.clone(),
            place,
        });
        let mut message = BaseRecord::with_opaque_to(topic, opaque).headers(record.headers);
        message.key = record.key;
        message.payload = value;
        if let Err((error, _)) = self.client.send(message) {
            in_flight.settle(place, Delivery::failed(&error));
        }
    }

    /// Makes the producer anew. What the old one still holds is given up: its records
    /// may or may not have reached Kafka, and their deliveries say that they are lost.
    pub fn renew(&mut self) -> Result<(), KafkaError> {
        let client = Arc::new(self.settings.create_with_context(Reports)?);
        let old = std::mem::replace(&mut self.client, client);
        metrics::counter!("headgate_relay_producers_renewed_total").increment(1);
        // Its end waits for its threads.
        tokio::task::spawn_blocking(move || drop(old));
        Ok(())
    }

    /// Whether Kafka knows `topic`.
    pub async fn knows(&self, topic: &str) -> Result<bool, KafkaError> {
        let (client, topic) = (self.client.clone(), topic.to_owned());
        let asked = tokio::task::spawn_blocking(move || {
            let metadata = client.client().fetch_metadata(Some(&topic), METADATA_TIMEOUT)?;
            let answer = metadata.topics().iter().find(|known| known.name() == topic);
            let error = answer.and_then(rdkafka::metadata::MetadataTopic::error);
            let error = error.map(RDKafkaErrorCode::from);
            Ok(answer.is_some() && !error.is_some_and(|code| REFUSALS.contains(&code)))
        });
        asked.await.unwrap_or(Err(KafkaError::Canceled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn all_is_settled_when_sent_and_delivered() {
        let in_flight = InFlight::new(2);
        in_flight.open.fetch_add(1, Ordering::AcqRel);
        in_flight.settle(
            1,
            Delivery::Acknowledged {
                partition: 0,
                offset: 7,
            },
        );
        assert!(in_flight.settled().now_or_never().is_none(), "more may be sent");
        in_flight.sealed();
        assert!(in_flight.settled().now_or_never().is_some());
        assert_eq!(in_flight.delivery(0), None);
        assert!(in_flight.delivery(1).is_some());
    }

    #[test]
    fn a_broker_that_is_away_refuses_nothing() {
        for code in [
            RDKafkaErrorCode::BrokerTransportFailure,
            RDKafkaErrorCode::AllBrokersDown,
            RDKafkaErrorCode::NotEnoughReplicas,
            RDKafkaErrorCode::PurgeInflight,
            RDKafkaErrorCode::Fatal,
            RDKafkaErrorCode::TopicAuthorizationFailed,
            RDKafkaErrorCode::OutOfOrderSequenceNumber,
        ] {
            assert_eq!(
                Delivery::failed(&KafkaError::MessageProduction(code)),
                Delivery::Lost(code)
            );
        }
    }
}
