//! A control port that authenticates a client by its cookie, and is never ready for work.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use data_encoding::HEXLOWER_PERMISSIVE;

/// Listens until the test ends.
#[derive(Debug)]
pub struct MadeUpTor {
    socket: PathBuf,
    cookie: PathBuf,
    connections: Arc<Mutex<Vec<UnixStream>>>,
}

impl MadeUpTor {
    /// A tor with its control socket and cookie in this directory, as on Debian.
    pub fn start(directory: &Path) -> Result<Self> {
        Self::start_with(&directory.join("control"), &directory.join("control.authcookie"))
    }

    /// A tor with this control socket, which every user may connect to, and this cookie.
    pub fn start_with(socket: &Path, cookie: &Path) -> Result<Self> {
        let tor = Self { socket: socket.to_owned(), cookie: cookie.to_owned(), connections: Arc::default() };
        tor.renew_cookie(1)?;
        let listener = UnixListener::bind(socket)?;
        fs::set_permissions(socket, Permissions::from_mode(0o666))?;
        let (cookie, connections) = (tor.cookie.clone(), Arc::clone(&tor.connections));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                lock(&connections).extend(stream.try_clone());
                let cookie = cookie.clone();
                thread::spawn(move || talk(stream, &cookie));
            }
        });
        Ok(tor)
    }

    /// Its control socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its cookie.
    pub fn cookie(&self) -> &Path {
        &self.cookie
    }

    /// Stops listening.
    pub fn stop(self) -> Result<()> {
        fs::remove_file(&self.socket)?;
        self.hang_up();
        Ok(())
    }

    /// Closes all connections.
    pub fn hang_up(&self) {
        for connection in lock(&self.connections).drain(..) {
            // The other end may have closed it already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Replaces the cookie's file by a new one, as tor does at each start.
    pub fn renew_cookie(&self, byte: u8) -> Result<()> {
        let new = self.cookie.with_extension("tmp");
        fs::write(&new, [byte; 32])?;
        Ok(fs::rename(new, &self.cookie)?)
    }
}

fn lock(connections: &Mutex<Vec<UnixStream>>) -> MutexGuard<'_, Vec<UnixStream>> {
    connections.lock().unwrap_or_else(PoisonError::into_inner)
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
