//! How data reaches stdout.

use std::io::{self, Write};

use chrono::{DateTime, SecondsFormat, Utc};
use clap::ValueEnum;
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

/// How data is printed: as columns for people, or as one JSON document for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Table,
    Json,
}

/// Where data goes.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    format: Format,
}

impl Output {
    pub const fn new(format: Format) -> Self {
        Self { format }
    }

    /// Prints `data`, as what `table` makes of it unless JSON was asked for.
    pub fn print<T: Serialize, P: Printed>(self, data: &T, table: impl FnOnce(&T) -> P) -> io::Result<()> {
        let text = match self.format {
            Format::Table => table(data).printed(),
            Format::Json => serde_json::to_string_pretty(data)?,
        };
        write(format!("{text}\n").as_bytes())
    }
}

/// What is printed for people: a table, or several as text.
pub trait Printed {
    fn printed(self) -> String;
}

impl Printed for Table {
    fn printed(self) -> String {
        self.trim_fmt()
    }
}

impl Printed for String {
    fn printed(self) -> String {
        self
    }
}

/// Writes to stdout as it is.
pub fn write(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        // `headgate ... | head` is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// An empty table with these columns.
pub fn table(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(columns.iter().map(|column| column.to_uppercase()));
    table
}

/// A table of one thing: a row for each of its fields.
pub fn fields<const N: usize>(rows: [(&str, String); N]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    for (name, value) in rows {
        table.add_row([name.to_owned(), value]);
    }
    table
}

/// A moment as tables show it.
pub fn moment(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Something that may be missing, as tables show it.
pub fn maybe<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
