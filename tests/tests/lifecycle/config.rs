//! `onionbalance config` and `onionbalance-config`: their dialogues at a terminal, and the use of their
//! files.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, getuid};
use onionbalance_tests::deployment::write_secret;
use onionbalance_tests::key_v3::KeyV3;
use onionbalance_tests::onion::OnionVersion;
use onionbalance_tests::programs::Programs;
use onionbalance_tests::provision::TorProgram;
use onionbalance_tests::terminal::AtTerminal;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);
const TORS_KEY: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../proto/testdata/v3/front.hs_ed25519_secret_key");

/// A directory to run the programs in.
struct Place(TempDir);

impl Place {
    fn new() -> Result<Self> {
        let place = Self(tempfile::tempdir()?);
        symlink(&Programs::build()?.balancer, place.0.path().join("onionbalance-config"))?;
        Ok(place)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.path());
        command
    }

    fn run(&self, program: &Path, arguments: &[&str]) -> Result<Output> {
        Ok(self.command(program, arguments).output()?)
    }

    /// The output of a run that has to succeed.
    fn done(&self, program: &Path, arguments: &[&str]) -> Result<String> {
        let output = self.run(program, arguments)?;
        let errors = String::from_utf8(output.stderr)?;
        ensure!(output.status.success(), "{arguments:?}: {errors}");
        Ok(String::from_utf8(output.stdout)? + &errors)
    }

    fn at_terminal(&self, program: &Path, arguments: &[&str]) -> Result<AtTerminal> {
        AtTerminal::start(&self.command(program, arguments), self.path(), &self.path().join("log"))
    }

    fn read(&self, file: &str) -> Result<String> {
        fs::read_to_string(self.path().join(file)).with_context(|| file.to_owned())
    }

    fn mode(&self, file: &str) -> Result<u32> {
        Ok(fs::metadata(self.path().join(file))?.permissions().mode() & 0o777)
    }

    /// The path of `onionbalance-config`.
    fn legacy(&self) -> PathBuf {
        self.path().join("onionbalance-config")
    }

    /// Asserts that Onionbalance's two files are in this directory, and are usable once they have addresses.
    /// Returns the frontend's address, with `.onion`.
    fn is_onionbalances(&self, directory: &str) -> Result<String> {
        let names = fs::read_dir(self.path().join(directory))?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<Vec<_>>>()?;
        let address = names.iter().find_map(|name| name.strip_suffix(".key")).context("no key")?;
        let (key, address) = (format!("{address}.key"), format!("{address}.onion"));
        ensure!(names.len() == 2 && self.mode(&format!("{directory}/{key}"))? == 0o600, "{names:?}");
        let config = format!("{directory}/config.yaml");
        let text = self.read(&config)?;
        ensure!(text.starts_with("# Onionbalance Config File\nservices:\n- instances:\n"), "{text}");
        let mut own = 0;
        let filled = text.split_inclusive("<Enter the instance onion address here>").try_fold(
            String::new(),
            |filled, part| {
                own += 1;
                let address = KeyV3::named(&format!("backend {own}")).address()?.to_string();
                Ok::<_, anyhow::Error>(
                    filled + &part.replace("<Enter the instance onion address here>", &address),
                )
            },
        )?;
        fs::write(self.path().join(&config), filled)?;
        let programs = Programs::build()?;
        self.done(&programs.balancer, &["check", "-c", &config])?;
        let opened = self.done(&programs.signer, &["check", "-c", &config])?;
        ensure!(opened.contains(&format!("{key}: {address}\n")), "{opened}");
        Ok(address)
    }
}

/// The dialogue of Onionbalance's own functional test.
#[test]
fn onionbalances_questions_are_asked_in_its_words() -> Result<()> {
    let place = Place::new()?;
    let mut program = place.at_terminal(&place.legacy(), &[])?;
    program.wait_logged("[INFO]: No command line arguments found, entering interactive mode.", SOON)?;
    for (prompt, end, line) in [
        ("store generated config", "]: ", "configdir"),
        ("Number of services", ": ", "1"),
        ("path to master service private key", "key): ", ""),
        ("Number of instance services", "8): ", ""),
        ("Provide a tag name", "]:", ""),
    ] {
        let seen = program.answer_after(end, line)?;
        ensure!(seen.contains(prompt), "{seen}");
    }
    ensure!(program.wait()?.success());
    program.wait_logged("[INFO]: Done! Successfully generated Onionbalance config.", SOON)?;
    place.is_onionbalances("configdir").map(drop)
}

