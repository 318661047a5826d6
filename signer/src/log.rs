//! Log lines on standard error, in the form that their reader expects.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::stat::fstat;
use onionbalance_proto::journal::JournalStream;
use onionbalance_proto::time::UnixTime;

/// How much a line matters. The numbers are those of syslog(3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Priority {
    /// The signer cannot go on; someone must act.
    Error = 3,
    /// Someone will want to know.
    Warning = 4,
    /// The normal course of things.
    Info = 6,
}

impl Priority {
    /// The level as the balancer's log names it.
    fn level(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warning => "WARN",
            Self::Info => "INFO",
        }
    }
}

/// The part of a line in front of its text.
#[derive(Clone, Copy)]
enum Form {
    /// `<3>`: the journal reads the priority (sd-daemon(3)), and has the time.
    Journal,
    /// The level: for a person who sees the line at once.
    Level,
    /// The time and the level: for a file.
    Time,
}

static FORM: OnceLock<Form> = OnceLock::new();

/// Finds out who reads. Has to be done while the process may still ask.
pub fn prepare() {
    FORM.get_or_init(form);
}

/// Leaves out the time: these are the lines of a command that somebody has just typed.
pub fn leave_out_time() {
    FORM.get_or_init(|| if is_journal() { Form::Journal } else { Form::Level });
}

/// Writes one line, at once. Line ends and other control characters in `message` are shown escaped: a line stays one line.
pub fn line(priority: Priority, message: impl Display) {
    let mut text = match FORM.get_or_init(form) {
        Form::Journal => format!("<{}>", priority as u8),
        Form::Level => format!("{} ", priority.level()),
        Form::Time => format!("{} {} ", now().rfc3339(), priority.level()),
    };
    for character in message.to_string().chars() {
        if character.is_control() {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    text.push('\n');
    // A log that nobody reads any more is no reason to stop signing.
    let _ = io::stderr().write_all(text.as_bytes());
}

fn form() -> Form {
    match (is_journal(), io::stderr().is_terminal()) {
        (true, _) => Form::Journal,
        (false, true) => Form::Level,
        (false, false) => Form::Time,
    }
}

/// A program that the service manager starts, and whose standard error is sent elsewhere, has the variable all the same.
fn is_journal() -> bool {
    let named = env::var("JOURNAL_STREAM").ok().and_then(|stream| stream.parse().ok());
    let ours =
        fstat(io::stderr().as_fd()).map(|found| JournalStream { device: found.st_dev, inode: found.st_ino });
    named.is_some_and(|named| ours == Ok(named))
}

fn now() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
