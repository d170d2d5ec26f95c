//! E-mail: a plain text for each event.

use headgate_domain::notifications::Address;
use headgate_domain::notifications::store::Taken;
use headgate_runtime::error_text;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

use super::outcome::Outcome;
use crate::config::{Smtp, TlsMode};

/// Nobody is to answer it by a machine, <https://www.rfc-editor.org/rfc/rfc3834>.
const AUTO_SUBMITTED: HeaderName = HeaderName::new_from_ascii_str("Auto-Submitted");

/// A mail server cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The sender's address.
    #[error("notifications.smtp.from is no address")]
    From(#[from] lettre::address::AddressError),
    /// Its TLS.
    #[error("the mail server's TLS cannot be set up")]
    Tls(#[from] lettre::transport::smtp::Error),
}

/// Sends e-mails.
#[derive(Clone, Debug)]
pub(crate) struct Mails {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Mails {
    /// `None`: there is no mail server.
    pub(crate) fn new(config: &Smtp) -> Result<Option<Self>, Unusable> {
        if config.host.is_empty() {
            return Ok(None);
        }
        let parameters = || TlsParameters::new(config.host.clone());
        let tls = match config.tls {
            TlsMode::None => Tls::None,
            TlsMode::Starttls => Tls::Required(parameters()?),
            TlsMode::Tls => Tls::Wrapper(parameters()?),
        };
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
            .port(config.port)
            .tls(tls)
            .timeout(Some(config.timeout));
        if !config.user.is_empty() {
            transport = transport.credentials(Credentials::new(config.user.clone(), config.password.clone()));
        }
        Ok(Some(Self {
            transport: transport.build(),
            from: config.from.parse()?,
        }))
    }

    /// Sends a delivery to the server, which has it then.
    pub(crate) async fn send(&self, taken: &Taken, address: &Address) -> Outcome {
        let message = match self.message(taken, address) {
            Ok(message) => message,
            Err(error) => return Outcome::failed(error),
        };
        match self.transport.send(message).await {
            Ok(_) => Outcome::Delivered,
            Err(error) => Outcome::failed(error_text(&error)),
        }
    }

    fn message(&self, taken: &Taken, address: &Address) -> Result<Message, String> {
        let to: Mailbox = address
            .as_str()
            .parse()
            .map_err(|error| error_text(&error as &lettre::address::AddressError))?;
        let message_id = format!("<{}@{}>", taken.delivery_id, self.from.email.domain());
        let mut message = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(subject(&taken.event_type))
            // The same at every attempt: mailboxes recognise what they have by it.
            .message_id(Some(message_id))
            .header(ContentType::TEXT_PLAIN)
            .body(text(taken))
            .map_err(|error| error_text(&error))?;
        message
            .headers_mut()
            .insert_raw(HeaderValue::new(AUTO_SUBMITTED, "auto-generated".to_owned()));
        Ok(message)
    }
}

/// `io.headgate.points.PointsUsed` as `Points used`.
fn subject(event_type: &str) -> String {
    let name = event_type.rsplit('.').next().unwrap_or_default();
    let mut subject = String::with_capacity(name.len() + 4);
    for (place, letter) in name.chars().enumerate() {
        if place > 0 && letter.is_ascii_uppercase() {
            subject.push(' ');
            subject.push(letter.to_ascii_lowercase());
        } else {
            subject.push(letter);
        }
    }
    subject
}

/// What happened, a line for each thing that is said of it.
fn text(taken: &Taken) -> String {
    let mut lines = vec![
        format!("Event: {}", taken.event_type),
        format!("Id: {}", taken.event_id),
        format!("About: {}", taken.aggregate_id),
        format!("At: {}", taken.event_time.to_rfc3339()),
    ];
    lines.extend(taken.sequence.map(|sequence| format!("Number: {sequence}")));
    let fields = taken
        .body
        .as_deref()
        .and_then(|body| serde_json::from_slice(body).ok());
    if let Some(serde_json::Value::Object(fields)) = fields {
        lines.push(String::new());
        for (name, value) in fields {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            lines.push(format!("{name}: {value}"));
        }
    }
    lines.push(String::new());
    lines.join("\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_the_events_name_in_words() {
        assert_eq!(
            subject("io.headgate.points.PointsUseCancelled"),
            "Points use cancelled"
        );
        assert_eq!(subject(""), "");
    }
}
