//! A program at a terminal.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::pty::openpty;

use crate::wait::until;

/// A program with a controlling terminal; dropping it kills it, but not its children.
#[derive(Debug)]
pub struct AtTerminal {
    program: Child,
    terminal: File,
    log: PathBuf,
}

impl AtTerminal {
    /// Starts the program of `command` in `directory` with its arguments, and with standard error in the file
    /// `log`.
    pub fn start(command: &Command, directory: &Path, log: &Path) -> Result<Self> {
        let pty = openpty(None, None)?;
        // Not in a process group of its own: setsid(1) would then fork, and the process that runs would not
        // be our child.
        let program = Command::new("setsid")
            .arg("--ctty")
            .arg(command.get_program())
            .args(command.get_args())
            .current_dir(directory)
            .stdout(Stdio::from(pty.slave.try_clone()?))
            .stdin(Stdio::from(pty.slave))
            .stderr(File::create(log)?)
            .spawn()?;
        Ok(Self { program, terminal: File::from(pty.master), log: log.to_owned() })
    }

    /// Reads the terminal's output up to the next colon with a blank, and types a line.
    pub fn answer(&mut self, line: &str) -> Result<String> {
        self.answer_after(": ", line)
    }

    /// Reads the terminal's output up to this text, and types a line. Returns the output.
    pub fn answer_after(&mut self, end: &str, line: &str) -> Result<String> {
        let prompt = self.read_to(end)?;
        self.terminal.write_all(line.as_bytes())?;
        self.terminal.write_all(b"\n")?;
        Ok(prompt)
    }

    /// Reads the terminal's output up to this text, and returns it.
    pub fn read_to(&mut self, end: &str) -> Result<String> {
        let mut output = Vec::new();
        while !output.ends_with(end.as_bytes()) {
            let mut byte = [0];
            let read = self.terminal.read_exact(&mut byte);
            let so_far = || format!("no {end:?} at the terminal, but {:?}", String::from_utf8_lossy(&output));
            read.with_context(so_far)?;
            output.extend(byte);
        }
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    /// Waits for its end. The exit status is the program's own.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        Ok(self.program.wait()?)
    }

    /// Waits until it has logged this.
    pub fn wait_logged(&self, text: &str, timeout: Duration) -> Result<()> {
        let log = || fs::read_to_string(&self.log);
        until(timeout, || Ok(log()?.contains(text).then_some(())))
            .with_context(|| format!("it did not log {text:?}, but:\n{}", log().unwrap_or_default()))
    }
}

impl Drop for AtTerminal {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
