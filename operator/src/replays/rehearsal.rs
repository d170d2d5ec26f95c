//! A rehearsal: what a replay of a letter would do, found out by doing it. The very function
//! that the group's runner calls is called in a transaction, which is rolled back. Effects
//! outside MySQL are rows that others send: they are read before the rollback, and listed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use headgate_dead_letters::attempt::{self, Origin};
use headgate_dead_letters::park::{self, HeldKey, Parked};
use headgate_dead_letters::replay as letters;
use headgate_dead_letters::{Disposition, Letter, store};
use headgate_groups::decode::{Content, Decoder, Readable};
use headgate_groups::{Context, Event, Group, Intent};
use headgate_outbox::inbox;
use headgate_outbox::write::EventWriter;
use headgate_runtime::error_text;
use headgate_runtime::mysql::{self, Fault};
use headgate_schemas::ids::{DeadLetterId, EventId};
use serde::{Deserialize, Serialize};
use sqlx::{MySql, Transaction};
use utoipa::ToSchema;

use crate::Error;
use crate::state::Servers;

/// Longest rehearsal of one letter and what follows it: its partition stands still meanwhile.
const LETTER_TIMEOUT: Duration = Duration::from_secs(3);
/// Letters behind one that are rehearsed with it.
const FOLLOWERS_MAX: usize = 20;
/// Events that are listed of one letter.
const EFFECTS_MAX: u32 = 100;

/// What a letter would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Would {
    /// It would be applied, and be resolved.
    Apply,
    /// It would fail again.
    Fail,
    /// It cannot be applied yet: its group would try again for a while.
    Wait,
    /// It would not be sent, or not be reached.
    Stay,
}

/// Something that would happen outside MySQL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Effect {
    /// `event`: it would be published. `notification`: whoever waits for the claim would be told.
    pub kind: String,
    /// Topic of an event.
    pub topic: Option<String>,
    /// Type of an event.
    pub event_type: Option<String>,
    /// Key of an event; id of a claim.
    pub key: String,
}

/// What a replay of a letter would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rehearsed {
    /// The letter.
    #[schema(value_type = Uuid)]
    pub letter_id: DeadLetterId,
    /// What it would do.
    pub would: Would,
    /// It would be applied, but what it asks for was done before by other means.
    pub changes_nothing: bool,
    /// `poison`, `rejected` or `exhausted`, if it would fail.
    #[schema(value_type = Option<String>)]
    pub disposition: Option<Disposition>,
    /// A stable word for why it would not be applied.
    pub error_class: Option<String>,
    /// Why it would not be applied.
    pub error: Option<String>,
    /// What would happen outside MySQL.
    pub effects: Vec<Effect>,
    /// The letters that are parked behind it, in order, at most 20: those that would follow, and
    /// the one that would not.
    #[schema(no_recursion)]
    pub followers: Vec<Self>,
}

impl Rehearsed {
    fn new(letter_id: DeadLetterId, would: Would) -> Self {
        Self {
            letter_id,
            would,
            changes_nothing: false,
            disposition: None,
            error_class: None,
            error: None,
            effects: Vec::new(),
            followers: Vec::new(),
        }
    }

    fn because(self, class: &str, error: String) -> Self {
        Self {
            error_class: Some(class.to_owned()),
            error: Some(error),
            ..self
        }
    }

    fn fails(letter_id: DeadLetterId, disposition: Disposition, class: &str, error: String) -> Self {
        Self {
            disposition: Some(disposition),
            ..Self::new(letter_id, Would::Fail).because(class, error)
        }
    }
}

