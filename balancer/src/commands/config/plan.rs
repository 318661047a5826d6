//! The deployment that is to be set up, and the rules for its names.

use std::collections::HashSet;
use std::fmt::Display;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::str::FromStr;

use onionbalance_proto::config::{Address, Name};

use super::Problem;
use crate::cli::HsVersion;

/// The most backends of one service, and the most services.
pub(super) const MAX: u16 = 100;

/// A deployment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Plan {
    /// The directory to write.
    pub(super) output: PathBuf,
    pub(super) version: HsVersion,
    pub(super) form: Form,
    pub(super) protection: Protection,
    /// True: the keys of backends without an address are made here.
    pub(super) makes_backend_keys: bool,
    pub(super) services: Vec<Service>,
}

/// The way in which the programs run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    /// As two users, under the units for systemd.
    Units,
    /// As the user who starts the balancer, which starts the signer.
    FirstTry,
}

/// The protection of a key file besides its mode.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Protection {
    /// None.
    Plain,
    /// Encryption; `onionbalance-key` asks for the passphrase.
    Asked,
    /// Encryption with the passphrase in this file.
    File(PathBuf),
}

/// A service of a deployment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Service {
    pub(super) name: String,
    /// The file or directory with its key; `None`: a new key is made.
    pub(super) key: Option<PathBuf>,
    pub(super) backends: Vec<Backend>,
    /// The port that visitors use.
    pub(super) port: NonZeroU16,
    /// The place to which each backend's tor passes visitors.
    pub(super) target: String,
}

/// A backend of a service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Backend {
    pub(super) name: String,
    /// `None`: its tor has not made it yet.
    pub(super) address: Option<Address>,
    /// True: its key is in its directory of the tree.
    pub(super) has_key: bool,
}

impl Plan {
    /// Fails if two backends have one name: each has a directory of its own.
    pub(super) fn check(&self) -> Result<(), Problem> {
        let mut names = HashSet::new();
        let backends = self.services.iter().flat_map(|service| &service.backends);
        for name in backends.map(|backend| &backend.name) {
            if !names.insert(name.to_lowercase()) {
                return Err(Problem::new(format_args!(
                    "two backends have the name {name}: name one of them otherwise"
                )));
            }
        }
        Ok(())
    }

    /// True if the key of a backend is in the tree.
    pub(super) fn has_backend_keys(&self) -> bool {
        self.services.iter().flat_map(|service| &service.backends).any(|backend| backend.has_key)
    }

    /// True if the address of each backend is known.
    pub(super) fn has_all_addresses(&self) -> bool {
        self.services.iter().flat_map(|service| &service.backends).all(|backend| backend.address.is_some())
    }
}

/// The name of the service with this number, from 1 on, if there are `count` of them and none is given.
pub(super) fn service_name(tag: &str, number: u16, count: u16) -> String {
    if count == 1 { tag.to_owned() } else { format!("{tag}-{number}") }
}

/// Backends of the service `service` in this number.
pub(super) fn backends(service: &str, count: u16) -> Vec<Backend> {
    let between = if service.ends_with(|last: char| last.is_ascii_digit()) { "-" } else { "" };
    (1..=count)
        .map(|number| Backend { name: format!("{service}{between}{number}"), address: None, has_key: false })
        .collect()
}

/// Reads a list of backends, or their number. Fails if a part of the list is not a backend.
pub(super) fn read_backends(service: &str, text: &str) -> Result<Vec<Backend>, Problem> {
    match text.parse::<u16>() {
        Ok(number @ 1..=MAX) => Ok(backends(service, number)),
        Ok(_) => Err(Problem::new(format_args!("write a number from 1 to {MAX}"))),
        Err(_) => text.split(',').map(|part| part.trim().parse()).collect(),
    }
}

impl FromStr for Backend {
    type Err = Problem;

