//! What a subscription may look like. Each part is checked where it is made.

use chrono::{DateTime, Utc};
use headgate_schemas::event::schemas;
use headgate_schemas::names::SubscriptionId;

use super::Secret;

/// Longest URL of a webhook, in characters.
pub const URL_CHARS_MAX: usize = 2_048;
/// Most event types of a subscription: as many as there are in a while.
pub const EVENT_TYPES_MAX: usize = 64;

/// A part of a subscription that cannot be accepted. The text follows the field's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSubscription {
    /// Too long a URL.
    #[error("must have at most {URL_CHARS_MAX} characters")]
    UrlTooLong,
    /// No URL.
    #[error("must be an absolute URL")]
    Url,
    /// Another scheme.
    #[error("must begin with https:// or http://")]
    UrlScheme,
    /// A password in the URL would be shown with it.
    #[error("must not contain a user or a password")]
    UrlUser,
    /// What is never sent to a server.
    #[error("must not contain a fragment")]
    UrlFragment,
    /// No address.
    #[error("must be an e-mail address")]
    Address,
    /// Nothing to hear of.
    #[error("must name 1 to {EVENT_TYPES_MAX} event types")]
    EventTypes,
    /// No such event.
    #[error("must be full names of events, such as io.headgate.points.PointsUsed")]
    UnknownEventType,
}

/// Where a webhook is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url(String);

impl Url {
    /// Accepts absolute `http` and `https` URLs without user, password and fragment.
    pub fn new(text: &str) -> Result<Self, InvalidSubscription> {
        if text.chars().nth(URL_CHARS_MAX).is_some() {
            return Err(InvalidSubscription::UrlTooLong);
        }
        let url = url::Url::parse(text).map_err(|_| InvalidSubscription::Url)?;
        if !matches!(url.scheme(), "http" | "https") {
            Err(InvalidSubscription::UrlScheme)
        } else if !url.username().is_empty() || url.password().is_some() {
            Err(InvalidSubscription::UrlUser)
        } else if url.fragment().is_some() {
            Err(InvalidSubscription::UrlFragment)
        } else if url.as_str().chars().nth(URL_CHARS_MAX).is_some() {
            Err(InvalidSubscription::UrlTooLong)
        } else {
            Ok(Self(url.into()))
        }
    }

    /// The text, in its normal form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where an e-mail goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(String);

/// Longest e-mail address, in characters,
/// <https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.1.3>.
const ADDRESS_CHARS_MAX: usize = 254;

impl Address {
    /// Accepts what is formed like an address.
    pub fn new(text: &str) -> Result<Self, InvalidSubscription> {
        if text.chars().nth(ADDRESS_CHARS_MAX).is_some() {
            return Err(InvalidSubscription::Address);
        }
        let address: lettre::Address = text.parse().map_err(|_| InvalidSubscription::Address)?;
        Ok(Self(address.to_string()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// To an HTTP endpoint, signed.
    Webhook(Url),
    /// To a mailbox.
    Email(Address),
}

impl Sink {
    /// Its kind, as the table and metrics call it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Email(_) => "email",
        }
    }

    /// The URL or the address.
    pub fn target(&self) -> &str {
        match self {
            Self::Webhook(url) => url.as_str(),
            Self::Email(address) => address.as_str(),
        }
    }

    /// What the database holds; it was checked when it came in.
    pub(super) fn from_stored(kind: &str, target: String) -> Self {
        if kind == "email" {
            Self::Email(Address(target))
        } else {
            Self::Webhook(Url(target))
        }
    }
}

/// How much of an event is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// All its fields.
    Full,
    /// That it happened, and to what: no data.
    Zero,
}

impl Payload {
    /// As the table and HTTP call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Zero => "zero",
        }
    }

    pub(super) fn from_stored(text: &str) -> Self {
        if text == "zero" { Self::Zero } else { Self::Full }
    }
}

/// The events that a subscription is about, by their full names; in order, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventTypes(Vec<String>);