/// Rehearses a letter and what is parked behind it.
pub(super) async fn rehearse(
    servers: &Servers,
    letter_id: DeadLetterId,
    actor: &str,
) -> Result<Rehearsed, Error> {
    let letter = store::show(&servers.pool, letter_id).await?;
    let not_found = || Error::from(headgate_dead_letters::Error::NotFound(letter_id));
    let origin = attempt::origin(&servers.pool, letter_id)
        .await?
        .ok_or_else(not_found)?;
    let Some(group) = Group::named(&letter.summary.group) else {
        let error = format!("there is no group `{}` any more", letter.summary.group);
        return Ok(Rehearsed::new(letter_id, Would::Stay).because("group-unknown", error));
    };
    let stage = Stage::set(servers, group, origin, &letter, actor).await?;
    // Longest wait for the others' rehearsals: that of the request.
    let writer = servers.rehearsal_writer().await?;
    let mut transaction = servers.pool.begin().await?;
    let played = tokio::time::timeout(LETTER_TIMEOUT, stage.play(&mut transaction, &writer)).await;
    transaction.rollback().await?;
    match played {
        Ok(Ok(rehearsed)) => Ok(rehearsed),
        Ok(Err(error)) => stage.excused(error),
        Err(_) => Ok(Rehearsed::new(letter_id, Would::Stay).because(
            "partition-busy",
            format!("its partition was not free for {} s", LETTER_TIMEOUT.as_secs()),
        )),
    }
}

/// A letter with what is needed to play it, read before anything is locked.
struct Stage<'s> {
    servers: &'s Servers,
    group: Group,
    origin: Origin,
    letter_id: DeadLetterId,
    content: Content,
    key: Option<HeldKey>,
    followers: Vec<(Parked, Content)>,
    now: DateTime<Utc>,
    actor: &'s str,
}

impl<'s> Stage<'s> {
    async fn set(
        servers: &'s Servers,
        group: Group,
        origin: Origin,
        letter: &Letter,
        actor: &'s str,
    ) -> Result<Self, Error> {
        let letter_id = letter.summary.letter_id;
        let decoder = Decoder {
            group,
            registry: servers.registry.clone(),
        };
        let readable = if let Some(edited) = &letter.edited {
            Readable::of_edit(edited.value.as_deref(), &edited.headers)
        } else {
            let class = &letter.summary.error_class;
            Readable::of_letter(letter.value.as_deref(), &letter.headers, class)
        };
        let content = read(&decoder, origin.event_id, readable).await?;
        let key = letter.key.as_deref().map(HeldKey::of);
        let mut followers = Vec::new();
        if let Some(key) = key {
            let pool = &servers.pool;
            let behind = park::behind(pool, origin.home(), key, letter_id, FOLLOWERS_MAX).await?;
            for parked in behind {
                let value = parked.value.as_deref();
                let readable = if parked.read.edit_no > 0 {
                    Readable::of_edit(value, &parked.headers)
                } else {
                    Readable::of_letter(value, &parked.headers, &parked.error_class)
                };
                let content = read(&decoder, parked.event_id, readable).await?;
                followers.push((parked, content));
            }
        }
        Ok(Self {
            servers,
            group,
            origin,
            letter_id,
            content,
            key,
            followers,
            now: servers.now().await?,
            actor,
        })
    }

    /// Does all that a replay does, in the order in which a replay does it.
    async fn play(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        writer: &EventWriter,
    ) -> Result<Rehearsed, Error> {
        let Origin {
            group,
            topic,
            partition,
            event_id,
        } = &self.origin;
        let letter_id = self.letter_id;
        inbox::lock_partition(transaction, *group, topic, *partition).await?;
        let replayed =
            letters::begin(transaction, self.servers.writer().await?, letter_id, self.actor).await?;
        let stale =
            || Rehearsed::new(letter_id, Would::Stay).because("stale", "it is to be released".to_owned());
        let taken = attempt::take(transaction, &[(letter_id, replayed.attempt)]).await?;
        if taken.is_empty() || !attempt::resolve(transaction, *group, &taken, self.group.name()).await? {
            return Ok(stale());
        }
        let context = Context::new(writer.clone(), self.now);
        let mut rehearsed = self
            .apply(transaction, &context, letter_id, *event_id, &self.content)
            .await?;
        if rehearsed.would == Would::Apply {
            rehearsed.followers = self.follow(transaction, &context).await?;
        }
        Ok(rehearsed)
    }