    /// Reads `NAME` or `NAME=ADDRESS`. Fails if either is not valid.
    fn from_str(text: &str) -> Result<Self, Problem> {
        let (name, address) = match text.split_once('=') {
            Some((name, address)) => (name, Some(address)),
            None => (text, None),
        };
        let address = address.map(|address| {
            address.parse::<Address>().map_err(|error| Problem::new(format_args!("{name}: {error}")))
        });
        Ok(Self { name: read_name(name)?, address: address.transpose()?, has_key: false })
    }
}

/// Reads a name. Fails if it cannot be a file's name, or needs quotes in a script or in YAML.
pub(super) fn read_name(text: &str) -> Result<String, Problem> {
    let problem = |what: &dyn Display| Problem::new(format_args!("`{text}`: {what}"));
    text.parse::<Name>().map_err(|error| problem(&error))?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !text.bytes().all(is_plain) || !text.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return Err(problem(&"a name begins with a letter and has letters, digits, - _ and . only"));
    }
    // YAML 1.1 has these for something else than text.
    if ["y", "n", "yes", "no", "on", "off", "true", "false", "null"].contains(&text.to_lowercase().as_str()) {
        return Err(problem(&"YAML has another meaning for this word"));
    }
    Ok(text.to_owned())
}

/// Reads a port that visitors use. Fails if it is none.
pub(super) fn read_port(text: &str) -> Result<NonZeroU16, Problem> {
    text.parse().map_err(|_| Problem::new("write a port, from 1 to 65535"))
}

/// Reads the target of tor's `HiddenServicePort`: a port, `HOST:PORT`, or `unix:PATH` (tor(1)). Fails for
/// another text.
pub(super) fn read_target(text: &str) -> Result<String, Problem> {
    let is_path = text.strip_prefix("unix:/").is_some_and(|rest| !rest.is_empty());
    let port = text.rsplit_once(':').map_or(text, |(_, port)| port);
    let is_word = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'\\$`#".contains(&byte));
    if is_word && (is_path || read_port(port).is_ok()) {
        Ok(text.to_owned())
    } else {
        Err(Problem::new(format_args!("`{text}`: write ADDRESS:PORT or unix:/PATH")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_everywhere() {
        for name in ["web1", "eu-west.3", "A_b"] {
            assert_eq!(read_name(name).unwrap(), name);
        }
        for name in ["", "1", "-x", ".", "..", "a b", "a/b", "a$b", "a'b", "yes", "NULL", "ü", "x.onion"] {
            assert!(read_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn backends_are_a_number_or_a_list() {
        let names = |text: &str| {
            let read = read_backends("web", text).map_err(|problem| problem.to_string())?;
            Ok::<_, String>(read.into_iter().map(|backend| backend.name).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(names("3").unwrap(), "web1 web2 web3");
        assert_eq!(names("one, two").unwrap(), "one two");
        let address = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid.onion";
        let [one, two] = &read_backends("web", &format!("one={address},two")).unwrap()[..] else { panic!() };
        assert_eq!(one.address.as_ref().unwrap().to_string(), address);
        assert_eq!(two.address, None);
        for (text, wanted) in [
            ("0", "from 1 to 100"),
            ("101", "from 1 to 100"),
            ("one,", "a name has at least one character"),
            ("one=x.onion", "one: an onion address has 56 characters"),
        ] {
            let problem = names(text).unwrap_err();
            assert!(problem.contains(wanted), "{problem}");
        }
        assert_eq!(backends("web-2", 1)[0].name, "web-2-1");
    }

    #[test]
    fn targets_are_tors() {
        for target in ["127.0.0.1:80", "80", "[::1]:8080", "unix:/run/web.sock", "localhost:80"] {
            assert_eq!(read_target(target).unwrap(), target);
        }
        for target in ["", "127.0.0.1", "127.0.0.1:0", "unix:", "a b:80", "$(id):80", "x:80#"] {
            assert!(read_target(target).is_err(), "{target}");
        }
    }
}
