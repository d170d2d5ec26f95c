//! How data reaches stdout.

use std::io::{self, Write};

use clap::ValueEnum;
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns, for people
    #[default]
    Table,
    /// One JSON document, for programs
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

    /// Prints `data`, as a table made by `table` unless JSON was asked for.
    pub fn print<T: Serialize>(self, data: &T, table: impl FnOnce(&T) -> Table) -> io::Result<()> {
        let text = match self.format {
            Format::Table => table(data).trim_fmt(),
            Format::Json => serde_json::to_string_pretty(data)?,
        };
        let mut stdout = io::stdout().lock();
        match writeln!(stdout, "{text}") {
            // `headgate ... | head` is no failure.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
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
