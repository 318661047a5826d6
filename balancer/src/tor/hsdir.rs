//! The commands for descriptors on HSDirs: HSFETCH and HSPOST.
//!
//! Both are given their HSDirs. Without, tor would ask a random one and none twice in 15 minutes, and would
//! post to the HSDirs of one time period only.

use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::v3;

use super::command::Command;
use super::control::{Connection, ControlError};
use super::lookup::Lookup;

/// The reason for which HSFETCH was refused; nothing was fetched.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HsFetchError {
    /// The relay is not in tor's consensus.
    #[error("tor does not know the HSDir {0}: it has another consensus")]
    UnknownServer(Fingerprint),
    /// Another refusal, or a failure of the connection.
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// The reason for which HSPOST was refused; nothing was posted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HsPostError {
    /// Tor decodes a descriptor like an HSDir before it uploads it, and failed (554).
    #[error("tor cannot decode the descriptor")]
    InvalidDescriptor,
    /// Tor does not accept the address (512).
    #[error("tor does not accept the onion address")]
    MalformedAddress,
    /// Tor cannot carry the command out (551).
    #[error("tor cannot post the descriptor: {0}")]
    CannotPost(String),
    /// Another refusal, or a failure of the connection.
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// The outcome of an HSPOST.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Posted {
    /// The HSDirs to which tor uploads; each has an event later, unless its circuit fails.
    pub queued: Vec<Fingerprint>,
    /// The HSDirs that are not in tor's consensus.
    pub unknown: Vec<Fingerprint>,
}

impl Connection {
    /// Asks each of `servers` for a descriptor. The answers are events; if a circuit fails there is none.
    /// Without servers nothing is asked.
    ///
    /// # Errors
    /// A server is not in tor's consensus, tor refuses the command, or the connection fails.
    pub async fn hs_fetch(&self, lookup: &Lookup, servers: &[Fingerprint]) -> Result<(), HsFetchError> {
        if servers.is_empty() {
            return Ok(());
        }
        match self.call(Command::new("HSFETCH").lookup(lookup).servers(servers)).await {
            Ok(_) => Ok(()),
            Err(error) => Err(match unknown_server(&error) {
                Some(server) => HsFetchError::UnknownServer(server),
                None => error.into(),
            }),
        }
    }

    /// Uploads a descriptor to each of `servers` that tor knows. `address` is the service's for version 3,
    /// and `None` for version 2: it tells tor the version of the descriptor.
    ///
    /// # Errors
    /// Tor refuses the descriptor or the command, or the connection fails.
    pub async fn hs_post(
        &self,
        address: Option<&v3::OnionAddress>,
        servers: &[Fingerprint],
        descriptor: &str,
    ) -> Result<Posted, HsPostError> {
        let mut posted = Posted { queued: servers.to_vec(), unknown: Vec::new() };
        while !posted.queued.is_empty() {
            let mut command = Command::new("HSPOST").servers(&posted.queued).data(descriptor);
            if let Some(address) = address {
                command = command.hs_address(address);
            }
            let Err(error) = self.call(command).await else { break };
            // Tor names the first server that it does not know, and posts to none.
            match unknown_server(&error) {
                Some(server) if posted.queued.contains(&server) => {
                    posted.queued.retain(|queued| *queued != server);
                    posted.unknown.push(server);
                }
                _ => return Err(refusal(error)),
            }
        }
        Ok(posted)
    }
}

/// The relay in `552 Server "…" not found`. Tor before 0.3.3 also refused relays without the flag.
fn unknown_server(error: &ControlError) -> Option<Fingerprint> {
    let ControlError::Refused { status: 552, text, .. } = error else { return None };
    let (server, why) = text.strip_prefix("Server \"")?.split_once("\" ")?;
    matches!(why, "not found" | "is not a HSDir").then_some(server)?.parse().ok()
}

