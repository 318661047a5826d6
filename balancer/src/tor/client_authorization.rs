//! Tor as a client of v2 services that authorize their clients.
//!
//! HSFETCH never yields such a descriptor: tor asks without a cookie and discards a descriptor that it cannot
//! open. The working way is to give tor the cookie (`HidServAuth`), to make it forget its descriptors
//! (`NEWNYM`), and to connect to the service through its SOCKS port: the descriptor then comes as an event,
//! still encrypted.

use super::command::Command;
use super::control::{Connection, ControlError};

/// Tor's option with one line for each service.
const OPTION: &str = "HidServAuth";

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
}

/// The address in a line of `HidServAuth`; `None` if there is none.
fn address(line: &str) -> Option<&str> {
    line.split(' ').next()
}

#[cfg(test)]
mod tests {
    use tokio::join;

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
}
