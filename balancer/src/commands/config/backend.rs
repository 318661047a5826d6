//! The files for the machine of a backend.

use onionbalance_proto::config::Address;

use super::plan::{Backend, Service};

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

/// The script that makes a machine a backend.
pub(super) fn install(backend: &Backend, service: &Service, frontend: &Address) -> String {
    let ob_config = match frontend {
        Address::V2(_) => "",
        Address::V3(_) => include_str!("install/ob_config.sh"),
    };
    [include_str!("install/begin.sh"), ob_config, include_str!("install/end.sh")]
        .concat()
        .replace("@TORRC@", &lines(service, frontend, "$DIRECTORY"))
        .replace("@NAME@", &backend.name)
        .replace("@FRONTEND@", &frontend.to_string())
}