impl EventTypes {
    /// Accepts names of events of the contract.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Self, InvalidSubscription> {
        let mut types = Vec::new();
        for name in names {
            if types.len() >= EVENT_TYPES_MAX {
                return Err(InvalidSubscription::EventTypes);
            }
            if !schemas().any(|event| event.name == name) {
                return Err(InvalidSubscription::UnknownEventType);
            }
            types.push(name.to_owned());
        }
        types.sort_unstable();
        types.dedup();
        if types.is_empty() {
            return Err(InvalidSubscription::EventTypes);
        }
        Ok(Self(types))
    }

    /// The names.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    pub(super) fn stored(&self) -> String {
        self.0.join(" ")
    }

    pub(super) fn from_stored(text: &str) -> Self {
        Self(text.split(' ').map(str::to_owned).collect())
    }
}

/// What a partner asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSubscription {
    /// Where to.
    pub sink: Sink,
    /// Which events.
    pub event_types: EventTypes,
    /// How much of each.
    pub payload: Payload,
    /// Whether anything is sent.
    pub enabled: bool,
}

/// A subscription.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// Its number.
    pub subscription_no: u32,
    /// The partner's own name of it.
    pub subscription_id: SubscriptionId,
    /// What was asked for.
    pub wanted: NewSubscription,
    /// Whether the endpoint ended it, by answering 410.
    pub is_gone: bool,
    /// Until when its previous secret signs, too.
    pub previous_secret_until: Option<DateTime<Utc>>,
    /// Failures since the last success.
    pub failures: u32,
    /// Until when the endpoint is left alone; in the past: the next delivery is a probe.
    pub rests_until: Option<DateTime<Utc>>,
    /// Why the last failure failed.
    pub last_failure: Option<String>,
    /// When that was.
    pub last_failure_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When the partner last changed it.
    pub updated_at: DateTime<Utc>,
}

/// A subscription as it is now, and its new secret, which is shown once.
#[derive(Clone, Debug)]
pub struct Put {
    /// The subscription.
    pub subscription: Subscription,
    /// Whether there was none.
    pub is_new: bool,
    /// Made just now.
    pub secret: Option<Secret>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_absolute_and_carry_no_secrets() {
        for good in ["https://shop.example/hooks?a=b", "http://127.0.0.1:8080/x"] {
            assert_eq!(Url::new(good).expect("a URL").as_str(), good);
        }
        for (wrong, why) in [
            ("/hooks", InvalidSubscription::Url),
            ("https://", InvalidSubscription::Url),
            ("ftp://shop.example/", InvalidSubscription::UrlScheme),
            ("file:///etc/passwd", InvalidSubscription::UrlScheme),
            ("https://a:b@shop.example/", InvalidSubscription::UrlUser),
            ("https://shop.example/#x", InvalidSubscription::UrlFragment),
        ] {
            assert_eq!(Url::new(wrong), Err(why), "{wrong}");
        }
        let long = format!("https://shop.example/{}", "x".repeat(URL_CHARS_MAX));
        assert_eq!(Url::new(&long), Err(InvalidSubscription::UrlTooLong));
    }

    #[test]
    fn event_types_are_of_the_contract_and_each_once() {
        let used = "io.headgate.points.PointsUsed";
        let types = EventTypes::new([used, used]).expect("a type");
        assert_eq!(types.names(), [used]);
        assert_eq!(EventTypes::new([]), Err(InvalidSubscription::EventTypes));
        assert_eq!(
            EventTypes::new(["PointsUsed"]),
            Err(InvalidSubscription::UnknownEventType)
        );
    }

    #[test]
    fn addresses_are_addresses() {
        assert!(Address::new("kim@shop.example").is_ok());
        for wrong in ["kim", "kim@", "kim@shop.example\r\nBcc: lee@shop.example", ""] {
            assert_eq!(Address::new(wrong), Err(InvalidSubscription::Address), "{wrong}");
        }
    }
}
