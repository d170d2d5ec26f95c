//! The table: on the terminal while it grows, and as a file at the end.

mod cells;
mod file;

use crate::disk::Probe;
use crate::load;
use crate::meter::Usage;
pub use cells::{remarks, table};
pub use file::write;

/// A figure with what it counts.
#[derive(Clone, Debug)]
pub struct Figure {
    /// The number.
    pub value: f64,
    /// `/s`, `ms`.
    pub unit: &'static str,
}

/// What ours is compared with, measured in the same run.
#[derive(Clone, Debug)]
pub struct Reference {
    /// What it is.
    pub name: String,
    /// Its figure, of the same unit.
    pub figure: Figure,
}

/// Which of our processes worked beside the api.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Beside {
    /// The row is not about the product's pipe.
    #[default]
    #[value(skip)]
    NotApplicable,
    /// Neither relay nor consumers.
    Nobody,
    /// The relay.
    #[value(skip)]
    Relay,
    /// The consumers.
    #[value(skip)]
    Consumers,
    /// Relay and consumers.
    Both,
}

/// A line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// Ours.
    pub ours: Figure,
    /// What it is compared with.
    pub reference: Option<Reference>,
    /// Of the answers, where there are answers.
    pub latency: Option<load::Latency>,
    /// Who worked beside it.
    pub beside: Beside,
    /// The disk, just before.
    pub probe: Option<Probe>,
    /// CPU and memory meanwhile.
    pub usage: Option<Usage>,
    /// What the reader has to know.
    pub notes: Vec<String>,
}

impl Row {
    /// A line with a figure; the rest is added as it applies.
    pub fn new(what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            what: what.into(),
            ours: Figure { value, unit },
            reference: None,
            latency: None,
            beside: Beside::default(),
            probe: None,
            usage: None,
            notes: Vec::new(),
        }
    }

    /// Compares it with a figure of the same unit and the same run.
    #[must_use]
    pub fn against(mut self, name: impl Into<String>, value: f64) -> Self {
        self.reference = Some(Reference {
            name: name.into(),
            figure: Figure {
                value,
                unit: self.ours.unit,
            },
        });
        self
    }

    /// Says who worked beside it.
    #[must_use]
    pub const fn beside(mut self, beside: Beside) -> Self {
        self.beside = beside;
        self
    }

    /// Adds CPU and memory.
    #[must_use]
    pub fn used(mut self, usage: Usage) -> Self {
        self.usage = Some(usage);
        self
    }

    /// Adds what the client saw: latency, answers that were not expected, and whether
    /// the client was the limit.
    #[must_use]
    pub fn answered(mut self, report: &load::Report, expected: &str, usage: Usage) -> Self {
        self.latency = Some(report.latency);
        if let Some(others) = report.others(expected) {
            self.notes.push(format!("other answers: {others}"));
        }
        if client_was_the_limit(report.busy(), usage.idle) {
            self.notes.push(format!(
                "CLIENT-LIMITED: the client was busy {:.0} % of its threads while {:.0} % of the machine idled",
                report.busy() * 100.0,
                usage.idle * 100.0
            ));
        }
        self.used(usage)
    }

    /// Adds a note.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// A client busier than this of its threads could not have asked for more.
const CLIENT_BUSY_MAX: f64 = 0.9;
/// A machine with less idle time than this was itself the limit.
const IDLE_MIN: f64 = 0.1;

fn client_was_the_limit(busy: f64, idle: f64) -> bool {
    busy > CLIENT_BUSY_MAX && idle > IDLE_MIN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_client_is_the_limit_only_while_others_idle() {
        assert!(client_was_the_limit(0.97, 0.4));
        assert!(!client_was_the_limit(0.97, 0.02));
        assert!(!client_was_the_limit(0.5, 0.4));
    }
}
