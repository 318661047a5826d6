//! The rows of the live check in columns.

use std::fmt::Write;
use std::path::Path;

use super::live::{Row, Verdict};

/// The place of a row's details.
const INDENT: usize = 8;

/// The least and the greatest width of the subjects.
const SUBJECT: (usize, usize) = (14, 24);

/// The form of the rows.
pub(super) struct Table<'a> {
    /// The configuration.
    pub(super) file: &'a Path,
    /// The width in characters; `None`: lines are whole, for a reader that is no terminal.
    pub(super) width: Option<usize>,
}

impl Table<'_> {
    /// The file, and the rows in columns; `first` comes first.
    pub(super) fn render(&self, first: &Row, rows: &[Row]) -> String {
        let all = || [first].into_iter().chain(rows);
        let widest = all().map(|row| row.subject.chars().count()).max().unwrap_or_default();
        let width = widest.clamp(SUBJECT.0, SUBJECT.1);
        let rows: String = all().map(|row| self.row(row, width)).collect();
        format!("{}\n\n{rows}", self.file.display())
    }

    fn row(&self, row: &Row, width: usize) -> String {
        let head = format!("  {:<4}  {:<width$}  ", row.verdict.word(), row.subject);
        let mut lines = self.wrap(&row.text, head.chars().count());
        if let Some(line) = row.line.filter(|_| row.verdict != Verdict::Ok) {
            lines.push(format!("({}:{line})", self.file.display()));
        }
        let between = format!("\n{}", " ".repeat(head.chars().count()));
        let mut text = format!("{head}{}\n", lines.join(&between));
        for line in row.details.iter().flat_map(|detail| self.wrap(detail, INDENT)) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}{line}", " ".repeat(INDENT));
        }
        text
    }

    /// The lines of a text with that many characters before each. A longer word has a line of its own. Two
    /// words are there to be copied, and stay together.
    fn wrap(&self, text: &str, before: usize) -> Vec<String> {
        let Some(width) = self.width.filter(|_| text.split(' ').nth(2).is_some()) else {
            return vec![text.to_owned()];
        };
        let mut lines = vec![String::new()];
        for word in text.split(' ') {
            match lines.last_mut() {
                Some(line) if line.is_empty() => line.push_str(word),
                Some(line) if before + line.chars().count() + 1 + word.chars().count() <= width => {
                    line.push(' ');
                    line.push_str(word);
                }
                _ => lines.push(word.to_owned()),
            }
        }
        lines
    }
}