fn refusal(error: ControlError) -> HsPostError {
    match error {
        ControlError::Refused { status: 554, .. } => HsPostError::InvalidDescriptor,
        ControlError::Refused { status: 512, .. } => HsPostError::MalformedAddress,
        ControlError::Refused { status: 551, text, .. } => HsPostError::CannotPost(text),
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::join;

    use super::*;
    use crate::tor::mock::{Mock, error_text};

    const ADDRESS: &str = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid";

    fn address() -> v3::OnionAddress {
        ADDRESS.parse().unwrap()
    }

    fn lookup() -> Lookup {
        Lookup::V3(address())
    }

    fn hsdirs<const N: usize>(first_bytes: [u8; N]) -> [Fingerprint; N] {
        first_bytes.map(|byte| Fingerprint([byte; 20]))
    }

    fn post(servers: &[Fingerprint]) -> String {
        let servers: Vec<_> = servers.iter().map(|server| format!("SERVER={server}")).collect();
        format!("+HSPOST {} HSADDRESS={ADDRESS}\r\nhs-descriptor 3\r\n.\r\n", servers.join(" "))
    }

    async fn try_post(connection: &Connection, servers: &[Fingerprint]) -> Result<Posted, HsPostError> {
        connection.hs_post(Some(&address()), servers, "hs-descriptor 3\n").await
    }

    fn not_found(server: Fingerprint) -> String {
        format!("552 Server \"{server}\" not found\r\n")
    }

    #[tokio::test]
    async fn fetches_from_the_servers_named() {
        let [a, b] = hsdirs([1, 2]);
        let (mut tor, connection, _events) = Mock::connect();
        let command = format!("HSFETCH {ADDRESS} SERVER={a} SERVER={b}\r\n");
        let talk = async {
            tor.answer(&command, "250 OK\r\n").await;
            tor.answer(&command, not_found(b)).await;
        };
        let fetches = async {
            let servers = [a, b];
            (connection.hs_fetch(&lookup(), &servers).await, connection.hs_fetch(&lookup(), &servers).await)
        };
        let ((accepted, refused), ()) = join!(fetches, talk);
        accepted.unwrap();
        assert!(matches!(refused, Err(HsFetchError::UnknownServer(server)) if server == b));
    }

    #[tokio::test]
    async fn posts_to_all_that_tor_knows() {
        let servers @ [a, b, c] = hsdirs([1, 2, 3]);
        let (mut tor, connection, _events) = Mock::connect();
        let talk = async {
            tor.answer(post(&servers), not_found(c)).await;
            tor.answer(post(&[a, b]), not_found(a)).await;
            tor.answer(post(&[b]), "250 OK\r\n").await;
        };
        let (posted, ()) = join!(try_post(&connection, &servers), talk);
        assert_eq!(posted.unwrap(), Posted { queued: vec![b], unknown: vec![c, a] });
    }

    #[tokio::test]
    async fn version_2_has_no_address() {
        let [a, b] = hsdirs([1, 2]);
        let (mut tor, connection, _events) = Mock::connect();
        let talk = async {
            let block = "rendezvous-service-descriptor\r\n.\r\n";
            tor.answer(
                format!("+HSPOST SERVER={a} SERVER={b}\r\n{block}"),
                format!("552 Server \"{b}\" is not a HSDir\r\n"),
            )
            .await;
            tor.answer(format!("+HSPOST SERVER={a}\r\n{block}"), "250 OK\r\n").await;
        };
        let servers = [a, b];
        let post = connection.hs_post(None, &servers, "rendezvous-service-descriptor\n");
        let (posted, ()) = join!(post, talk);
        assert_eq!(posted.unwrap(), Posted { queued: vec![a], unknown: vec![b] });
    }

    #[tokio::test]
    async fn never_leaves_the_choice_to_tor() {
        let servers @ [a] = hsdirs([1]);
        let (mut tor, connection, _events) = Mock::connect();
        connection.hs_fetch(&lookup(), &[]).await.unwrap();
        let talk = tor.answer(post(&servers), not_found(a));
        let (posted, ()) = join!(try_post(&connection, &servers), talk);
        assert_eq!(posted.unwrap(), Posted { queued: vec![], unknown: vec![a] });
        drop(connection);
        tor.expect_end().await;
    }

    #[tokio::test]
    async fn tells_refusals_apart() {
        let servers @ [_] = hsdirs([1]);
        let [stranger] = hsdirs([9]);
        for (reply, text) in [
            ("554 Invalid descriptor\r\n".to_owned(), "tor cannot decode the descriptor"),
            ("512 Malformed onion address\r\n".to_owned(), "tor does not accept the onion address"),
            ("551 Why not\r\n".to_owned(), "tor cannot post the descriptor: Why not"),
            ("510 Unrecognized command\r\n".to_owned(), "tor refused HSPOST: 510 Unrecognized command"),
            (not_found(stranger), "tor refused HSPOST: 552 Server"),
        ] {
            let (mut tor, connection, _events) = Mock::connect();
            let talk = tor.answer(post(&servers), reply);
            let (posted, ()) = join!(try_post(&connection, &servers), talk);
            let error = error_text(posted);
            assert!(error.starts_with(text), "{error}");
        }
    }
}
