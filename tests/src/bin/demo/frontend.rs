//! The frontend's key and the configuration of both programs.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey;
use ed25519_dalek::pkcs8::KeypairBytes;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use onionbalance_proto::v3::address::OnionAddress;
use onionbalance_tests::network::Network;
use rand_core::{OsRng, RngCore};

/// A new onion service identity.
pub(crate) struct Frontend {
    key: SigningKey,
    address: OnionAddress,
}

/// What has been written for the programs.
pub(crate) struct Config {
    /// `config.yaml`.
    pub(crate) file: PathBuf,
    /// Where the signer is to listen.
    pub(crate) signer_socket: PathBuf,
}

impl Frontend {
    pub(crate) fn generate() -> Result<Self> {
        let mut secret = [0; 32];
        OsRng.fill_bytes(&mut secret);
        let key = SigningKey::from_bytes(&secret);
        let address = OnionAddress::from_identity(key.verifying_key().to_bytes())?;
        Ok(Self { key, address })
    }

    pub(crate) fn address(&self) -> OnionAddress {
        self.address
    }

    /// Writes the key and `config.yaml`, in the format of Onionbalance 0.2.4, to the network's directory.
    pub(crate) fn write_config(&self, network: &Network) -> Result<Config> {
        let directory = network.directory();
        write_private(&directory.join("front.pem"), &self.pem()?)?;
        let signer_socket = network.sockets().join("signer");
        let mut yaml = format!("signer-socket-location: {}\n", signer_socket.display());
        yaml.push_str("services:\n- key: front.pem\n  instances:\n");
        for backend in network.backends() {
            // Writing to a string does not fail.
            let _ = write!(yaml, "  - address: {}\n    name: {}\n", backend.address(), backend.name());
        }
        let file = directory.join("config.yaml");
        write_private(&file, &yaml)?;
        Ok(Config { file, signer_socket })
    }

    /// PKCS #8 without the public key, as OpenSSL writes it.
    fn pem(&self) -> Result<String> {
        let key = KeypairBytes { secret_key: self.key.to_bytes(), public_key: None };
        Ok(key.to_pkcs8_pem(LineEnding::LF).context("cannot encode the key")?.to_string())
    }
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}
