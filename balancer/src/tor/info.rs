//! The short commands: tor's state, its options, its events, and its activity.

use super::command::Command;
use super::control::{Connection, ControlError};
use super::data::lossy;
use super::event;
use super::reply::Message;

/// A key of `GETINFO`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InfoKey {
    /// The progress of tor's bootstrap.
    BootstrapPhase,
    /// `1` if tor knows enough relays to build circuits.
    EnoughDirInfo,
    /// The microdescriptor consensus, 3 MB. tor refuses (551) while it has none.
    Consensus,
    /// All microdescriptors, one after another, 5 MB.
    Microdescriptors,
    /// The router status of every relay, 3 MB.
    RouterStatuses,
    /// The time at which the consensus becomes valid.
    ValidAfter,
    /// The time at which the next one is due.
    FreshUntil,
    /// The time at which the consensus ceases to be valid.
    ValidUntil,
    /// `down` if tor has not heard from its network for some time, else `up`.
    NetworkLiveness,
    /// `0` if tor has no working circuit, else `1`.
    CircuitEstablished,
    /// The time since tor's start, in seconds. Tor before 0.3.5.1 refuses (552).
    Uptime,
}

impl InfoKey {
    fn as_str(self) -> &'static str {
        match self {
            Self::BootstrapPhase => "status/bootstrap-phase",
            Self::EnoughDirInfo => "status/enough-dir-info",
            Self::Consensus => "dir/status-vote/current/consensus-microdesc",
            Self::Microdescriptors => "md/all",
            Self::RouterStatuses => "ns/all",
            Self::ValidAfter => "consensus/valid-after",
            Self::FreshUntil => "consensus/fresh-until",
            Self::ValidUntil => "consensus/valid-until",
            Self::NetworkLiveness => "network-liveness",
            Self::CircuitEstablished => "status/circuit-established",
            Self::Uptime => "uptime",
        }
    }

    fn is_large(self) -> bool {
        matches!(self, Self::Consensus | Self::Microdescriptors | Self::RouterStatuses)
    }
}

impl Connection {
    /// Asks for several values at once; returns them in the order of `keys`. Bytes that are not UTF-8 are
    /// replaced.
    ///
    /// A text of several lines ends in LF, even if tor's own does not: the protocol cannot tell.
    ///
    /// # Errors
    /// Tor refuses a key, the reply lacks one, or the connection fails.
    pub async fn get_info<const N: usize>(&self, keys: [InfoKey; N]) -> Result<[String; N], ControlError> {
        Ok(self.get_documents(keys).await?.map(lossy))
    }

    /// The same as bytes. A document's digest is that of its bytes, and relays write parts of it.
    ///
    /// # Errors
    /// Tor refuses a key, the reply lacks one, or the connection fails.
    pub async fn get_documents<const N: usize>(
        &self,
        keys: [InfoKey; N],
    ) -> Result<[Vec<u8>; N], ControlError> {
        let mut command =
            keys.iter().fold(Command::new("GETINFO"), |command, key| command.words(key.as_str()));
        if keys.iter().any(|key| key.is_large()) {
            command = command.with_large_reply();
        }
        let mut message = self.call(command).await?;
        let mut values = [const { Vec::new() }; N];
        for (key, value) in keys.iter().zip(&mut values) {
            *value = take_value(&mut message, key.as_str())
                .ok_or_else(|| ControlError::unexpected("GETINFO", &message))?;
        }
        Ok(values)
    }

    /// True if tor's network is a testing network, where time periods last 24 voting intervals.
    ///
    /// # Errors
    /// The reply is not valid, or the connection fails.
    pub async fn is_testing_network(&self) -> Result<bool, ControlError> {
        const OPTION: &str = "TestingTorNetwork";
        let mut message = self.call(Command::new("GETCONF").words(OPTION)).await?;
        match take_value(&mut message, OPTION).as_deref() {
            Some(b"0") => Ok(false),
            Some(b"1") => Ok(true),
            _ => Err(ControlError::unexpected("GETCONF", &message)),
        }
    }

    /// Keeps tor from going dormant, as it does after `DormantClientTimeout` (24 hours) without client
    /// traffic.
    ///
    /// # Errors
    /// Tor does not know the signal (before 0.4.0.1), or the connection fails.
    pub async fn signal_active(&self) -> Result<(), ControlError> {
        self.call(Command::new("SIGNAL").words("ACTIVE")).await.map(drop)
    }

    /// Subscribes to the events of [`event`].
    pub(super) async fn set_events(&self) -> Result<(), ControlError> {
        self.call(Command::new("SETEVENTS").words(event::SUBSCRIBED)).await.map(drop)
    }
}

/// Takes the value of `KEY=`, which is on the line or in the data block that follows.
fn take_value(message: &mut Message, key: &str) -> Option<Vec<u8>> {
    message.lines.iter_mut().find_map(|line| {
        let value = line.text.strip_prefix(key)?.strip_prefix('=')?;
        Some(line.data.take().unwrap_or_else(|| value.as_bytes().to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use tokio::join;

    use super::*;
    use crate::tor::mock::{Mock, error_text};

    #[tokio::test]
    async fn returns_values_in_the_order_of_the_keys() {
        let (mut tor, connection, _events) = Mock::connect();
        let reply = "250-status/enough-dir-info=1\r\n250+md/all=\r\na=b\r\n..c\r\n.\r\n250 OK\r\n";
        let talk = tor.answer("GETINFO md/all status/enough-dir-info\r\n", reply);
        let keys = [InfoKey::Microdescriptors, InfoKey::EnoughDirInfo];
        let (values, ()) = join!(connection.get_info(keys), talk);
        assert_eq!(values.unwrap(), ["a=b\n.c\n", "1"]);
    }

    #[tokio::test]
    async fn a_missing_value_is_an_error() {
        let (mut tor, connection, _events) = Mock::connect();
        let talk = tor.answer("GETINFO md/all\r\n", "250-md/allx=\r\n250 OK\r\n");
        let (values, ()) = join!(connection.get_info([InfoKey::Microdescriptors]), talk);
        assert_eq!(error_text(values), "tor's reply to GETINFO is not valid: md/allx=");
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_reply_has_more_time() {
        let (_tor, connection, _events) = Mock::connect();
        let error = error_text(connection.get_info([InfoKey::EnoughDirInfo, InfoKey::Consensus]).await);
        assert_eq!(error, "tor did not answer GETINFO within 60 s");
    }

    #[tokio::test]
    async fn reads_a_setting() {
        for (reply, expected) in [("=0", Some(false)), ("=1", Some(true)), ("", None), ("=x", None)] {
            let (mut tor, connection, _events) = Mock::connect();
            let talk =
                tor.answer("GETCONF TestingTorNetwork\r\n", format!("250 TestingTorNetwork{reply}\r\n"));
            let (testing, ()) = join!(connection.is_testing_network(), talk);
            assert_eq!(testing.ok(), expected, "{reply}");
        }
    }
}