#[test]
fn onionbalances_command_lines_write_its_files() -> Result<()> {
    let place = Place::new()?;
    let said = place.done(&place.legacy(), &["--output", "configdir"])?;
    ensure!(said.contains("[INFO]: Entering non-interactive mode.\n"), "{said}");
    ensure!(said.contains("[INFO]: Done! Successfully generated"), "{said}");
    place.is_onionbalances("configdir")?;
    let again = place.run(&place.legacy(), &["--output", "configdir"])?;
    ensure!(again.status.code() == Some(1), "{again:?}");

    let quiet = place.done(&place.legacy(), &["-n", "3", "-t", "web", "-v", "error"])?;
    ensure!(
        !quiet.contains("Done!") && place.read("config/config.yaml")?.contains("name: web3\n"),
        "{quiet}"
    );

    let key = fs::read(TORS_KEY)?;
    write_secret(&place.path().join("hs_ed25519_secret_key"), &key)?;
    place.done(&place.legacy(), &["--key", "hs_ed25519_secret_key", "--output", "copied/here"])?;
    let address = place.is_onionbalances("copied/here")?;
    let copy = place.path().join("copied/here").join(address.replace(".onion", ".key"));
    ensure!(fs::read(copy)? == key);

    let refused = place.run(&place.legacy(), &["-p", "secret", "--output", "none"])?;
    let said = String::from_utf8(refused.stderr)?;
    ensure!(refused.status.code() == Some(2) && said.contains("onionbalance-key encrypt"), "{said}");
    ensure!(!said.contains("secret") && !place.path().join("none").try_exists()?, "{said}");
    Ok(())
}

#[test]
fn a_deployment_is_asked_for_confirmed_and_filled_in() -> Result<()> {
    let (place, programs) = (Place::new()?, Programs::build()?);
    let mut program = place.at_terminal(&programs.balancer, &["config"])?;
    let answers = ["", "1", "shop", "", "one,two", "", "", "systemd", "yes"];
    for answer in answers {
        program.answer(answer)?;
    }
    let summary = program.read_to("Write this (yes/no) [yes]: ")?;
    ensure!(summary.contains("service shop: a new key, encrypted; visitors use port 80"), "{summary}");
    ensure!(!place.path().join("onionbalance-setup").try_exists()?);
    program.answer_after("", "yes")?;
    ensure!(
        program
            .answer_after("key: ", "opens it")?
            .contains("New passphrase for onionbalance-setup/management/")
    );
    program.answer_after("more: ", "opens it")?;
    let end = program.read_to(".onion\r\n")?;
    ensure!(program.wait()?.success(), "{end}");
    let address = end.lines().last().context("no address")?;

    let tree = |name: &str| format!("onionbalance-setup/{name}");
    let key = tree(&format!("management/{}", address.replace(".onion", ".key")));
    for (file, mode) in [
        (".", 0o700),
        (key.trim_start_matches("onionbalance-setup/"), 0o600),
        ("management/config.yaml", 0o640),
        ("backends/one/install.sh", 0o755),
        ("backends/two/torrc", 0o644),
        ("README", 0o644),
    ] {
        ensure!(place.mode(&tree(file))? == mode, "{file}: {:o}", place.mode(&tree(file))?);
    }
    ensure!(place.read(&tree("README"))?.lines().any(|line| line == address));

    let again = place.run(&programs.balancer, &["config", "--no-interactive", "--plain"])?;
    ensure!(again.status.code() == Some(1), "{again:?}");
    let [one, two] = [KeyV3::named("one").address()?, KeyV3::named("two").address()?];
    let config = tree("management/config.yaml");
    let check = place.run(&programs.balancer, &["check", "-c", &config])?;
    ensure!(check.status.code() == Some(78), "{check:?}");
    let list = format!("one={one},two={two}");
    let said = place.done(&programs.balancer, &["config", "--backends", &list])?;
    ensure!(said.contains("OK (1 service, 2 backends)"), "{said}");
    ensure!(place.mode(&config)? == 0o640);
    write_secret(&place.path().join("passphrase"), "opens it\n")?;
    // The user is the package's.
    let text = place.read(&config)?.replace("[onionbalance]", "[0]");
    fs::write(place.path().join(&config), text)?;
    let opened =
        place.done(&programs.signer, &["check", "-c", &config, "--passphrase-file", "passphrase"])?;
    ensure!(opened.ends_with(&format!("{address}\n")), "{opened}");
    Ok(())
}

