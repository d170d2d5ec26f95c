//! Feeding a group again, from the archive, what was published and has passed it by: records
//! that Kafka dropped before the group read them (T19), or that it never settled.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use chrono::NaiveDate;
use headgate_groups::Group;
use headgate_outbox::archive::{self, Position, Published};
use headgate_outbox::audit;
use headgate_outbox::partitions::{DayTable, oldest_day};
use headgate_outbox::write::{EventWriter, OutboxRow};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::auth::{Acting, As};
use crate::http::extract::{Body, Path};
use crate::http::problem::{FieldError, Problem};
use crate::passed::{Passing, Place, Whereabouts};
use crate::state::Servers;
use crate::transaction::conclude;
use crate::{Error, Thing, lag};

/// Rows of the archive that are looked at together.
const ROWS_AT_ONCE: u32 = 500;

/// What to feed again.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refeed {
    /// What was published on this day (of UTC) or later.
    pub since: NaiveDate,
    /// Only say what would be fed.
    #[serde(default)]
    pub dry_run: bool,
    /// `next_cursor` of the answer before, to go on behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// What was fed, or would be.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Refed {
    /// Published events that were looked at.
    pub looked_at: u64,
    /// Those that have passed the group by.
    pub missing: u64,
    /// Those that go to the group's retry topic now.
    pub refed: u64,
    /// Where it ended, if there is more: ask again with it as `cursor`.
    pub next_cursor: Option<String>,
}

/// Feeds a group what was published, lies behind its place in Kafka (or was dropped there),
/// and is not in its inbox. It goes to the group's retry topic, in the order of each key;
/// what the group has settled meanwhile is recognised. Looks at as much as it can in the
/// time of a request.
#[utoipa::path(
    post, path = "/v1/groups/{group}/refeed", tag = "lag", request_body = Refeed,
    params(("group" = String, Path, description = "The group")),
    responses((status = 200, body = Refed), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn refeed(
    acting: As<Acting>,
    State(servers): State<Servers>,
    Path(name): Path<String>,
    Body(asked): Body<Refeed>,
) -> Result<Json<Refed>, Error> {
    let until = Instant::now() + servers.config.http.request_timeout / 2;
    let group = Group::named(&name).ok_or_else(|| Error::NotFound {
        what: Thing::Group,
        id: name,
    })?;
    let oldest_day = oldest_day(&servers.pool, DayTable::Inbox).await?;
    let Some(known_since) = oldest_day.filter(|day| asked.since >= *day) else {
        return Err(Error::OffsetsTooOld { oldest_day });
    };
    let mut after = asked.begins()?;
    let lags = lag::measure(Arc::clone(&servers.kafka)).await?;
    let feeder = Feeder {
        place: Place::of(&servers.pool, group, &lags, Some(known_since)).await?,
        servers: &servers,
        dry_run: asked.dry_run,
        actor: &acting.operator.name,
    };
    let mut refed = Refed::default();
    while let Some(last) = feeder.feed(after, &mut refed).await? {
        after = last;
        if Instant::now() > until {
            refed.next_cursor = Some(after.to_string());
            break;
        }
    }
    servers.waker.wake();
    tracing::warn!(
        group = group.name(),
        missing = refed.missing,
        refed = refed.refed,
        operator = acting.operator.name,
        "group fed from the archive"
    );
    Ok(Json(refed))
}

impl Refeed {
    fn begins(&self) -> Result<Position, Error> {
        let Some(cursor) = &self.cursor else {
            return Ok(Position::before(self.since));
        };
        cursor.parse().map_err(|()| {
            let detail = "is not the `next_cursor` of an answer";
            Error::InvalidBody(vec![FieldError::new("cursor", detail)])
        })
    }
}

struct Feeder<'f> {
    servers: &'f Servers,
    place: Place,
    dry_run: bool,
    actor: &'f str,
}

impl Feeder<'_> {
    /// Feeds what is missing of the rows behind `after`. `None`: there are no more.
    async fn feed(&self, after: Position, refed: &mut Refed) -> Result<Option<Position>, Error> {
        let names = self.servers.kafka.names();
        let group = self.place.group;
        let topics: Vec<String> = group.topics().iter().map(|topic| names.public(topic)).collect();
        let rows = archive::page(&self.servers.pool, &topics, after, ROWS_AT_ONCE).await?;
        let Some(last) = rows.last() else {
            return Ok(None);
        };
        let last = last.position;
        refed.looked_at += rows.len() as u64;
        let missing = self.missing(&rows).await?;
        refed.missing += missing.len() as u64;
        if !self.dry_run && !missing.is_empty() {
            refed.refed += self.send(&missing).await?;
        }
        Ok(Some(last))
    }

    /// Those of `rows` that the group acts on, has passed, and has not in its inbox.
    async fn missing<'r>(&self, rows: &'r [Published]) -> Result<Vec<&'r Published>, Error> {
        let events: Vec<Passing<'_>> = rows
            .iter()
            .map(|row| Passing {
                event_id: row.event_id,
                event_type: &row.event_type,
                topic: &row.topic,
                partition: row.partition,
                offset: row.offset,
            })
            .collect();
        let mut transaction = self.servers.pool.begin().await?;
        let found = self.place.whereabouts(&mut transaction, &events).await;
        let found = conclude(transaction, found).await?;
        let with_place = rows.iter().zip(found);
        Ok(with_place
            .filter(|(_, place)| *place == Whereabouts::PassedBy)
            .map(|(row, _)| row)
            .collect())
    }

    /// Writes these for the retry topic; with them, that it was done.
    async fn send(&self, missing: &[&Published]) -> Result<u64, Error> {
        let writer = self.servers.writer().await?;
        let rows: Vec<OutboxRow> = missing
            .iter()
            .filter_map(|event| self.row(writer, event))
            .collect();
        let mut transaction = self.servers.pool.begin().await?;
        let sent = async {
            EventWriter::write(&mut transaction, &rows).await?;
            let first = missing.first().map(|event| event.position.to_string());
            let detail = json!({"events": rows.len(), "from": first});
            audit::record(
                &mut transaction,
                self.actor,
                "group.refeed",
                self.place.group.name(),
                &detail,
            )
            .await?;
            Ok(rows.len() as u64)
        }
        .await;
        conclude(transaction, sent).await
    }

    fn row(&self, writer: &EventWriter, event: &Published) -> Option<OutboxRow> {
        let names = writer.names();
        let group = self.place.group;
        let topic = group
            .topics()
            .iter()
            .find(|topic| names.public(topic) == event.topic)?;
        Some(writer.again(event, names.retry(topic, group.name())))
    }
}
