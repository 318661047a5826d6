//! Log lines on standard error, in the form that their reader expects. Writing them never waits and never
//! ends the process.
//!
//! Lines that a slow reader or a full disk does not take wait in memory, up to [`MAX_WAITING`] bytes. Further
//! lines are left out and counted, and so are lines beyond a minute's worth that peers cause. The count is
//! logged as soon as there is room again.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::mem;
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::fstat;
use onionbalance_process::monotonic;
use onionbalance_proto::journal::JournalStream;

use crate::limit::RateLimit;

/// The severity of a line. The numbers are those of syslog(3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Priority {
    /// The signer cannot go on; an operator has to act.
    Error = 3,
    /// The signer goes on; an operator should look.
    Warning = 4,
    /// The normal course of things.
    Info = 6,
}

/// Finds out which form the reader expects. This needs rights that a confined process lacks.
pub fn prepare() {
    drop(log());
}

/// Leaves out the time if nothing was logged yet: these are the lines of a command that a person has just
/// typed.
pub fn leave_out_time() {
    LOG.get_or_init(|| Mutex::new(Log::new(Form::find(false))));
}

/// Logs one line. Line ends and other control characters in `message` are escaped, so that it is one line.
pub fn line(priority: Priority, message: impl Display) {
    log().add(priority, &message);
}

/// Logs one line that any peer can cause, if there are no more than [`FREE_LINES_PER_MINUTE`] of them.
/// Further lines are counted.
pub fn line_by_peer(priority: Priority, message: impl Display) {
    let mut log = log();
    if log.has_room_for_peers(monotonic()) {
        log.add(priority, &message);
    } else {
        log.left_out += 1;
    }
}

/// Writes lines that had to wait, and the number of lines that were left out. True if lines are still
/// waiting.
pub fn settle() -> bool {
    let mut log = log();
    log.write();
    if log.left_out > 0 && log.waiting.is_empty() {
        log.has_room_for_peers(monotonic());
    }
    !log.waiting.is_empty()
}

/// Gives the reader [`LAST_WORD`] to take the lines that had to wait, before the process ends.
pub fn finish() {
    let end = monotonic() + LAST_WORD;
    while settle() && monotonic() < end {
        // This waits for 10 ms and not for the reader: after a failed write an immediate retry would spin.
        let _ = poll(&mut [], PollTimeout::from(10_u8));
    }
}

/// The longest wait for a slow reader at the end.
const LAST_WORD: Duration = Duration::from_secs(1);
/// The most lines a minute that peers can cause.
const FREE_LINES_PER_MINUTE: u32 = 120;
/// The most bytes of lines that wait for their reader; further lines are left out.
const MAX_WAITING: usize = 256 * 1024;
/// Bytes of one write: a pipe that is ready for writing takes as many without waiting (pipe(7), `PIPE_BUF`).
const AT_A_TIME: usize = 4096;

static LOG: OnceLock<Mutex<Log>> = OnceLock::new();

fn log() -> MutexGuard<'static, Log> {
    let log = LOG.get_or_init(|| Mutex::new(Log::new(Form::find(!io::stderr().is_terminal()))));
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Log {
    form: Form,
    /// Whole lines; the first may have been written in part.
    waiting: Vec<u8>,
    by_peers: RateLimit,
    /// The number of lines beyond [`FREE_LINES_PER_MINUTE`] or [`MAX_WAITING`] that were left out since the
    /// last report.
    left_out: u64,
}

impl Log {
    fn new(form: Form) -> Self {
        let by_peers = RateLimit::new(FREE_LINES_PER_MINUTE, monotonic());
        Self { form, waiting: Vec::new(), by_peers, left_out: 0 }
    }

    fn add(&mut self, priority: Priority, message: &dyn Display) {
        self.keep(&self.form.render(priority, message));
        self.write();
    }

    fn keep(&mut self, line: &str) {
        if self.waiting.len() + line.len() > MAX_WAITING {
            self.left_out += 1;
        } else {
            self.waiting.extend(line.as_bytes());
        }
    }

    /// True if one more line by a peer may be logged. If lines were left out, their number is logged first.
    fn has_room_for_peers(&mut self, now: Instant) -> bool {
        let has_room = self.by_peers.take(now);
        if has_room && self.left_out > 0 && self.waiting.is_empty() {
            let left_out = mem::take(&mut self.left_out);
            let why =
                format!("more than were read, or more than {FREE_LINES_PER_MINUTE} a minute about peers");
            self.add(Priority::Warning, &format!("left out {left_out} lines: {why}"));
        }
        has_room
    }

    /// Writes as much as the reader has room for.
    fn write(&mut self) {
        while !self.waiting.is_empty() && is_writable() {
            let part = self.waiting.get(..AT_A_TIME).unwrap_or(&self.waiting);
            // A full disk, or a reader that has ended, is no reason to stop signing.
            let Ok(written) = io::stderr().write(part) else { return };
            self.waiting.drain(..written);
        }
    }
}

/// True if a write of [`AT_A_TIME`] bytes would succeed or fail at once.
fn is_writable() -> bool {
    let stderr = io::stderr();
    let mut waiting = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    poll(&mut waiting, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// The part of a line in front of its text.
#[derive(Clone, Copy)]
enum Form {
    /// `<3>`: the journal reads the priority (sd-daemon(3)), and adds the time.
    Journal,
    /// The level alone: a person sees the line at once.
    Level,
    /// The time and the level: for a file.
    Time,
}

impl Form {
    fn find(has_time: bool) -> Self {
        // A service manager also sets the variable for a program whose standard error is sent elsewhere.
        let named = env::var("JOURNAL_STREAM").ok().and_then(|stream| stream.parse().ok());
        let ours =
            fstat(io::stderr()).map(|found| JournalStream { device: found.st_dev, inode: found.st_ino }).ok();
        match named {
            Some(_) if named == ours => Self::Journal,
            _ if has_time => Self::Time,
            _ => Self::Level,
        }
    }

    fn render(self, priority: Priority, message: &dyn Display) -> String {
        // The names are those of the balancer's log.
        let level = match priority {
            Priority::Error => "ERROR",
            Priority::Warning => "WARN",
            Priority::Info => "INFO",
        };
        let mut text = match self {
            Self::Journal => format!("<{}>", priority as u8),
            Self::Level => format!("{level} "),
            Self::Time => format!("{} {level} ", crate::now().rfc3339()),
        };
        for character in message.to_string().chars() {
            if character.is_control() {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_find_no_room_are_counted() {
        let mut log = Log { waiting: vec![b'x'; MAX_WAITING], ..Log::new(Form::Level) };
        log.keep("one\n");
        log.keep("two\n");
        assert_eq!((log.waiting.len(), log.left_out), (MAX_WAITING, 2));
        // The reader is told when it has taken the lines before.
        assert!(log.has_room_for_peers(monotonic()));
        assert_eq!(log.left_out, 2);
    }

    #[test]
    fn lines_by_peers_are_counted_beyond_a_minutes_worth() {
        let mut log = Log::new(Form::Level);
        let start = monotonic();
        for _ in 0..FREE_LINES_PER_MINUTE {
            assert!(log.has_room_for_peers(start));
        }
        assert!(!log.has_room_for_peers(start));
        assert!(log.has_room_for_peers(start + Duration::from_secs(1)));
    }
}
