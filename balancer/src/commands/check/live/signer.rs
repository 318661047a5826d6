//! The signer: it answers, holds every key, and allows every backend.

use std::io;
use std::time::Duration;

use onionbalance_proto::config::Service;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::wire::HeldService;
use tokio::time::timeout;

use super::row::{Row, Verdict};
use crate::age::Age;
use crate::config::{Configuration, Frontends};
use crate::signer::{SignerClient, SignerError, SignerPlace};
use crate::status::DELEGATION_ENDS_SOON;

/// The longest wait for the signer's answer. One that is started here may ask a person for a passphrase.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// The longest wait for the end of a signer that was started here.
const END_WITHIN: Duration = Duration::from_secs(5);

/// The outcome of the questions to the signer.
pub(super) struct Answer {
    pub(super) rows: Vec<Row>,
    /// The services that it holds; empty if it did not answer.
    pub(super) held: Vec<HeldService>,
}

/// Asks the signer for its services, and compares them with the configuration.
pub(super) async fn ask(configuration: &Configuration) -> Answer {
    let place = configuration.signer();
    let mut client = SignerClient::new(place.clone());
    let answer = timeout(ANSWER_WITHIN, client.services()).await;
    let version = client.version().unwrap_or_default().to_owned();
    let child = client.take_child();
    drop(client);
    if let Some(mut child) = child {
        // It ends with the connection, and its last words come before ours.
        let _ = timeout(END_WITHIN, child.ended()).await;
    }
    match answer {
        Ok(Ok(held)) => {
            let rows = judge(configuration, &place, &version, &held, onionbalance_process::now());
            Answer { rows, held }
        }
        Ok(Err(error)) => Answer { rows: vec![unanswered(&error)], held: Vec::new() },
        Err(_) => {
            let text = format!("it did not answer within {} s", ANSWER_WITHIN.as_secs());
            Answer { rows: vec![Row::new(Verdict::Unknown, SUBJECT, text)], held: Vec::new() }
        }
    }
}

const SUBJECT: &str = "signer";

fn unanswered(error: &SignerError) -> Row {
    let verdict = match error {
        SignerError::Connect { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            Verdict::Unknown
        }
        // It closes the connections of users that it does not serve.
        SignerError::Closed(_) | SignerError::Changing => Verdict::Unknown,
        _ => Verdict::Error,
    };
    let row = Row::of_error(verdict, SUBJECT, &error.to_string());
    match error {
        SignerError::Closed(_) => {
            row.with_details(["it answers root, its own user, and those in signer-allowed-uids"])
        }
        _ => row,
    }
}

/// Judges the services that the signer holds.
fn judge(
    configuration: &Configuration,
    place: &SignerPlace,
    version: &str,
    held: &[HeldService],
    now: UnixTime,
) -> Vec<Row> {
    let place = match place {
        SignerPlace::Socket(path) => path.display().to_string(),
        SignerPlace::Child(_) => "started by onionbalance".to_owned(),
    };
    let services = &configuration.contents().services;
    let has_key = |service: &&Service| held.iter().any(|held| held.key() == service.key);
    let keys = services.iter().filter(has_key).count();
    let noun = if services.len() == 1 { "key" } else { "keys" };
    let text = format!("{place}, {version}, has {keys} of {} {noun}", services.len());
    let left_out = match configuration.frontends(held) {
        Ok(Frontends { left_out, .. }) => left_out,
        Err(error) => vec![error],
    };
    let is_complete = keys == services.len();
    let mut rows = vec![Row::new(if is_complete { Verdict::Ok } else { Verdict::Error }, SUBJECT, text)];
    rows.extend(left_out.iter().map(|error| Row::about(Verdict::Error, SUBJECT, error)));
    let excess = configuration.excess(held);
    rows.extend(excess.iter().map(|error| Row::about(Verdict::Warning, SUBJECT, error)));
    rows.extend(held.iter().filter_map(|held| delegation(held, now)));
    rows
}

/// The end of a delegation; `None` if the signer has the key itself.
fn delegation(held: &HeldService, now: UnixTime) -> Option<Row> {
    let HeldService::V3 { held, delegation_ends: Some(end) } = held else { return None };
    let left = Duration::from_secs(end.since(now));
    let verdict = match left {
        Duration::ZERO => Verdict::Error,
        _ if left < DELEGATION_ENDS_SOON => Verdict::Warning,
        _ => Verdict::Ok,
    };
    let text = match verdict {
        Verdict::Error => format!("{} ended at {}", held.key, end.rfc3339()),
        _ => format!("{} ends in {}, at {}", held.key, Age(left), end.rfc3339()),
    };
    let remedy = (verdict != Verdict::Ok).then_some("make the next one: onionbalance-key delegate");
    Some(Row::new(verdict, "delegation", text).with_details(remedy))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use onionbalance_proto::wire::Held;

    use super::*;

    const FRONT: &str = "y47iqrgrj4fevtx4qompslfl36qug5jcflkl43xnhbxrqxvizqym5rad";
    const BACKEND: &str = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid";
    const DAY: u64 = 24 * 3600;

    #[test]
    fn each_entry_that_the_signer_lacks_has_a_row() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config.yaml");
        let service = |key: &str| format!("- key: {key}\n  instances:\n  - address: {BACKEND}\n");
        fs::write(&file, format!("services:\n{}{}", service("one.key"), service("two.key"))).unwrap();
        let configuration = Configuration::read(&file).unwrap();
        let held = Held { key: "one.key".into(), address: FRONT.parse().unwrap(), backends: Vec::new() };
        let held = HeldService::V3 { held, delegation_ends: Some(UnixTime(10 * DAY)) };
        let place = SignerPlace::Socket("/signer".into());
        let judged = |now| {
            let rows =
                judge(&configuration, &place, "1.0.0", std::slice::from_ref(&held), UnixTime(now * DAY));
            rows.into_iter().map(|row| (row.verdict, row.line, row.text)).collect::<Vec<_>>()
        };
        let rows = judged(1);
        assert_eq!(rows[0], (Verdict::Error, None, "/signer, 1.0.0, has 1 of 2 keys".into()));
        assert_eq!((rows[1].0, rows[1].1), (Verdict::Error, Some(2)));
        assert!(rows[1].2.starts_with(&format!("the signer does not know {BACKEND}.onion as a backend of ")));
        assert_eq!((rows[2].0, rows[2].1), (Verdict::Error, Some(5)));
        assert!(rows[2].2.starts_with("the signer does not hold the key two.key: "));
        assert_eq!(rows[3], (Verdict::Ok, None, "one.key ends in 9 d, at 1970-01-11T00:00:00Z".into()));
        assert_eq!(judged(8)[3].0, Verdict::Warning);
        assert_eq!(judged(11)[3], (Verdict::Error, None, "one.key ended at 1970-01-11T00:00:00Z".into()));
    }

    #[test]
    fn a_signer_that_may_serve_others_is_not_judged() {
        let denied =
            SignerError::Connect { path: "/signer".into(), source: io::ErrorKind::PermissionDenied.into() };
        let row = unanswered(&denied);
        assert_eq!(row.verdict, Verdict::Unknown);
        assert_eq!(row.details, ["add this user to the group of the signer's socket"]);
        assert_eq!(
            unanswered(&SignerError::Closed(io::ErrorKind::UnexpectedEof.into())).verdict,
            Verdict::Unknown
        );
        assert_eq!(unanswered(&SignerError::NotReady("no key".into())).verdict, Verdict::Error);
    }
}
