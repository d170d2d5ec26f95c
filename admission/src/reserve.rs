//! Reserving tickets: one atomic script for a batch of requests.

use std::time::Duration;

use headgate_schemas::ids::{CampaignId, ClaimId};
use headgate_schemas::names::UserId;
use headgate_schemas::quantities::{AdmissionEpoch, Ticket};
use redis::Value;

use crate::{Admission, Error, Held};

/// Most requests that one script call takes. Bounds how long Redis is held: about
/// half a millisecond.
pub const REQUESTS_MAX: usize = 128;

/// What the caller knows of a campaign's admission; a state that knows less is stale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The newest epoch that was seen.
    pub epoch: u32,
    /// The quota in MySQL.
    pub quota: u32,
    /// The highest ticket that was seen in that epoch.
    pub highest_ticket: u32,
}

/// Who asks, under which claim id. Asking again with the same id gives the same ticket.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// The claim to be.
    pub claim_id: ClaimId,
    /// The user.
    pub user_id: &'r UserId,
}

/// The answer to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A ticket is reserved.
    Reserved {
        /// The number.
        ticket: Ticket,
        /// See `headgate_domain::claims::sequence`.
        sequence: u64,
        /// Tickets that are left.
        stock_left: u32,
    },
    /// The user holds another claim, or another of his requests is under way. Only
    /// MySQL knows which.
    Held(Held),
    /// No ticket is left, for good or not.
    SoldOut {
        /// Whether nothing can come back.
        is_final: bool,
    },
}

/// The answer to a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// The state is lost or older than what the caller knows: rebuild it.
    Cold,
    /// No ticket of this state may be handed out yet: ask again after this time.
    Resting(Duration),
    /// An answer for each request, in order.
    Answers {
        /// The epoch that answered.
        epoch: AdmissionEpoch,
        /// One for each request.
        answers: Vec<Answer>,
    },
}

/// Values in the script's answer for one request.
const VALUES_PER_REQUEST: usize = 4;

impl Admission {
    /// Reserves tickets for at most [`REQUESTS_MAX`] requests, in their order.
    pub async fn reserve(
        &self,
        campaign_id: CampaignId,
        known: Known,
        requests: &[Request<'_>],
    ) -> Result<Reserved, Error> {
        let keys = self.keys(campaign_id);
        let mut call = self.scripts.admit.prepare_invoke();
        for key in keys.all() {
            call.key(key);
        }
        call.arg(known.epoch).arg(known.quota).arg(known.highest_ticket);
        call.arg(self.settings().pending_ms())
            .arg(self.settings().rest_ms());
        for request in requests {
            call.arg(request.claim_id.as_bytes().as_slice())
                .arg(request.user_id.as_str());
        }
        let answer: Value = call.invoke_async(&mut self.connection.clone()).await?;
        parse(answer, requests.len())
    }
}

fn parse(answer: Value, requests: usize) -> Result<Reserved, Error> {
    let Value::Array(values) = answer else {
        return Err(Error::Answer("no list"));
    };
    let mut values = values.into_iter();
    let epoch = match values.next() {
        Some(Value::Int(epoch)) => number(&Value::Int(epoch))?,
        Some(Value::BulkString(word)) if word == b"cold" => return Ok(Reserved::Cold),
        Some(Value::BulkString(word)) if word == b"resting" => {
            let left = values.next().as_ref().map_or(Ok(0), number)?;
            return Ok(Reserved::Resting(Duration::from_millis(left.into())));
        }
        _ => return Err(Error::Answer("the epoch")),
    };
    let epoch = AdmissionEpoch::new(epoch).map_err(|_| Error::Answer("the epoch"))?;
    let is_final = values.next() == Some(Value::Int(1));
    let values: Vec<Value> = values.collect();
    let (groups, rest) = values.as_chunks::<VALUES_PER_REQUEST>();
    if groups.len() != requests || !rest.is_empty() {
        return Err(Error::Answer("the number of answers"));
    }
    let answers = groups
        .iter()
        .map(|group| parse_one(group, is_final))
        .collect::<Result<_, _>>()?;
    Ok(Reserved::Answers { epoch, answers })
}

fn parse_one(group: &[Value; VALUES_PER_REQUEST], is_final: bool) -> Result<Answer, Error> {
    match group {
        [Value::Int(0), ticket, Value::Int(sequence), stock_left] => Ok(Answer::Reserved {
            ticket: Ticket::new(number(ticket)?).map_err(|_| Error::Answer("a ticket"))?,
            sequence: sequence.unsigned_abs(),
            stock_left: number(stock_left).unwrap_or_default(),
        }),
        [Value::Int(1), _, _, Value::BulkString(held)] => Ok(Answer::Held(Held::from_bytes(held)?)),
        [Value::Int(2), ..] => Ok(Answer::SoldOut { is_final }),
        _ => Err(Error::Answer("an answer")),
    }
}

fn number(value: &Value) -> Result<u32, Error> {
    match value {
        Value::Int(number) => u32::try_from(*number).map_err(|_| Error::Answer("a number")),
        _ => Err(Error::Answer("a number")),
    }
}
