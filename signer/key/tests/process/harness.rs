//! Runs the program in a directory of its own, and reads the files that it wrote as the signer does.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use onionbalance_key_file::passphrase::Passphrases;
use onionbalance_proto::config::Instances;
use onionbalance_proto::v3::OnionAddress;
use onionbalance_signer::keys::{self, Secret};
use onionbalance_signer::system::access_list;
use onionbalance_trust::Trust;
use tempfile::TempDir;

const TESTDATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto/testdata");
/// The passphrases of the encrypted keys in the test data.
const PASSPHRASES: &str = "onion balance v2\nonion balance v3\npassword\n";

/// A file of the test data.
pub(crate) fn testdata(name: &str) -> Vec<u8> {
    fs::read(Path::new(TESTDATA).join(name)).unwrap()
}

/// The address of the keys with names that begin with `front`.
pub(crate) fn frontend() -> OnionAddress {
    String::from_utf8(testdata("v3/front.hostname")).unwrap().trim().parse().unwrap()
}

/// A directory with keys of all kinds; `old` has the passphrases that open them, `new` the passphrase of new
/// files.
pub(crate) struct Directory(TempDir);

impl Directory {
    pub(crate) fn new() -> Self {
        let directory = Self(tempfile::tempdir().unwrap());
        directory.write("old", format!("fresh\n{PASSPHRASES}"));
        directory.write("new", "fresh\n");
        directory.write("wrong", "frsh\n");
        for key in [
            "v3/front.pem",
            "v3/front-aes256.pem",
            "v3/front.hs_ed25519_secret_key",
            "v3/front-delegation.pem",
            "v2/b2.key",
            "v2/onionbalance-des3.key",
            "v2/pem-aes256.key",
            "v2/pem-pkcs8-aes256.key",
        ] {
            directory.write(key.split_at(3).1, testdata(key));
        }
        directory
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file that only its owner can read.
    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path(name), contents).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// The program, with this directory as its working directory.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_onionbalance-key"));
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The first line that the program prints; it has to succeed.
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && log.is_empty(), "{arguments:?}: {log}");
        text.lines().next().unwrap_or_default().to_owned()
    }

    /// The one error line of the program; it has to fail without writing a file.
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        let before = self.names();
        let output = self.run(arguments);
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {log}");
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(output.stdout.is_empty());
        assert_eq!(self.names(), before);
        log
    }

    fn names(&self) -> Vec<std::ffi::OsString> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    /// The output of `show` for a key.
    pub(crate) fn shown(&self, key: &str) -> Vec<String> {
        let output = self.run(&["show", key, "--passphrase-file", "old"]);
        assert!(output.status.success(), "{key}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    /// Asserts that the signer reads this key, and that it has this address.
    pub(crate) fn is_read(&self, key: &str, address: &str) {
        let passphrases = Passphrases::read(&self.path("old")).unwrap();
        let trust = Trust::in_this_process(access_list::read);
        let secret = keys::load(&self.path(key), &trust, &passphrases, &Instances::None)
            .unwrap_or_else(|error| panic!("{key} {error}"));
        let found = match secret {
            Secret::V2(secret) => secret.address().to_string(),
            Secret::V3(authority) => authority.address().to_string(),
        };
        assert_eq!(found, address, "{key}");
    }

    /// The standard output of openssl.
    pub(crate) fn openssl(&self, arguments: &[&str]) -> Vec<u8> {
        let mut command = Command::new("openssl");
        let output = command
            .args(arguments)
            .args(["-passin", "file:new"])
            .current_dir(self.0.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }
}
