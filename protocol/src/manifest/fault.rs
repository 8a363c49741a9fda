//! A mistake at its place, and how a person is shown it: as a compiler would.

use std::fmt;

use super::problem::Problem;
use crate::text::printable;

/// The most mistakes that are told of one file: nobody mends more before asking again, and a
/// hostile file cannot make us tell millions.
const FAULTS_MAX: usize = 32;

/// The most columns of a line that are shown, so that it stays one line on most terminals.
const SHOWN_MAX: usize = 100;

/// How many columns before the mistake are shown at least, when a line is cut.
const BEFORE: usize = 40;

/// A place in the text.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Place {
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// How many characters belong to it.
    pub length: u32,
}

impl Place {
    /// The beginning of the text.
    pub const START: Self = Self { line: 1, column: 1, length: 1 };
}

/// Something that is wrong, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// Where in the text.
    pub place: Place,
    /// Where in the manifest, such as `components.database.memory`; empty at the top.
    pub path: String,
    /// What.
    pub problem: Problem,
}

impl Fault {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        self.problem.hint()
    }

    /// Shows it with the line that it is on. `text` is the whole of `file`.
    #[must_use]
    pub fn render(&self, file: &str, text: &[u8]) -> String {
        let Place { line, column, .. } = self.place;
        let mut shown = format!("{file}:{line}:{column}: {}\n", self.problem);
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        if let Some((source, offset)) = self.source(text) {
            let pointer = self.pointer(source.chars().count(), offset);
            let line = format!("{number} | {source}");
            shown.push_str(&format!("{margin} |\n{}\n{margin} | {pointer}\n", line.trim_end()));
        }
        shown.push_str(&format!("{margin} = hint: {}\n", self.hint()));
        shown
    }

    /// The part of the line that is shown, and how many characters before it are not.
    fn source(&self, text: &[u8]) -> Option<(String, usize)> {
        let line = usize::try_from(self.place.line).ok()?.checked_sub(1)?;
        let bytes = text.split(|byte| *byte == b'\n').nth(line)?;
        let whole = String::from_utf8_lossy(bytes);
        let length = whole.trim_end().chars().count();
        let column = usize::try_from(self.place.column).ok()?.saturating_sub(1);
        let offset = if length <= SHOWN_MAX { 0 } else { column.saturating_sub(BEFORE) };
        let visible = |c| match c {
            '\t' => ' ',
            c if printable(c) => c,
            _ => '\u{fffd}',
        };
        let shown = whole.trim_end().chars().skip(offset).take(SHOWN_MAX).map(visible).collect();
        Some((shown, offset))
    }

    /// Carets under the place, then the path.
    fn pointer(&self, shown: usize, offset: usize) -> String {
        let column = usize::try_from(self.place.column).unwrap_or(1).saturating_sub(1 + offset);
        let length = usize::try_from(self.place.length).unwrap_or(1);
        let carets = length.min(shown.saturating_sub(column)).max(1);
        let pointer = format!("{}{} {}", " ".repeat(column), "^".repeat(carets), self.path);
        pointer.trim_end().to_owned()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: ", self.place.line, self.place.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}; {}", self.problem, self.hint())
    }
}

/// Everything that is wrong with a manifest, in the order of the text.
#[derive(Clone, Debug, Default, Eq, PartialEq, thiserror::Error)]
#[error("the manifest cannot be used: {} mistakes", .faults.len() + .omitted)]
pub struct Faults {
    faults: Vec<Fault>,
    omitted: usize,
}

impl Faults {
    /// The mistakes.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter()
    }

    /// How many more there are than are told.
    #[must_use]
    pub const fn omitted(&self) -> usize {
        self.omitted
    }

    /// Shows all of them. `text` is the whole of `file`.
    #[must_use]
    pub fn render(&self, file: &str, text: &[u8]) -> String {
        let mut shown: Vec<String> =
            self.faults.iter().map(|fault| fault.render(file, text)).collect();
        if self.omitted > 0 {
            shown.push(format!("{file}: and {} more mistakes\n", self.omitted));
        }
        shown.join("\n")
    }

    /// Only this one.
    pub(super) fn one(place: Place, problem: Problem) -> Self {
        Self { faults: vec![Fault { place, path: String::new(), problem }], omitted: 0 }
    }

    /// One more.
    pub(super) fn add(&mut self, place: Place, path: &str, problem: Problem) {
        if self.is_full() {
            self.omitted += 1;
        } else {
            self.faults.push(Fault { place, path: path.to_owned(), problem });
        }
    }

    /// Whether one more would not be told.
    pub(super) const fn is_full(&self) -> bool {
        self.faults.len() >= FAULTS_MAX
    }

    /// Whether there are none.
    pub(super) const fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// Nothing, if there are none; otherwise all of them in the order of the text.
    pub(super) fn none_or_err(mut self) -> Result<(), Self> {
        if self.is_empty() {
            return Ok(());
        }
        self.faults.sort_by_key(|fault| fault.place);
        Err(self)
    }
}
