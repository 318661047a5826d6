//! A control port that lets in who shows its cookie, and is never ready for work.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::{Context, Result};
use data_encoding::HEXLOWER_PERMISSIVE;

/// Listens until the test ends.
pub(crate) struct MadeUpTor {
    directory: PathBuf,
    connections: Arc<Mutex<Vec<UnixStream>>>,
}

impl MadeUpTor {
    /// A tor whose control socket and cookie lie in this directory.
    pub(crate) fn start(directory: &Path) -> Result<Self> {
        let tor = Self { directory: directory.to_owned(), connections: Arc::default() };
        tor.renew_cookie(1)?;
        let listener = UnixListener::bind(tor.socket())?;
        let (cookie, connections) = (tor.cookie(), Arc::clone(&tor.connections));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                connections.lock().unwrap().extend(stream.try_clone());
                let cookie = cookie.clone();
                thread::spawn(move || talk(stream, &cookie));
            }
        });
        Ok(tor)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join("control")
    }

    pub(crate) fn cookie(&self) -> PathBuf {
        self.directory.join("control.authcookie")
    }

    /// Closes all connections.
    pub(crate) fn hang_up(&self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            // One that the other end has closed is as good.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// As tor does at each start: a new file takes the place of the old one.
    pub(crate) fn renew_cookie(&self, byte: u8) -> Result<()> {
        let new = self.directory.join("control.authcookie.tmp");
        fs::write(&new, [byte; 32])?;
        Ok(fs::rename(new, self.cookie())?)
    }
}

/// Answers until the other end closes.
fn talk(stream: UnixStream, cookie: &Path) -> Result<()> {
    let mut answers = stream.try_clone()?;
    for line in BufReader::new(stream).lines() {
        let line = line?;
        let (command, argument) = line.split_once(' ').unwrap_or((&line, ""));
        let answer = match command {
            "PROTOCOLINFO" => format!(
                "250-PROTOCOLINFO 1\r\n250-AUTH METHODS=COOKIE COOKIEFILE=\"{}\"\r\n\
                 250-VERSION Tor=\"0.4.9.11\"\r\n250 OK\r\n",
                cookie.display()
            ),
            "AUTHENTICATE" => {
                let shown = HEXLOWER_PERMISSIVE.decode(argument.as_bytes()).context("no cookie")?;
                let accepted = shown == fs::read(cookie)?;
                if accepted { "250 OK\r\n".to_owned() } else { "515 Authentication failed\r\n".to_owned() }
            }
            "GETINFO" => {
                "250-status/bootstrap-phase=NOTICE BOOTSTRAP PROGRESS=5 TAG=conn SUMMARY=\"Connecting\"\r\n\
                          250-status/enough-dir-info=0\r\n250 OK\r\n"
                    .to_owned()
            }
            _ => "250 OK\r\n".to_owned(),
        };
        answers.write_all(answer.as_bytes())?;
    }
    Ok(())
}
