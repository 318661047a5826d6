//! Asks for a secret on the controlling terminal, without echo.
//!
//! Standard input and output are not used: they may be redirected. The answer can be edited as any line of a
//! terminal (backspace, Ctrl-U), and goes to the caller alone.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// Signals that would end or stop the process.
const DEFERRED: [Signal; 5] =
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP, Signal::SIGTSTP];
/// The longest line that a terminal passes on, in bytes, with its end (termios(3)).
const MAX_LENGTH: usize = 4096;

/// The controlling terminal of this process, which does not depend on its standard streams.
pub struct Terminal(File);

impl Terminal {
    /// Opens the terminal (`/dev/tty`).
    ///
    /// # Errors
    /// The process has no controlling terminal, as under systemd (`ENXIO`), or may not open it.
    pub fn open() -> io::Result<Self> {
        File::options().read(true).write(true).open("/dev/tty").map(Self)
    }

    /// Asks, and reads a line of at most 4095 bytes, without its end; it may be empty. A signal, such as that
    /// of Ctrl-C, takes effect after the terminal's mode is restored. There is no limit of time.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`]: a signal ended the line. [`ErrorKind::UnexpectedEof`]: Ctrl-D or a closed
    /// terminal did. The others are the kernel's, about the terminal.
    pub fn ask(&mut self, prompt: &str) -> io::Result<Zeroizing<Vec<u8>>> {
        let deferred = Deferred::begin()?;
        let silent = Silent::begin(&self.0)?;
        (&self.0).write_all(prompt.as_bytes())?;
        let line = read_line(&self.0, &deferred);
        (&self.0).write_all(b"\n")?;
        drop(silent);
        drop(deferred);
        line
    }
}

/// The [`DEFERRED`] signals are blocked until this is dropped, and take effect then.
struct Deferred {
    before: SigSet,
    /// Readable while a signal is pending. It is only polled: a read would remove the signal.
    waiting: SignalFd,
}

impl Deferred {
    fn begin() -> nix::Result<Self> {
        let signals: SigSet = DEFERRED.into_iter().collect();
        let waiting = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { before: signals.thread_swap_mask(SigmaskHow::SIG_BLOCK)?, waiting })
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        // The kernel accepts the mask that was set before.
        let _ = self.before.thread_set_mask();
    }
}

/// A terminal without echo until this is dropped.
struct Silent<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Silent<'a> {
    fn begin(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO | LocalFlags::ECHONL);
        silent.local_flags.insert(LocalFlags::ICANON | LocalFlags::ISIG);
        tcsetattr(terminal, SetArg::TCSAFLUSH, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        // A closed terminal needs no restoring.
        let _ = tcsetattr(self.terminal, SetArg::TCSAFLUSH, &self.before);
    }
}

/// Reads a line, without its end. Fails if one of these signals arrives before the line's end.
fn read_line(mut terminal: &File, signals: &Deferred) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut waiting = [signals.waiting.as_fd(), terminal.as_fd()]
        .map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN));
    poll(&mut waiting, PollTimeout::NONE)?;
    let [signals, _] = waiting;
    if signals.any() == Some(true) {
        return Err(ErrorKind::Interrupted.into());
    }
    let mut line = Zeroizing::new(vec![0; MAX_LENGTH]);
    let length = terminal.read(&mut line)?;
    line.truncate(length);
    // The end is missing after Ctrl-D, and if the terminal was closed.
    if line.pop() == Some(b'\n') { Ok(line) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use nix::pty::openpty;

    use super::*;

    /// The answer read while these keys are typed, and the terminal's whole output.
    fn typed(keys: &[u8]) -> (io::Result<Zeroizing<Vec<u8>>>, String) {
        let pty = openpty(None, None).unwrap();
        let (mut person, terminal) = (File::from(pty.master), File::from(pty.slave));
        let before = tcgetattr(&terminal).unwrap();
        let mut asked = Terminal(terminal);
        let mut shown = Vec::new();
        let answer = thread::scope(|scope| {
            let answer = scope.spawn(|| asked.ask("Passphrase: "));
            while !shown.ends_with(b": ") {
                let mut byte = [0];
                person.read_exact(&mut byte).unwrap();
                shown.extend(byte);
            }
            person.write_all(keys).unwrap();
            answer.join().unwrap()
        });
        assert_eq!(tcgetattr(&asked.0).unwrap(), before);
        let mut rest = [0; 64];
        let count = person.read(&mut rest).unwrap();
        shown.extend(&rest[..count]);
        (answer, String::from_utf8(shown).unwrap())
    }

    #[test]
    fn typed_keys_are_not_shown_and_the_terminal_is_restored() {
        for (keys, wanted) in [
            (&b"secret\n"[..], "secret"),
            (b"two words\r", "two words"),
            (b"wrong\x15right\n", "right"),
            (b"ab\x7fc\n", "ac"),
            (b"\n", ""),
        ] {
            let (answer, shown) = typed(keys);
            assert_eq!(*answer.unwrap(), wanted.as_bytes());
            assert_eq!(shown.trim_end(), "Passphrase:");
        }
    }

    #[test]
    fn the_longest_line_is_read_whole() {
        let long = [&[b'x'; MAX_LENGTH - 1][..], b"\n"].concat();
        assert_eq!(typed(&long).0.unwrap().len(), MAX_LENGTH - 1);
        for keys in [&b"\x04"[..], b"half\x04\x04"] {
            assert_eq!(typed(keys).0.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        }
    }
}