/// The daemon whose pid is in this file; dropping it kills it.
struct Daemon(PathBuf);

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = fs::read_to_string(&self.0).ok().and_then(|text| text.trim().parse().ok());
        let _ = pid.map(|pid| kill(Pid::from_raw(pid), Signal::SIGKILL));
    }
}

/// A tor without network, which the script starts.
#[test]
fn a_backends_script_makes_tor_a_backend() -> Result<()> {
    let (place, programs) = (Place::new()?, Programs::build()?);
    let options = ["config", "--no-interactive", "--plain", "--with-backend-keys", "-n", "1"];
    let said = place.done(&programs.balancer, &options)?;
    ensure!(said.contains("OK (1 service, 1 backend)"), "{said}");
    let key = "onionbalance-setup/backends/web1/hs_ed25519_secret_key";
    ensure!(place.mode(key)? == 0o600);
    let secret = fs::read(place.path().join(key))?;
    let tor = TorProgram::find(OnionVersion::V3)?.tor();
    let path = |name: &str| place.path().join(name).display().to_string();
    let torrc = format!(
        "DisableNetwork 1\nSocksPort 0\nDataDirectory {}\nPidFile {}\nRunAsDaemon 1\nLog notice file {}\n",
        path("data"),
        path("pid"),
        path("log")
    );
    fs::write(place.path().join("torrc"), &torrc)?;
    let owner = User::from_uid(getuid())?.context("no user")?.name;
    let program = Path::new(tor.get_program());
    let search = std::env::var("PATH")?;
    let search = format!("{}:{search}", program.parent().context("no directory")?.display());
    let install = |restart: &str| {
        let mut command = place.command(Path::new("sh"), &["onionbalance-setup/backends/web1/install.sh"]);
        command.envs(tor.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("PATH", &search).env("OWNER", &owner).env("TORRC", path("torrc"));
        command.env("DIRECTORY", path("web1")).env("RESTART", restart);
        command.output()
    };
    let _daemon = Daemon(place.path().join("pid"));
    let first = install(&format!("tor -f {} > {} 2>&1", path("torrc"), path("start")))?;
    let failed = || Ok::<_, anyhow::Error>(format!("{first:?} {}", place.read("start").unwrap_or_default()));
    ensure!(first.status.success(), failed()?);
    let address = place.read("web1/hostname")?;
    ensure!(String::from_utf8(first.stdout.clone())? == format!("web1={address}"), failed()?);
    let config = place.read("onionbalance-setup/management/config.yaml")?;
    ensure!(config.contains(&format!("- address: {address}")), "{config} {address}");
    ensure!(fs::read(place.path().join("web1/hs_ed25519_secret_key"))? == secret);
    ensure!(!place.path().join(key).try_exists()?);
    let frontend = place.read("web1/ob_config")?;
    ensure!(
        place.read("onionbalance-setup/README")?.contains(frontend.trim_start_matches("MasterOnionAddress "))
    );
    let log = place.read("log")?;
    ensure!(log.contains("registered"), "{log}");

    // Again: nothing is added.
    let after = place.read("torrc")?;
    let second = install("true")?;
    ensure!(second.status.success() && second.stdout == first.stdout, "{second:?}");
    ensure!(place.read("torrc")? == after && after.starts_with(&torrc), "{after}");

    // A torrc that tor does not accept stays as it was.
    fs::write(place.path().join("torrc"), "Nonsense 1\n")?;
    let refused = install("true")?;
    let said = String::from_utf8(refused.stderr)?;
    ensure!(refused.status.code() == Some(1) && said.contains("tor does not accept the new lines"), "{said}");
    ensure!(place.read("torrc")? == "Nonsense 1\n");
    Ok(())
}