    /// Releases what is parked behind the letter, until one fails.
    async fn follow(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        context: &Context,
    ) -> Result<Vec<Rehearsed>, Error> {
        let mut followed: Vec<Rehearsed> = Vec::new();
        let Some(key) = self.key else {
            return Ok(followed);
        };
        for (parked, content) in &self.followers {
            let (read, event_id) = (parked.read, parked.event_id);
            let letter_id = read.letter_id;
            let goes = followed.last().is_none_or(|last| last.would == Would::Apply);
            let is_next = goes && park::take(transaction, self.origin.home(), key, &[read]).await? == 1;
            if !is_next {
                break;
            }
            let actor = self.group.name();
            park::resolve(transaction, self.origin.group, actor, &[(letter_id, event_id)]).await?;
            followed.push(
                self.apply(transaction, context, letter_id, event_id, content)
                    .await?,
            );
        }
        Ok(followed)
    }

    async fn apply(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        context: &Context,
        letter_id: DeadLetterId,
        event_id: EventId,
        said: &Content,
    ) -> Result<Rehearsed, Error> {
        let event: &Event = match said {
            Content::Event { event, .. } => event,
            Content::Poison { class, error } => {
                return Ok(Rehearsed::fails(
                    letter_id,
                    Disposition::Poison,
                    class,
                    error.clone(),
                ));
            }
        };
        debug_assert_eq!(event.id, event_id, "the event of the letter");
        let mark = context.writer.mark();
        let applied = self.group.apply(transaction, context, &[event]).await?;
        Ok(match applied.intents.into_iter().next() {
            Some(Intent::Done) => {
                let events = context
                    .writer
                    .written_since(transaction, mark, EFFECTS_MAX)
                    .await?;
                let events = events.into_iter().map(|event| Effect {
                    kind: "event".to_owned(),
                    topic: Some(event.topic),
                    event_type: Some(event.event_type),
                    key: event.aggregate_id,
                });
                let told = applied.after_commit.settled.into_iter().map(|claim_id| Effect {
                    kind: "notification".to_owned(),
                    topic: None,
                    event_type: None,
                    key: claim_id.to_string(),
                });
                Rehearsed {
                    changes_nothing: applied.superseded > 0,
                    effects: events.chain(told).collect(),
                    ..Rehearsed::new(letter_id, Would::Apply)
                }
            }
            Some(Intent::Reject { class, reason }) => {
                Rehearsed::fails(letter_id, Disposition::Rejected, class, reason)
            }
            Some(Intent::RetryAfter(_)) | None => Rehearsed::new(letter_id, Would::Wait)
                .because("not-yet", "it cannot be applied yet".to_owned()),
        })
    }

    /// What an error is that says something of the letter.
    fn excused(&self, error: Error) -> Result<Rehearsed, Error> {
        use headgate_dead_letters::Error as LetterError;
        match &error {
            Error::DeadLetters(
                LetterError::NotOpen { .. }
                | LetterError::Parked { .. }
                | LetterError::TooOld(_)
                | LetterError::UnknownTopic(_),
            ) => {
                let class = error.code().as_str();
                Ok(Rehearsed::new(self.letter_id, Would::Stay).because(class, error.to_string()))
            }
            Error::Groups(group) => self.failed(group.database().map(mysql::fault), error),
            _ => Err(error),
        }
    }

    /// What a group's error is: the runner would try for a while and then give the letter back,
    /// unless a server is away or somebody else was in the way.
    fn failed(&self, fault: Option<Fault>, error: Error) -> Result<Rehearsed, Error> {
        match fault {
            Some(Fault::Unavailable) => Err(error),
            Some(Fault::Contention) => {
                Ok(Rehearsed::new(self.letter_id, Would::Stay).because("partition-busy", error_text(&error)))
            }
            _ => Ok(Rehearsed::fails(
                self.letter_id,
                Disposition::Exhausted,
                "apply-failed",
                error_text(&error),
            )),
        }
    }
}

/// What a record says, as the group's runner would read it.
async fn read(decoder: &Decoder, event_id: EventId, record: Readable<'_>) -> Result<Content, Error> {
    let content = decoder.content(event_id, record).await?;
    Ok(content.unwrap_or_else(Content::not_for_group))
}
