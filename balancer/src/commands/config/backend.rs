//! The files for the machine of a backend.

use onionbalance_proto::config::Address;

use super::plan::{Backend, Service};
use crate::cli::HsVersion;

/// The lines of a backend's torrc. `directory` is its `HiddenServiceDir`.
fn lines(service: &Service, frontend: &Address, directory: &str) -> String {
    let (port, target) = (service.port, &service.target);
    let version = match frontend {
        Address::V2(_) => "HiddenServiceVersion 2",
        Address::V3(_) => "HiddenServiceOnionBalanceInstance 1",
    };
    format!("HiddenServiceDir {directory}\nHiddenServicePort {port} {target}\n{version}")
}

/// The torrc of a backend, in Debian's places.
pub(super) fn torrc(backend: &Backend, service: &Service, frontend: &Address) -> String {
    let name = &backend.name;
    let first = match frontend {
        Address::V2(_) => String::new(),
        Address::V3(_) => format!(
            "# The directory and the file ob_config in it, with this line, have to exist before tor reads these lines:\n\
             #     MasterOnionAddress {frontend}\n"
        ),
    };
    format!("{first}{}\n", lines(service, frontend, &format!("/var/lib/tor/{name}")))
}

/// The name of the file with tor's secret key in a `HiddenServiceDir`.
pub(super) fn key_file(version: HsVersion) -> &'static str {
    match version {
        HsVersion::V2 => "private_key",
        HsVersion::V3 => "hs_ed25519_secret_key",
    }
}

/// The script that makes a machine a backend.
pub(super) fn install(backend: &Backend, service: &Service, frontend: &Address) -> String {
    let ob_config = match frontend {
        Address::V2(_) => "",
        Address::V3(_) => include_str!("install/ob_config.sh"),
    };
    let version = match frontend {
        Address::V2(_) => HsVersion::V2,
        Address::V3(_) => HsVersion::V3,
    };
    let (key, own) = match &backend.address {
        Some(address) if backend.has_key => (
            include_str!("install/key.sh").replace("@KEY@", key_file(version)),
            include_str!("install/own.sh").replace("@ADDRESS@", &address.to_string()),
        ),
        _ => (String::new(), String::new()),
    };
    [
        include_str!("install/begin.sh"),
        &key,
        ob_config,
        &include_str!("install/end.sh").replace("@OWN@\n", &own),
    ]
    .concat()
    .replace("@TORRC@", &lines(service, frontend, "$DIRECTORY"))
    .replace("@NAME@", &backend.name)
    .replace("@FRONTEND@", &frontend.to_string())
}
