//! The tors: each is reached, accepts us, and is ready.

use std::time::Duration;

use rand_core::{OsRng, RngCore};
use tokio::time::timeout;

use super::row::{Row, Verdict};
use crate::network::Version;
use crate::tor::carrier::Link;
use crate::tor::event::Bootstrap;
use crate::tor::session::Gate;
use crate::tor::{ControlError, Greeting, InfoKey, Session, SessionError, TorVersion};

/// The longest wait for one tor.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The remedy for a tor that is not ready.
const WAIT: &str = "wait for it: a tor that has just been started takes a minute";

const SUBJECT: &str = "tor";

/// Asks one tor. Returns its session if it is ready for work with onion services of this version.
pub(super) async fn ask(link: &Link, version: Version) -> (Row, Option<Session>) {
    let asked = async {
        let (session, place) = enter(link, version).await?;
        let keys = [InfoKey::BootstrapPhase, InfoKey::EnoughDirInfo];
        let [phase, enough] = session.connection.get_info(keys).await?;
        let bootstrap = Bootstrap::parse(&phase);
        let bootstrap = bootstrap.ok_or(ControlError::Unexpected { command: "GETINFO", text: phase })?;
        Ok((session, place, bootstrap, enough == "1"))
    };
    match timeout(ANSWER_WITHIN, asked).await {
        Ok(Ok((session, place, bootstrap, knows_enough))) => {
            let row = judge(&place, session.version, &bootstrap, knows_enough);
            let is_ready = row.verdict == Verdict::Ok;
            (row, is_ready.then_some(session))
        }
        Ok(Err(error)) => (refused(&error), None),
        Err(_) => {
            let text = format!("{link} did not answer within {} s", ANSWER_WITHIN.as_secs());
            (Row::new(Verdict::Error, SUBJECT, text), None)
        }
    }
}

/// A session at the first endpoint that accepts us, and that endpoint. If none does: the error that most
/// needs a person.
async fn enter(link: &Link, version: Version) -> Result<(Session, String), SessionError> {
    let gate: Gate = match version {
        Version::V2 => TorVersion::check_v2,
        Version::V3 => TorVersion::check_v3,
    };
    let mut failure: Option<SessionError> = None;
    for endpoint in &link.endpoints {
        let entering = async {
            let mut nonce = [0; 32];
            OsRng.fill_bytes(&mut nonce);
            Greeting::receive(endpoint, gate, false).await?.enter(link.password.as_ref(), &nonce).await
        };
        match entering.await {
            Ok(session) => return Ok((session, endpoint.to_string())),
            Err(error) => {
                failure = Some(match failure {
                    Some(earlier) => earlier.or(error),
                    None => error,
                });
            }
        }
    }
    Err(failure.unwrap_or_else(|| SessionError::Connect(Vec::new())))
}

fn judge(place: &str, version: TorVersion, bootstrap: &Bootstrap, knows_enough: bool) -> Row {
    let Bootstrap { percent, summary } = bootstrap;
    let text = format!("{place}, {version}, bootstrapped {percent} %");
    if *percent < 100 {
        Row::new(Verdict::Error, SUBJECT, format!("{text}: {summary}")).with_details([WAIT])
    } else if knows_enough {
        Row::new(Verdict::Ok, SUBJECT, text)
    } else {
        Row::new(Verdict::Error, SUBJECT, format!("{text}, but it knows too few relays")).with_details([WAIT])
    }
}

fn refused(error: &SessionError) -> Row {
    let verdict = if error.is_denied() { Verdict::Unknown } else { Verdict::Error };
    Row::of_error(verdict, SUBJECT, &error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tor_that_is_not_ready_has_its_reason() {
        let judged = |percent, summary: &str, knows_enough| {
            let bootstrap = Bootstrap { percent, summary: summary.to_owned() };
            let row = judge("unix:/control", TorVersion([0, 4, 9, 11]), &bootstrap, knows_enough);
            (row.verdict, row.text)
        };
        let text = |rest: &str| format!("unix:/control, 0.4.9.11, bootstrapped {rest}");
        assert_eq!(judged(100, "Done", true), (Verdict::Ok, text("100 %")));
        assert_eq!(judged(45, "Asking for relays", true), (Verdict::Error, text("45 %: Asking for relays")));
        assert_eq!(judged(100, "Done", false), (Verdict::Error, text("100 %, but it knows too few relays")));
    }
}
