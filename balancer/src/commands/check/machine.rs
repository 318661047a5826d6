//! Findings about this machine: users that the file names, and the places of sockets and files.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

use nix::unistd::{Group, Uid, User};
use onionbalance_process::directory_of;
use onionbalance_proto::config::{AllowedUser, METRICS_LISTEN, line_of_key};

use super::finding::{Finding, Severity};
use crate::cli::Stage;
use crate::config::Configuration;

/// Places that systemd fills when a unit starts, so that nothing there can be missed before. The last one is
/// the `StateDirectory=` of the units in `packaging/`.
const AT_RUN_TIME: [&str; 3] = ["/run", "/var/run", "/var/lib/onionbalance"];

/// The key with the users that may connect to the signer.
const ALLOWED_USERS: &str = "signer-allowed-uids";

/// The remedy for a name in it that is unknown.
const NO_USER: &str = "install the package, or give a numeric uid";

/// All findings about the machine.
pub(super) fn findings(configuration: &Configuration, stage: Stage) -> Vec<Finding> {
    let mut findings = users(configuration, stage);
    findings.extend(places(configuration));
    findings
}

fn users(configuration: &Configuration, stage: Stage) -> Vec<Finding> {
    let config = configuration.contents();
    let named = [("user", &config.user), ("signer-user", &config.signer_user)];
    let named = named.into_iter().filter_map(|(key, name)| Some((key, name.as_deref()?)));
    let missing = named.filter(|(_, name)| matches!(User::from_name(name), Ok(None))).map(|(key, name)| {
        let text = format!("there is no user {name}");
        let remedy = format!("make one (useradd --system {name}), or name another");
        Finding::of_key(Severity::Error, configuration, key, &text, &remedy)
    });
    let allowed = config.signer_allowed_users.iter().filter(|_| stage == Stage::Installed);
    let unknown = allowed.filter_map(|user| unknown(configuration, user));
    missing.chain(unknown).chain(refused(configuration)).chain(unknown_group(configuration)).collect()
}

/// An error if this machine does not know the group that may read the status.
fn unknown_group(configuration: &Configuration) -> Option<Finding> {
    let name = configuration.contents().status_socket_group.as_deref()?;
    if !matches!(Group::from_name(name), Ok(None)) {
        return None;
    }
    let text = format!("there is no group {name}");
    let remedy = format!("make it (groupadd --system {name}), or name another");
    Some(Finding::of_key(Severity::Error, configuration, "status-socket-group", &text, &remedy))
}

/// A finding if this machine does not know a user that may connect to the signer.
fn unknown(configuration: &Configuration, user: &AllowedUser) -> Option<Finding> {
    let (severity, text, remedy) = match user {
        AllowedUser::Uid(uid) if matches!(User::from_uid(Uid::from_raw(*uid)), Ok(None)) => (
            Severity::Warning,
            format!("there is no user with the uid {uid}"),
            "list what `id -u` prints for onionbalance's user",
        ),
        AllowedUser::Name(name) if matches!(User::from_name(name), Ok(None)) => {
            (Severity::Error, format!("there is no user {name}"), NO_USER)
        }
        _ => return None,
    };
    Some(Finding::of_key(severity, configuration, ALLOWED_USERS, &text, remedy))
}

/// True if the file allows this user to connect to the signer.
fn is_allowed(configuration: &Configuration, user: &User) -> bool {
    configuration.contents().signer_allowed_users.iter().any(|allowed| match allowed {
        AllowedUser::Uid(uid) => *uid == user.uid.as_raw(),
        AllowedUser::Name(name) => *name == user.name,
    })
}

/// A warning if the signer would not accept the user that onionbalance becomes.
fn refused(configuration: &Configuration) -> Option<Finding> {
    let config = configuration.contents();
    let user = User::from_name(config.user.as_deref()?).ok()??;
    let is_own = user.uid.is_root() || config.user == config.signer_user;
    if config.signer_socket.is_none() || is_own || is_allowed(configuration, &user) {
        return None;
    }
    let text = format!("the user {} (uid {}) is not listed: the signer refuses it", user.name, user.uid);
    let remedy = format!("add {} to {ALLOWED_USERS}", user.name);
    let key = if config.signer_allowed_users.is_empty() { "user" } else { ALLOWED_USERS };
    Some(Finding::of_key(Severity::Warning, configuration, key, &text, &remedy))
}

/// A file or socket that a program creates.
struct Place {
    key: &'static str,
    path: PathBuf,
    is_socket: bool,
    /// The weight of a place that cannot be created.
    severity: Severity,
}

fn places(configuration: &Configuration) -> Vec<Finding> {
    use Severity::{Error, Warning};
    let config = configuration.contents();
    let metrics = configuration.metrics_socket();
    let named = [
        ("status-socket-location", config.status_socket.as_deref(), true, Error),
        ("control-socket-location", config.control_socket.as_deref(), true, Error),
        (METRICS_LISTEN, metrics.as_deref(), true, Error),
        // The balancer runs without this one, as 0.1.8 did.
        ("STATUS_SOCKET_LOCATION", config.status_text_socket.as_deref(), true, Warning),
        ("signer-socket-location", config.signer_socket.as_deref(), true, Warning),
        ("state-file-location", config.state_file.as_deref(), false, Warning),
        ("LOG_LOCATION", config.log.location.as_deref(), false, Error),
    ];
    let places: Vec<Place> = named
        .into_iter()
        .filter_map(|(key, path, is_socket, severity)| {
            Some(Place { key, path: configuration.relative(path?), is_socket, severity })
        })
        .collect();
    // The signer's socket is nothing that the balancer writes.
    let written = places.iter().filter(|place| place.key != "signer-socket-location");
    let precious = written.filter_map(|place| {
        let error = configuration.check_written([place.path.as_path()]).err()?;
        let line = line_of_key(configuration.text(), place.key).or(error.line);
        Some(Finding { line, ..Finding::error(error) })
    });
    places.iter().filter_map(|place| place.finding(configuration)).chain(precious).collect()
}

impl Place {
    /// The reason for which nothing can be created here; `None` if there is none that the caller can see.
    fn finding(&self, configuration: &Configuration) -> Option<Finding> {
        let directory = directory_of(&self.path);
        let found = |severity, text: &str, remedy: &str| {
            Some(Finding::of_key(severity, configuration, self.key, text, remedy))
        };
        match fs::metadata(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if AT_RUN_TIME.iter().any(|place| directory.starts_with(place)) {
                    return None;
                }
                let remedy = "create it for the user that writes there, or name another place";
                found(self.severity, &format!("there is no directory {}", directory.display()), remedy)
            }
            Ok(metadata) if !metadata.is_dir() => found(
                self.severity,
                &format!("{} is not a directory", directory.display()),
                "name another place",
            ),
            // One who may not look finds nothing.
            _ => self.occupied().and_then(|text| found(self.severity, &text, "name another place")),
        }
    }

    fn occupied(&self) -> Option<String> {
        let kind = fs::symlink_metadata(&self.path).ok()?.file_type();
        let fits = if self.is_socket { kind.is_socket() } else { !kind.is_dir() };
        (!fits).then(|| {
            let wanted = if self.is_socket { "a socket" } else { "a file" };
            format!("{} exists and is not {wanted}", self.path.display())
        })
    }
}
