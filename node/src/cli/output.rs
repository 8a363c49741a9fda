//! What commands say: tables for people, JSON for programs.
//!
//! Results go to standard output and nothing else does, so that they can be piped; progress and
//! errors go to standard error.

use std::io::Write;

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::error::Error;
use crate::api::shapes::{Moment, Tariff};

/// For whom.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum Format {
    /// For programs.
    Json,
    /// For people.
    #[default]
    Table,
}

/// Where a command's results go.
pub struct Output<'a> {
    format: Format,
    now: Moment,
    writer: &'a mut dyn Write,
}

impl std::fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("format", &self.format).finish_non_exhaustive()
    }
}

impl<'a> Output<'a> {
    /// Writes in a format, with ages as of `now`.
    pub fn new(format: Format, now: Moment, writer: &'a mut dyn Write) -> Self {
        Self { format, now, writer }
    }

    /// Says a thing: as JSON, or as `shown` to people.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn say(
        &mut self,
        thing: &impl Serialize,
        shown: impl FnOnce(Moment) -> String,
    ) -> Result<(), Error> {
        match self.format {
            Format::Json => {
                serde_json::to_writer_pretty(&mut *self.writer, thing)?;
                writeln!(self.writer)?;
            }
            Format::Table => self.writer.write_all(shown(self.now).as_bytes())?,
        }
        self.writer.flush()?;
        Ok(())
    }

    /// Passes on bytes as they are.
    ///
    /// # Errors
    ///
    /// If they cannot be written.
    pub fn raw(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.writer.write_all(bytes)?;
        self.writer.flush()?;
        Ok(())
    }
}

/// Rows under a heading, in columns without lines around them: people read it, and so does awk.
#[must_use]
pub fn table(heading: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(heading.iter().copied());
    for row in rows {
        table.add_row(
            row.into_iter().map(
                |cell| {
                    if cell.is_empty() { "-".to_owned() } else { printable(&cell) }
                },
            ),
        );
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    lines(table.lines())
}

/// Names with what belongs to them, one on a line.
#[must_use]
pub fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    lines(facts.iter().map(|(name, value)| {
        let value = if value.is_empty() { "-".to_owned() } else { printable(value) };
        format!("{name:width$}  {value}")
    }))
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Text that cannot move a terminal's cursor or colour what is not its own: reasons come from
/// hosts and peers.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// How long ago something was, in its largest unit.
#[must_use]
pub fn age(now: Moment, then: Moment) -> String {
    let seconds = now.as_millis().saturating_sub(then.as_millis()) / 1_000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// When something was, and how long ago that is.
#[must_use]
pub fn since(now: Moment, then: Moment) -> String {
    format!("{then} ({} ago)", age(now, then))
}

/// The end of an id: of ids that begin with the time, what tells them apart.
#[must_use]
pub fn short(id: &str) -> &str {
    id.rsplit('-').next().unwrap_or(id)
}

/// The classes of service that a site sells, as people read them.
#[must_use]
pub fn classes(tariff: &Tariff) -> String {
    let sold = tariff.classes.iter().map(|(class, factor)| format!("{class} at {factor} of it"));
    sold.collect::<Vec<_>>().join(", ")
}

/// A price as people read it.
#[must_use]
pub fn price(amount: Option<&str>, currency: Option<&str>) -> String {
    match (amount, currency) {
        (Some(amount), Some(currency)) => format!("{amount} {currency}/h"),
        (_, None) | (None, _) => String::new(),
    }
}
