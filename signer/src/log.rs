//! Log lines on standard error, in the form that their reader expects. Writing them never waits and never ends the process.
//!
//! Lines wait for a reader that does not read, and for a disk that is full, as long as there is room for them. Further ones are left
//! out and counted, as are lines beyond a minute's worth that peers cause. The number is logged as soon as there is room again.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::mem;
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::fstat;
use onionbalance_proto::journal::JournalStream;

use crate::limit::RateLimit;

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

/// Finds out who reads. Has to be done while the process may still ask.
pub fn prepare() {
    drop(log());
}

/// Leaves out the time, if nothing was logged yet: these are the lines of a command that somebody has just typed.
pub fn leave_out_time() {
    LOG.get_or_init(|| Mutex::new(Log::new(Form::find(false))));
}

/// Logs one line. Line ends and other control characters in `message` are shown escaped: a line stays one line.
pub fn line(priority: Priority, message: impl Display) {
    log().add(priority, &message);
}

/// Logs one line that any peer can cause, as long as there are no more than [`FREE_LINES_PER_MINUTE`] of them. Further lines
/// are counted.
pub fn line_by_peer(priority: Priority, message: impl Display) {
    let mut log = log();
    if log.has_room_for_peers(Instant::now()) {
        log.add(priority, &message);
    } else {
        log.left_out += 1;
    }
}

/// Writes lines that had to wait, and the number of those that were left out. True if there are lines left.
pub fn settle() -> bool {
    let mut log = log();
    log.write();
    if log.left_out > 0 && log.waiting.is_empty() {
        log.has_room_for_peers(Instant::now());
    }
    !log.waiting.is_empty()
}

/// Gives the reader [`LAST_WORD`] to take the lines that had to wait, before the process ends.
pub fn finish() {
    let end = Instant::now() + LAST_WORD;
    while settle() && Instant::now() < end {
        // A time, and not for the reader: a write that fails is no reason to try again at once.
        let _ = poll(&mut [], PollTimeout::from(10_u8));
    }
}

/// The wait for a slow reader at the end.
const LAST_WORD: Duration = Duration::from_secs(1);
/// Lines a minute that peers can cause.
const FREE_LINES_PER_MINUTE: u32 = 120;
/// Bytes of lines that wait for their reader; further lines are left out.
const MAX_WAITING: usize = 256 * 1024;
/// A pipe that says it can be written takes at least so many bytes without waiting (pipe(7), `PIPE_BUF`).
const AT_A_TIME: usize = 4096;

static LOG: OnceLock<Mutex<Log>> = OnceLock::new();

fn log() -> MutexGuard<'static, Log> {
    let log = LOG.get_or_init(|| Mutex::new(Log::new(Form::find(!io::stderr().is_terminal()))));
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Log {
    form: Form,
    /// Whole lines, but for the first, which may have been written in part.
    waiting: Vec<u8>,
    by_peers: RateLimit,
    /// Lines beyond [`FREE_LINES_PER_MINUTE`] or [`MAX_WAITING`].
    left_out: u64,
}

impl Log {
    fn new(form: Form) -> Self {
        let by_peers = RateLimit::new(FREE_LINES_PER_MINUTE, Instant::now());
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

    /// True if one more line by a peer may be logged. The number of those that were left out, if any, is logged first.
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
            // A full disk, or a reader that has gone, is no reason to stop signing.
            let Ok(written) = io::stderr().write(part) else { return };
            self.waiting.drain(..written);
        }
    }
}

/// True if a write of [`AT_A_TIME`] bytes would not wait, or would fail at once.
fn is_writable() -> bool {
    let stderr = io::stderr();
    let mut waiting = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    poll(&mut waiting, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
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

impl Form {
    fn find(has_time: bool) -> Self {
        // A program that the service manager starts, and whose standard error is sent elsewhere, has the variable all the same.
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
        // As the balancer's log names it.
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
        assert!(log.has_room_for_peers(Instant::now()));
        assert_eq!(log.left_out, 2);
    }

    #[test]
    fn lines_by_peers_are_counted_beyond_a_minutes_worth() {
        let mut log = Log::new(Form::Level);
        let start = Instant::now();
        for _ in 0..FREE_LINES_PER_MINUTE {
            assert!(log.has_room_for_peers(start));
        }
        assert!(!log.has_room_for_peers(start));
        assert!(log.has_room_for_peers(start + Duration::from_secs(1)));
    }
}
