//! A program at a terminal.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
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
            .stdin(Stdio::from(pty.slave))
            .stdout(Stdio::null())
            .stderr(File::create(log)?)
            .spawn()?;
        Ok(Self { program, terminal: File::from(pty.master), log: log.to_owned() })
    }

    /// Reads the terminal's output up to the next colon, and types a line.
    pub fn answer(&mut self, line: &str) -> Result<String> {
        let mut prompt = Vec::new();
        while !prompt.ends_with(b": ") {
            let mut byte = [0];
            self.terminal.read_exact(&mut byte)?;
            prompt.extend(byte);
        }
        self.terminal.write_all(line.as_bytes())?;
        self.terminal.write_all(b"\n")?;
        Ok(String::from_utf8_lossy(&prompt).into_owned())
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
