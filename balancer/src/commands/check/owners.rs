//! Findings about the modes and owners of the configuration and of keys, by the signer's own rule. Nothing is
//! opened: a file that the caller may not look at is left to the signer.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Uid, User};
use onionbalance_proto::config::ConfigError;
use onionbalance_trust::{Trust, TrustError};

use super::finding::{Finding, Severity};
use crate::config::Configuration;

/// The user of the signer in the packaged units.
const USUAL_SIGNER: &str = "onionbalance-signer";

/// Read permission for everybody.
const OTHERS_READ: u32 = 0o004;

/// All findings about modes and owners.
pub(super) fn findings(configuration: &Configuration) -> Vec<Finding> {
    let config = configuration.contents();
    let path = configuration.path();
    let (starter, keeper) = signers(configuration);
    let about = |line_of: Option<&str>, text: String, severity| {
        let error = match line_of {
            Some(value) => ConfigError::about(configuration.text(), path, value, text),
            None => ConfigError { file: String::new(), line: None, what: text },
        };
        Finding { severity, ..Finding::error(error) }
    };
    let mut findings = Vec::new();
    let trust = starter.trust();
    if let Some((text, severity)) =
        judged(trust.find(path).and_then(|found| found.inspect()), starter.is_known)
    {
        findings.push(about(None, format!("this file {text}"), severity));
    }
    findings.extend(readable_passwords(configuration));
    let trust = keeper.trust().allowing_readers(config.signer_allow_readable_keys);
    for service in &config.services {
        let key = configuration.relative(Path::new(&service.key));
        let outcome = trust.find(&key).and_then(|found| {
            if !found.metadata().is_file() {
                return Err(io::Error::other(kind_of_key(&key)).into());
            }
            found.inspect_key()
        });
        if let Some((text, severity)) = judged(outcome, keeper.is_known) {
            findings.push(about(
                Some(&service.key),
                format!("the key file {} {text}", key.display()),
                severity,
            ));
        }
    }
    findings
}

/// The user whose files the signer trusts besides root's.
struct Judge {
    /// `None`: this process's own.
    user: Option<User>,
    /// False: another user may start the signer, so that owners are not certain.
    is_known: bool,
}

impl Judge {
    fn trust(&self) -> Trust {
        // The access list is that of an open file.
        let trust = || Trust::in_this_process(|_| Ok(Vec::new()));
        let in_user = self.user.as_ref().and_then(|user| trust().in_user(user).ok());
        in_user.unwrap_or_else(trust)
    }
}

/// The owners that the signer trusts besides root: first that of its configuration, which is the user that
/// starts it, then that of its keys.
fn signers(configuration: &Configuration) -> (Judge, Judge) {
    let config = configuration.contents();
    let of_name = |name: &str| User::from_name(name).ok().flatten();
    let root = User::from_uid(Uid::from_raw(0)).ok().flatten();
    if let Some(user) = config.signer_user.as_deref().and_then(of_name) {
        return (Judge { user: root, is_known: true }, Judge { user: Some(user), is_known: true });
    }
    let name = if config.signer_socket.is_some() { Some(USUAL_SIGNER) } else { config.user.as_deref() };
    let judge = || Judge { user: name.and_then(of_name), is_known: false };
    (judge(), judge())
}

/// The words and the weight of a judgement; `None` if there is nothing to report.
fn judged(outcome: Result<(), TrustError>, is_known: bool) -> Option<(String, Severity)> {
    let error = outcome.err()?;
    match &error {
        TrustError::Io(error) if error.kind() == io::ErrorKind::NotFound => {
            Some(("does not exist".to_owned(), Severity::Error))
        }
        TrustError::Io(error) if error.kind() == io::ErrorKind::Other => {
            Some((error.to_string(), Severity::Error))
        }
        TrustError::Io(_) => None,
        TrustError::Owner { .. } if !is_known => Some((error.to_string(), Severity::Warning)),
        _ => Some((error.to_string(), Severity::Error)),
    }
}

fn kind_of_key(path: &Path) -> &'static str {
    if path.is_dir() { "is a directory: name the file in it" } else { "is not a file" }
}

/// A warning if everybody can read passwords.
fn readable_passwords(configuration: &Configuration) -> Option<Finding> {
    let config = configuration.contents();
    let of_service = config.services.iter().any(|service| service.tor_control_password.is_some());
    let is_readable = configuration.path().metadata().ok()?.mode() & OTHERS_READ != 0;
    ((config.control_password.is_some() || of_service) && is_readable).then(|| Finding {
        severity: Severity::Warning,
        line: None,
        text: "this file has a password of tor's in it, and every user of this machine can read it"
            .to_owned(),
        remedy: Some("chmod o-r it".to_owned()),
    })
}
