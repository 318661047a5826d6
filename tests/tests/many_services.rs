//! A thousand services with ten backends each: both programs start with them and reload them, the signer
//! within the limits of its unit.
//!
//! `ONIONBALANCE_TEST_SERVICES=5000 cargo test --release -p onionbalance-tests --test many_services` makes it
//! five times as large.

use std::env;
use std::fmt::Write;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use needs_root::needs_root;
use nix::sys::signal::Signal;
use onionbalance_tests::deployment::write_secret;
use onionbalance_tests::key_v3::KeyV3;
use onionbalance_tests::limits::hard_limit;
use onionbalance_tests::pair::MadeUpTor;
use onionbalance_tests::programs::{Programs, Running};
use tempfile::TempDir;

const SERVICES: usize = 1000;
const BACKENDS: usize = 10;
/// `nobody`, the signer's user: the limit of locked memory does not apply to root.
const NOBODY: u32 = 65_534;
/// The longest time from a program's start, or a signal, to its effect, for programs without optimisation on
/// a busy machine.
const LONG: Duration = Duration::from_mins(5);
const UNIT: &str = include_str!("../../packaging/systemd/onionbalance-signer.service");

#[needs_root]
#[test]
fn many_services_start_and_reload_within_the_units_limits() -> Result<()> {
    let mut place =
        Place::new(env::var("ONIONBALANCE_TEST_SERVICES").map_or(Ok(SERVICES), |text| text.parse())?)?;
    let services = place.backends.len();
    let tor = MadeUpTor::start(place.path())?;
    let signer = place.start_signer()?;
    signer.wait_line("listening on", LONG)?;
    let balancer = place.start_balancer(&tor)?;
    // The log names a hundred of the services.
    balancer.wait_line(&format!("balancing {} services besides", services - 100), LONG)?;
    balancer.wait_line("connected to tor", LONG)?;

    // One backend goes and two come.
    place.backends[0].remove(0);
    place.backends[0].extend([backend(usize::MAX)?, backend(usize::MAX - 1)?]);
    place.configure()?;
    signer.signal(Signal::SIGHUP)?;
    signer.wait_line(": 11 backends allowed", LONG)?;
    signer.wait_line("reloaded config.yaml", LONG)?;
    balancer.signal(Signal::SIGHUP)?;
    let reloaded = format!("reloaded config.yaml services={services} backends={}", services * BACKENDS + 1);
    balancer.wait_line(&reloaded, LONG)?;

    let named = signer.output()?.lines().filter(|line| line.contains("holding ")).count();
    assert!(
        named <= 101,
        "{named} services are named in the signer's log, where a hundred and the changed one are the most"
    );
    let memory = signer.rss_kib()? * 1024;
    assert!(memory < limit("MemoryMax=")?, "the signer takes {memory} bytes");
    for program in [&balancer, &signer] {
        program.signal(Signal::SIGTERM)?;
        assert_eq!(program.wait_exit(LONG)?.code(), Some(0));
    }
    Ok(())
}

/// A directory of the signer's user, with keys and a configuration.
struct Place {
    directory: TempDir,
    /// The addresses of each service's backends.
    backends: Vec<Vec<String>>,
}

impl Place {
    fn new(services: usize) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
        chown(directory.path(), Some(NOBODY), None)?;
        for service in 0..services {
            let path = directory.path().join(format!("{service}.pem"));
            write_secret(&path, KeyV3::named(&format!("service {service}")).pem()?)?;
            chown(path, Some(NOBODY), None)?;
        }
        let of = |service: usize| (0..BACKENDS).map(|number| backend(service * BACKENDS + number)).collect();
        let place = Self { directory, backends: (0..services).map(of).collect::<Result<_>>()? };
        place.configure()?;
        Ok(place)
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn configure(&self) -> Result<()> {
        let mut text =
            String::from("signer-socket-location: signer\nsigner-allow-locked-memory: true\nservices:\n");
        for (service, backends) in self.backends.iter().enumerate() {
            writeln!(text, "- key: {service}.pem\n  instances:")?;
            for address in backends {
                writeln!(text, "  - address: {address}")?;
            }
        }
        let new = self.path().join("config.new");
        fs::write(&new, text)?;
        Ok(fs::rename(new, self.path().join("config.yaml"))?)
    }

    /// As its unit starts it.
    fn start_signer(&self) -> Result<Running> {
        let program = self.copy(&Programs::build()?.signer)?;
        let mut command = Command::new("prlimit");
        for (option, name) in
            [("memlock", "LimitMEMLOCK="), ("fsize", "LimitFSIZE="), ("nofile", "LimitNOFILE=")]
        {
            command.arg(format!("--{option}={}", limit(name)?.min(hard_limit(option)?)));
        }
        let nobody = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")];
        command.arg("setpriv").args(nobody).arg("--clear-groups").arg(program);
        self.start(&mut command, "signer.output")
    }

    fn start_balancer(&self, tor: &MadeUpTor) -> Result<Running> {
        let mut command = Command::new(&Programs::build()?.balancer);
        command.arg("-s").arg(tor.socket());
        self.start(&mut command, "balancer.output")
    }

    fn start(&self, command: &mut Command, output: &str) -> Result<Running> {
        command.args(["-c", "config.yaml"]).current_dir(self.path());
        Running::start(command, &self.path().join(output))
    }

    /// A copy of a program in a directory where every user may run it.
    fn copy(&self, program: &Path) -> Result<PathBuf> {
        let copy = self.path().join(program.file_name().context("a program has a name")?);
        ensure!(Command::new("cp").arg(program).arg(&copy).status()?.success(), "cannot copy the program");
        Ok(copy)
    }
}

fn backend(number: usize) -> Result<String> {
    Ok(KeyV3::named(&format!("backend {number}")).address()?.to_string())
}

/// A limit of the signer's unit.
fn limit(name: &str) -> Result<u64> {
    let value =
        UNIT.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
    let (digits, unit) = match value.strip_suffix('M') {
        Some(digits) => (digits, 1 << 20),
        None => value.strip_suffix('K').map_or((value, 1), |digits| (digits, 1 << 10)),
    };
    Ok(digits.parse::<u64>()? * unit)
}
