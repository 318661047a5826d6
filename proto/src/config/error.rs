//! Errors of a configuration, with their lines.

use std::collections::HashMap;
use std::io;
use std::path::Path;

/// An error of the configuration, with its place.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{file}{}: {what}", line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct ConfigError {
    /// The file's name, as the caller gave it.
    pub file: String,
    /// The line, counted from 1; `None` where the error has no single line.
    pub line: Option<usize>,
    /// The fault, and the remedy.
    pub what: String,
}

impl ConfigError {
    /// The file at `path` cannot be read.
    pub fn unreadable(path: &Path, error: &io::Error) -> Self {
        let remedy = match error.kind() {
            // A confined program can read the directories that it could read at its start, and no others.
            io::ErrorKind::PermissionDenied => {
                "let the program's user read it; if it is in another directory than at the start, restart the \
                 program"
            }
            _ => "name the configuration with -c",
        };
        let what = format!("cannot be read: {error}; {remedy}");
        Self { file: path.display().to_string(), line: None, what }
    }

    /// An error about a value that parses but is not valid. Its line is the last one that sets `value`: of
    /// two services with the same key, the second is the wrong one.
    pub fn about(text: &str, file: &Path, value: &str, what: String) -> Self {
        Lines::of(text).error(file, value, what)
    }

    /// An error about a top-level key.
    pub fn of_key(text: &str, file: &Path, key: &str, what: &str) -> Self {
        let line = line_of_key(text, key);
        Self { file: file.display().to_string(), line, what: format!("{key}: {what}") }
    }
}

/// The line, counted from 1, that sets this top-level key; `None` if none does.
pub fn line_of_key(text: &str, key: &str) -> Option<usize> {
    let sets = |line: &str| {
        let rest = line.trim_start_matches('\u{feff}').strip_prefix(key);
        rest.is_some_and(|rest| rest.trim_start().starts_with(':'))
    };
    text.lines().position(sets).map(|index| index + 1)
}

/// The lines of a configuration by the values that they set, for several errors about the same text.
pub struct Lines<'a>(HashMap<&'a str, usize>);

impl<'a> Lines<'a> {
    /// The lines of this text.
    pub fn of(text: &'a str) -> Self {
        let valued = text.lines().zip(1..).filter_map(|(line, number)| Some((value(line)?, number)));
        Self(valued.collect())
    }

    /// The last line, counted from 1, that sets this value; `None`: no line does.
    pub fn find(&self, value: &str) -> Option<usize> {
        self.0.get(value).copied()
    }

    /// The line that sets this onion address, with its suffix or without; `None`: no line does.
    pub fn find_address(&self, address: &str) -> Option<usize> {
        self.find(address).or_else(|| self.find(address.strip_suffix(".onion")?))
    }

    /// As [`ConfigError::about`].
    pub fn error(&self, file: &Path, value: &str, what: String) -> ConfigError {
        ConfigError { file: file.display().to_string(), line: self.find(value), what }
    }
}

/// The line of `text`, counted from 1, with a value that passes, in the service with this key: the next one
/// after the line of the key, else the last one before it. `None`: no line sets this key.
pub(super) fn line_in_service(text: &str, key: &str, passes: impl Fn(&str) -> bool) -> Option<usize> {
    let Lines(lines) = Lines::of(text);
    let from = lines.get(key).copied()?;
    let passing = text.lines().zip(1..).filter(|(line, _)| value(line).is_some_and(&passes));
    let nearest =
        passing.map(|(_, number)| number).min_by_key(|number| (*number < from, from.abs_diff(*number)));
    nearest.or(Some(from))
}

/// The value after the key of a line, without quotes and without a comment.
fn value(line: &str) -> Option<&str> {
    let line = line.split(" #").next().unwrap_or(line);
    line.split_once(':').map(|(_, value)| value.trim().trim_matches(['"', '\'']))
}
