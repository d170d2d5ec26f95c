//! How figures look in a cell.

use comfy_table::{ContentArrangement, Table, presets};

use super::{Beside, Figure, Row};
use crate::load::Latency;
use crate::meter::Usage;

const COLUMNS: [&str; 7] = [
    "what",
    "ours",
    "p50 / p95 / p99 / max ms",
    "reference",
    "ratio",
    "relay, consumers",
    "disk probe",
];

/// The rows as a table for a terminal, or as Markdown.
pub fn table(rows: &[Row], markdown: bool) -> Table {
    let mut table = Table::new();
    if markdown {
        table.load_preset(presets::ASCII_MARKDOWN);
    } else {
        table
            .load_preset(presets::UTF8_HORIZONTAL_ONLY)
            .set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.set_header(COLUMNS);
    for row in rows {
        table.add_row(cells(row));
    }
    table
}

fn cells(row: &Row) -> [String; COLUMNS.len()] {
    let reference = row.reference.as_ref();
    [
        row.what.clone(),
        figure(&row.ours),
        row.latency.as_ref().map(latency).unwrap_or_default(),
        reference
            .map(|reference| format!("{}: {}", reference.name, figure(&reference.figure)))
            .unwrap_or_default(),
        reference
            .map(|reference| ratio(row.ours.value, reference.figure.value))
            .unwrap_or_default(),
        beside(row.beside).to_owned(),
        row.probe.map(|probe| probe.short()).unwrap_or_default(),
    ]
}

fn ratio(ours: f64, reference: f64) -> String {
    if reference > 0.0 {
        format!("{:.2}", ours / reference)
    } else {
        "-".to_owned()
    }
}

/// Three significant digits are more than such figures repeat.
fn figure(figure: &Figure) -> String {
    let text = if figure.value < 100.0 {
        format!("{:.1}", figure.value)
    } else {
        thousands(figure.value)
    };
    format!("{text}{}", unit(figure.unit))
}

fn unit(unit: &str) -> String {
    if unit.starts_with('/') {
        unit.to_owned()
    } else {
        format!(" {unit}")
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn latency(latency: &Latency) -> String {
    format!(
        "{:.1} / {:.1} / {:.1} / {:.0}",
        latency.p50, latency.p95, latency.p99, latency.max
    )
}

const fn beside(beside: Beside) -> &'static str {
    match beside {
        Beside::NotApplicable => "-",
        Beside::Nobody => "off, off",
        Beside::Relay => "on, off",
        Beside::Consumers => "off, on",
        Beside::Both => "on, on",
    }
}

/// What stands below the table for a row.
pub fn remarks(row: &Row) -> String {
    let mut lines = row.notes.clone();
    lines.extend(row.usage.as_ref().map(|used| format!("CPU {}", usage(used))));
    lines.join("\n")
}

/// CPU seconds by process.
fn usage(usage: &Usage) -> String {
    let mut parts: Vec<String> = usage
        .processes
        .iter()
        .map(|(name, used, resident)| format!("{name} {used:.1} s ({resident:.0} MiB)"))
        .collect();
    parts.push(format!("others {:.1} s", usage.others));
    parts.push(format!("idle {:.0} %", usage.idle * 100.0));
    parts.push(format!("stolen {:.0} %", usage.stolen * 100.0));
    format!("within {:.1} s: {}", usage.seconds, parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_readable() {
        assert_eq!(thousands(1_234_567.0), "1,234,567");
        assert_eq!(thousands(123.0), "123");
        assert_eq!(ratio(5.0, 0.0), "-");
        let row = Row::new("claims", 25_000.0, "/s").against("bare axum", 100_000.0);
        let text = table(&[row], true).to_string();
        assert!(text.contains("25,000/s") && text.contains("bare axum: 100,000/s") && text.contains("0.25"));
    }
}
