//! A frontend with a key of its own, and the programs that serve it.
#![allow(dead_code, reason = "each benchmark has a use for another part")]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use onionbalance_proto::v3::OnionAddress;
use onionbalance_tests::deployment::write_secret;
use onionbalance_tests::programs::{Programs, Running};
use onionbalance_tests::wait::until;

const KEY: &str = include_str!("../../../proto/testdata/v3/front.pem");
const ADDRESS: &str = include_str!("../../../proto/testdata/v3/front.hostname");
const SOON: Duration = Duration::from_mins(1);

/// The frontend's address.
pub(crate) fn address() -> OnionAddress {
    ADDRESS.trim().parse().unwrap()
}

/// The frontend's configuration, written in a directory.
pub(crate) struct Config {
    directory: PathBuf,
    /// The path of the signer's socket.
    pub(crate) signer_socket: PathBuf,
}

impl Config {
    pub(crate) fn write(
        directory: &Path,
        signer_socket: &Path,
        backends: impl IntoIterator<Item = OnionAddress>,
    ) -> Self {
        let mut yaml = format!(
            "signer-socket-location: {}\nsigner-requests-per-minute: 100000000\nservices:\n- key: front.pem\n  instances:\n",
            signer_socket.display()
        );
        for backend in backends {
            writeln!(yaml, "  - address: {backend}").unwrap();
        }
        write_secret(&directory.join("front.pem"), KEY).unwrap();
        fs::write(directory.join("config.yaml"), yaml).unwrap();
        Self { directory: directory.to_owned(), signer_socket: signer_socket.to_owned() }
    }

    /// Starts a signer, and waits until it listens.
    pub(crate) fn start_signer(&self) -> Running {
        let signer = self.start(&Programs::delivered().unwrap().signer, &[]);
        until(SOON, || Ok(self.signer_socket.exists().then_some(()))).unwrap();
        signer
    }

    /// Starts a balancer at the tor with this control socket.
    pub(crate) fn start_balancer(&self, control_socket: &Path) -> Running {
        let socket = control_socket.to_str().unwrap();
        self.start(&Programs::delivered().unwrap().balancer, &["-v", "debug", "-s", socket])
    }

    fn start(&self, program: &Path, arguments: &[&str]) -> Running {
        let log = self.directory.join(program.file_name().unwrap()).with_extension("log");
        let mut command = Command::new(program);
        command.current_dir(&self.directory).args(["-c", "config.yaml"]).args(arguments);
        Running::start(&mut command, &log).unwrap()
    }
}

/// Waits until the program has written this number of lines with this text.
pub(crate) fn wait_lines(program: &Running, text: &str, count: usize) {
    let look = || {
        let lines = program.output()?.lines().filter(|line| line.contains(text)).count();
        Ok((lines >= count).then_some(()))
    };
    assert!(until(SOON, look).is_ok(), "{}", program.failure(&format!("wrote no {count} lines with {text}")));
}
