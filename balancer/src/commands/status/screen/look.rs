//! The look of the screen: its width, its colours, and the length of addresses.

use std::env;
use std::fmt::Write;
use std::io::{self, IsTerminal};

use anstyle::{AnsiColor, Style};

use super::super::ask::AskError;
use crate::cli::Color;
use crate::commands::clean;
use crate::names::short;
use crate::status::{Health, Severity};

/// The look of the screen.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Look {
    /// True if the health has a colour.
    pub(super) is_coloured: bool,
    /// True if the reader's locale has all characters.
    pub(super) has_unicode: bool,
    /// The extent of what is shown.
    pub(super) extent: Extent,
}

/// The extent of what is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Extent {
    /// A screen: lines are broken or cut, and there is an end to each list.
    Screen,
    /// The same for programs, with whole lines and addresses, and all services and backends.
    Lines,
    /// Everything.
    Everything,
}

impl Look {
    /// The look for this process's standard output.
    pub(in super::super) fn new(color: Color, is_full: bool) -> Self {
        // POSIX: the first of these that is set and not empty counts.
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(|name| env::var(name).ok());
        let locale = locale.into_iter().find(|value| !value.is_empty()).unwrap_or_default().to_lowercase();
        Self {
            is_coloured: is_coloured(color),
            has_unicode: locale.contains("utf-8") || locale.contains("utf8"),
            extent: match io::stdout().is_terminal() {
                _ if is_full => Extent::Everything,
                true => Extent::Screen,
                false => Extent::Lines,
            },
        }
    }

    /// The screen without a status.
    pub(in super::super) fn unknown(self, error: &AskError) -> String {
        let mut text = format!("{} unknown: {error}\n", self.dot(None));
        for remedy in error.remedies() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {remedy}");
        }
        text
    }

    /// The mark before a health; `None`: it is unknown.
    pub(super) fn dot(self, health: Option<Health>) -> String {
        let color = match health {
            Some(Health::Ok) => AnsiColor::Green,
            Some(Health::Starting | Health::Degraded) => AnsiColor::Yellow,
            Some(Health::Down) => AnsiColor::Red,
            None => AnsiColor::Magenta,
        };
        self.paint(if self.has_unicode { "●" } else { "*" }, Style::new().fg_color(Some(color.into())))
    }

    /// The mark before a problem.
    pub(super) fn mark(self, severity: Severity) -> String {
        let mark = if severity == Severity::Advice { "i" } else { "!" };
        self.paint(mark, Style::new().bold())
    }

    /// The sign for a value that is missing.
    pub(super) fn nothing(self) -> &'static str {
        if self.has_unicode { "–" } else { "-" }
    }

    /// An address; on a screen its first and last characters.
    pub(super) fn address(self, address: &str) -> String {
        if self.extent != Extent::Screen {
            return clean(address);
        }
        clean(&short(address, if self.has_unicode { "…" } else { ".." }))
    }

    fn paint(self, text: &str, style: Style) -> String {
        if self.is_coloured { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

/// True if colours are wanted on standard output.
fn is_coloured(color: Color) -> bool {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            let is_dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
            io::stdout().is_terminal() && !is_dumb && !is_set("NO_COLOR")
        }
    }
}
