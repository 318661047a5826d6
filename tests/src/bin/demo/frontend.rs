//! The frontends' keys and the configuration of both programs.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use onionbalance_tests::key_v2::KeyV2;
use onionbalance_tests::key_v3::KeyV3;
use onionbalance_tests::network::{Backend, Network};
use onionbalance_tests::onion::{Onion, OnionVersion};

/// A new onion service identity.
pub(crate) struct Frontend {
    pub(crate) onion: Onion,
    pem: String,
}

/// The files that were written for the programs.
pub(crate) struct Config {
    /// `config.yaml`.
    pub(crate) file: PathBuf,
    /// The path of the signer's socket.
    pub(crate) signer_socket: PathBuf,
}

impl Frontend {
    pub(crate) fn generate(version: OnionVersion) -> Result<Self> {
        match version {
            OnionVersion::V2 => {
                let key = KeyV2::generate()?;
                Ok(Self { onion: Onion::V2(key.address()), pem: key.pem()? })
            }
            OnionVersion::V3 => {
                let key = KeyV3::generate();
                Ok(Self { onion: Onion::V3(key.address()?), pem: key.pem()? })
            }
        }
    }
}

/// Writes the keys and `config.yaml`, in the format of Onionbalance, to the network's directory. Every service
/// gets the lines of `health_check`.
pub(crate) fn write_config(
    network: &Network,
    frontends: &[(&Frontend, &[Arc<Backend>])],
    health_check: &str,
) -> Result<Config> {
    let directory = network.directory();
    let signer_socket = network.sockets().join("signer");
    // So that it can be shown on kernels that have no secret memory, too.
    let mut yaml = format!(
        "signer-socket-location: {}\nsigner-allow-locked-memory: true\nstatus-socket-location: {}\n\
         TOR_CONTROL_SOCKET: {}\nservices:\n",
        signer_socket.display(),
        network.sockets().join("status").display(),
        network.management().control_socket().display(),
    );
    for (number, (frontend, backends)) in frontends.iter().enumerate() {
        let key = format!("frontend-{number}.key");
        write_private(&directory.join(&key), &frontend.pem)?;
        // Writing to a string does not fail.
        let _ = writeln!(yaml, "- key: {key}\n{health_check}  instances:");
        for backend in *backends {
            let _ = writeln!(yaml, "  - address: {}\n    name: {}", backend.address(), backend.name());
            for client in backend.clients().iter().take(1) {
                let _ = writeln!(yaml, "    auth: {}", client.cookie);
            }
        }
    }
    let file = directory.join("config.yaml");
    write_private(&file, &yaml)?;
    Ok(Config { file, signer_socket })
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}
