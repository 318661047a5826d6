//! Asks for a secret on the controlling terminal, and does not show what is typed.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::system::signals::Deferred;

/// Longer than anybody types; more is refused.
const MAX_LENGTH: usize = 1024;
const INTERRUPT: u8 = 0x03;
const END_OF_TRANSMISSION: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const KILL_LINE: u8 = 0x15;
const DELETE: u8 = 0x7F;

/// The terminal of this process, whatever its standard streams are.
pub struct Terminal(File);

impl Terminal {
    /// Opens it, if there is one.
    pub fn open() -> io::Result<Self> {
        File::options().read(true).write(true).open("/dev/tty").map(Self)
    }

    /// Asks, and reads a line. A signal that ends the process ends it when the terminal is as it was before.
    pub fn ask(&mut self, prompt: &str) -> io::Result<Zeroizing<Vec<u8>>> {
        let deferred = Deferred::begin()?;
        let silent = Silent::begin(&self.0)?;
        (&self.0).write_all(prompt.as_bytes())?;
        let line = read_line(Attentive { terminal: &self.0, signals: &deferred });
        (&self.0).write_all(b"\n")?;
        drop(silent);
        drop(deferred);
        line
    }
}

/// Reads from a terminal until a signal comes.
struct Attentive<'a> {
    terminal: &'a File,
    signals: &'a Deferred,
}

impl Read for Attentive<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut waiting = [self.signals.as_fd(), self.terminal.as_fd()]
            .map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN));
        poll(&mut waiting, PollTimeout::NONE)?;
        let [signals, _] = waiting;
        if signals.any() == Some(true) {
            return Err(ErrorKind::Interrupted.into());
        }
        self.terminal.read(buffer)
    }
}

/// A terminal that shows nothing and passes each key on, until this is dropped. The keys that would end the process come in as
/// bytes: were it ended now, the terminal would stay silent.
struct Silent<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Silent<'a> {
    fn begin(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG);
        for (index, value) in [(SpecialCharacterIndices::VMIN, 1), (SpecialCharacterIndices::VTIME, 0)] {
            if let Some(place) = silent.control_chars.get_mut(index as usize) {
                *place = value;
            }
        }
        tcsetattr(terminal, SetArg::TCSAFLUSH, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = tcsetattr(self.terminal, SetArg::TCSAFLUSH, &self.before);
    }
}

fn read_line(mut terminal: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    // Room for the whole from the start: a buffer that grew would leave copies behind.
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_LENGTH));
    let mut byte = Zeroizing::new([0]);
    loop {
        if terminal.read(byte.as_mut_slice())? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        match *byte {
            [b'\n' | b'\r'] => return Ok(line),
            [INTERRUPT | END_OF_TRANSMISSION] => return Err(ErrorKind::Interrupted.into()),
            [KILL_LINE] => line.clear(),
            [BACKSPACE | DELETE] => remove_character(&mut line),
            [_] if line.len() == MAX_LENGTH => return Err(ErrorKind::InvalidInput.into()),
            [other] => line.push(other),
        }
    }
}

/// Removes the last character, of however many bytes of UTF-8.
fn remove_character(line: &mut Vec<u8>) {
    while line.pop().is_some_and(|byte| byte & 0xC0 == 0x80) {}
}

#[cfg(test)]
mod tests {
    use nix::pty::openpty;

    use super::*;

    #[test]
    fn lines_are_edited_as_usual() {
        let read = |bytes: &[u8]| read_line(bytes).map(|line| String::from_utf8(line.to_vec()).unwrap());
        for (typed, wanted) in [
            ("secret\n", "secret"),
            ("two words\r", "two words"),
            ("wrong\x15right\n", "right"),
            ("ab\x7fc\x08d\n", "ad"),
            ("\x7f\x7fa\n", "a"),
            ("aß\x7fb\n", "ab"),
            ("\n", ""),
        ] {
            assert_eq!(read(typed.as_bytes()).unwrap(), wanted, "{typed:?}");
        }
        assert_eq!(read(b"half").unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(read(b"ab\x03c\n").unwrap_err().kind(), ErrorKind::Interrupted);
        assert_eq!(read(b"\x04").unwrap_err().kind(), ErrorKind::Interrupted);
        assert_eq!(read(&[b'x'; 2000]).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn nothing_that_is_typed_is_shown_and_the_terminal_is_as_before() {
        let pty = openpty(None, None).unwrap();
        let (mut person, terminal) = (File::from(pty.master), File::from(pty.slave));
        let before = tcgetattr(&terminal).unwrap();
        let mut asked = Terminal(terminal);
        let mut shown = Vec::new();
        std::thread::scope(|scope| {
            let answer = scope.spawn(|| asked.ask("Passphrase: ").unwrap());
            while !shown.ends_with(b": ") {
                let mut byte = [0];
                person.read_exact(&mut byte).unwrap();
                shown.extend(byte);
            }
            person.write_all(b"secret\n").unwrap();
            assert_eq!(*answer.join().unwrap(), b"secret");
        });
        let mut rest = [0; 64];
        let count = person.read(&mut rest).unwrap();
        shown.extend(&rest[..count]);
        assert_eq!(String::from_utf8(shown).unwrap().trim_end(), "Passphrase:");
        assert_eq!(tcgetattr(&asked.0).unwrap(), before);
    }
}
