//! Tor as a client of v2 services that authorize their clients.
//!
//! HSFETCH never yields such a descriptor: tor asks without a cookie and discards a descriptor that it cannot
//! open. The working way is to give tor the cookie (`HidServAuth`), to make it forget its descriptors
//! (`NEWNYM`), and to connect to the service through its SOCKS port: the descriptor then comes as an event,
//! still encrypted.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::command::Command;
use super::control::{Connection, ControlError};
use super::words::words;

/// Tor's option with one line for each service.
const OPTION: &str = "HidServAuth";

/// The address at which tor listens for SOCKS connections.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SocksPort {
    /// A TCP port.
    Tcp(SocketAddr),
    /// An AF_UNIX socket.
    Unix(PathBuf),
}

impl Connection {
    /// Gives tor these lines of `HidServAuth`, each `ADDRESS.onion COOKIE`, and keeps its lines for other
    /// addresses: tor would drop all lines that are not set again.
    ///
    /// # Errors
    /// Tor refuses a line, or the connection fails.
    pub async fn authorize_client(&self, lines: &[String]) -> Result<(), ControlError> {
        let present = self.call(Command::new("GETCONF").words(OPTION)).await?;
        let foreign = present.lines.iter().filter_map(|line| {
            let value = line.text.strip_prefix(OPTION)?.strip_prefix('=')?;
            let is_ours = |ours: &String| address(ours) == address(value);
            (!lines.iter().any(is_ours)).then_some(value)
        });
        let all = lines.iter().map(String::as_str).chain(foreign);
        let command = all.fold(Command::new("SETCONF"), |command, line| command.quoted(OPTION, line));
        self.call(command).await.map(drop)
    }

    /// Makes tor forget the descriptors that it has as a client. More than once in 10 seconds, it does so
    /// later (`MAX_SIGNEWNYM_RATE`).
    ///
    /// # Errors
    /// Tor refuses the command, or the connection fails.
    pub async fn forget_descriptors(&self) -> Result<(), ControlError> {
        self.call(Command::new("SIGNAL").words("NEWNYM")).await.map(drop)
    }

    /// The addresses at which tor listens for SOCKS connections.
    ///
    /// # Errors
    /// The reply is not valid, or the connection fails.
    pub async fn socks_ports(&self) -> Result<Vec<SocksPort>, ControlError> {
        const KEY: &str = "net/listeners/socks";
        let message = self.call(Command::new("GETINFO").words(KEY)).await?;
        let value = message.lines.iter().find_map(|line| line.text.strip_prefix(KEY)?.strip_prefix('='));
        let value = value.ok_or_else(|| ControlError::unexpected("GETINFO", &message))?;
        Ok(words(value).unwrap_or_default().iter().filter_map(|word| socks_port(&word.text())).collect())
    }
}

/// The address in a line of `HidServAuth`; `None` if there is none.
fn address(line: &str) -> Option<&str> {
    line.split(' ').next()
}

fn socks_port(text: &str) -> Option<SocksPort> {
    match text.strip_prefix("unix:") {
        Some(path) => Some(SocksPort::Unix(path.into())),
        None => text.parse().ok().map(SocksPort::Tcp),
    }
}

#[cfg(test)]
mod tests {
    use tokio::join;

    use super::*;
    use crate::tor::mock::Mock;

    const OURS: &str = "lijeinqkg3odt3fl.onion abcdefghijklmnopqrstuA";
    const FOREIGN: &str = "ajhb7kljbiru65qo.onion zbcdefghijklmnopqrstuA ours";

    #[tokio::test]
    async fn keeps_what_tor_has_for_others() {
        let (mut tor, connection, _events) = Mock::connect();
        let talk = async {
            let old = "lijeinqkg3odt3fl.onion ybcdefghijklmnopqrstuA";
            tor.answer(
                "GETCONF HidServAuth\r\n",
                format!("250-HidServAuth={old}\r\n250 HidServAuth={FOREIGN}\r\n"),
            )
            .await;
            let command = format!("SETCONF HidServAuth=\"{OURS}\" HidServAuth=\"{FOREIGN}\"\r\n");
            tor.answer(command, "250 OK\r\n").await;
        };
        let lines = [OURS.to_owned()];
        let (set, ()) = join!(connection.authorize_client(&lines), talk);
        set.unwrap();
    }

    #[tokio::test]
    async fn a_tor_without_any_has_an_empty_line() {
        let (mut tor, connection, _events) = Mock::connect();
        let talk = async {
            tor.answer("GETCONF HidServAuth\r\n", "250 HidServAuth\r\n").await;
            tor.answer(format!("SETCONF HidServAuth=\"{OURS}\"\r\n"), "250 OK\r\n").await;
        };
        let lines = [OURS.to_owned()];
        let (set, ()) = join!(connection.authorize_client(&lines), talk);
        set.unwrap();
    }

    #[tokio::test]
    async fn finds_socks_ports() {
        for (reply, expected) in [
            ("", vec![]),
            ("\"127.0.0.1:9050\"", vec![SocksPort::Tcp("127.0.0.1:9050".parse().unwrap())]),
            (
                "\"unix:/run/tor/socks\" \"[::1]:9150\"",
                vec![SocksPort::Unix("/run/tor/socks".into()), SocksPort::Tcp("[::1]:9150".parse().unwrap())],
            ),
        ] {
            let (mut tor, connection, _events) = Mock::connect();
            let reply = format!("250-net/listeners/socks={reply}\r\n250 OK\r\n");
            let talk = tor.answer("GETINFO net/listeners/socks\r\n", reply);
            let (found, ()) = join!(connection.socks_ports(), talk);
            assert_eq!(found.unwrap(), expected);
        }
    }
}
