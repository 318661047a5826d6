//! The delivered programs, built and run as an operator would run them.

use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Duration;
use std::{env, ffi::OsString};

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::Value;

use crate::owned::Owned;
use crate::paths::BuildPaths;
use crate::process::{Process, last_lines, read_lossy, run};
use crate::wait::until;

/// The paths of the programs, freshly built with the profile of the running executable.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `onionbalance`.
    pub balancer: PathBuf,
    /// `onionbalance-signer`.
    pub signer: PathBuf,
    /// `onionbalance-key`.
    pub key: PathBuf,
}

impl Programs {
    /// Builds them for a test, once in this process. Features are those of a test of the whole workspace, so
    /// that nothing is left to be done when `cargo test` has started this process.
    pub fn build() -> Result<&'static Self> {
        let tests = TESTS_OF_PROGRAMS.into_iter().flat_map(|test| ["--test", test]);
        Self::built(|| ["test", "--quiet", "--no-run", "--workspace"].into_iter().chain(tests).collect())
    }

    /// Builds them as they are delivered, with the features that they need alone. Later calls of
    /// [`Programs::build`] in this process give these. A test that starts this process with [`OF_TESTS`] gets
    /// its own programs.
    pub fn delivered() -> Result<&'static Self> {
        if env::var_os(OF_TESTS).is_some() {
            return Self::build();
        }
        let packages = PACKAGES.into_iter().flat_map(|package| ["--package", package]);
        Self::built(|| ["build", "--quiet"].into_iter().chain(packages).collect())
    }

    fn built(arguments: impl FnOnce() -> Vec<&'static str>) -> Result<&'static Self> {
        static BUILT: OnceLock<Result<Programs>> = OnceLock::new();
        BUILT.get_or_init(|| build(arguments())).as_ref().map_err(|error| anyhow!("{error:#}"))
    }
}

/// The variable by which a test has another program of this package use what `cargo test` has built.
pub const OF_TESTS: &str = "ONIONBALANCE_PROGRAMS_OF_TESTS";
/// The packages of the programs.
const PACKAGES: [&str; 3] = ["onionbalance", "onionbalance-signer", "onionbalance-key"];
/// The names of test targets for which cargo builds the programs of all these packages: it does so for any
/// integration test of a package (The Cargo Book, Cargo Targets).
const TESTS_OF_PROGRAMS: [&str; 2] = ["process", "ring_model"];

/// The signer, and the program of its tests that start it.
#[derive(Clone, Debug)]
pub struct SignerTests {
    /// The tests' own program.
    pub program: PathBuf,
    /// `onionbalance-signer`, which the tests look for at this path.
    pub signer: PathBuf,
}

impl SignerTests {
    /// Builds both.
    pub fn build() -> Result<Self> {
        let paths = BuildPaths::find()?;
        let arguments = ["test", "--quiet", "--no-run", "--message-format=json-render-diagnostics"];
        let tests = ["--package", "onionbalance-signer", "--test", "process"];
        let messages =
            cargo(&paths, arguments.into_iter().chain(tests)).context("cannot build the signer's tests")?;
        let program = test_program(&messages).context("cargo does not say where the signer's tests are")?;
        Ok(Self { program, signer: paths.profile.join("onionbalance-signer") })
    }
}

/// Has a balancer log whole addresses, for which tests look, unless its configuration names another form.
fn whole_addresses(command: &mut Command) {
    command.env("ONIONBALANCE_LOG_ADDRESSES", "full");
}

/// A program that runs with its output in a file; dropping it kills it.
#[derive(Debug)]
pub struct Running {
    process: Process,
    output: PathBuf,
}

impl Running {
    /// Starts `command`, with standard output and standard error in the file `output`.
    pub fn start(command: &mut Command, output: &Path) -> Result<Self> {
        whole_addresses(command);
        Ok(Self { process: Process::spawn(command, output)?, output: output.to_owned() })
    }

    /// As [`Running::start`], with `input` for its standard input.
    pub fn start_with(command: &mut Command, input: impl Into<Stdio>, output: &Path) -> Result<Self> {
        whole_addresses(command);
        Ok(Self { process: Process::spawn_with(command, input, output)?, output: output.to_owned() })
    }

    /// Its whole output.
    pub fn output(&self) -> Result<String> {
        read_lossy(&self.output)
    }

    /// Waits for a whole line that contains `text`, and returns it. Fails if the program ends first.
    pub fn wait_line(&self, text: &str, timeout: Duration) -> Result<String> {
        self.wait_output(&format!("no line with {text:?}"), timeout, |output| {
            whole_lines(output).find(|line| line.contains(text)).map(str::to_owned)
        })
    }

    /// Waits until `look` finds something in the program's whole output. `without` describes the missing
    /// output in the error. Fails if the program ends first.
    pub fn wait_output<T>(
        &self,
        without: &str,
        timeout: Duration,
        look: impl Fn(&str) -> Option<T>,
    ) -> Result<T> {
        until(timeout, || {
            // Checked before the output is read, so that the program's last output counts.
            let ended = self.process.exited()?;
            match (look(&self.output()?), ended) {
                (Some(found), _) => Ok(Some(found)),
                (None, Some(status)) => bail!("it ended ({status})"),
                (None, None) => Ok(None),
            }
        })
        .with_context(|| self.failure(&format!("wrote {without}")))
    }

    /// Waits for the program's end.
    pub fn wait_exit(&self, timeout: Duration) -> Result<ExitStatus> {
        until(timeout, || self.process.exited()).with_context(|| self.failure("did not end"))
    }

    /// The exit status; `None` while the program runs.
    pub fn exited(&self) -> Result<Option<ExitStatus>> {
        self.process.exited()
    }

    /// Kills it (SIGKILL).
    pub fn kill(&self) -> Result<ExitStatus> {
        self.process.kill()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        self.process.pid()
    }

    /// Its resident memory in KiB.
    pub fn rss_kib(&self) -> Result<u64> {
        self.process.rss_kib()
    }

    /// A sentence about a failure, with the end of its output.
    pub fn failure(&self, what: &str) -> String {
        let output = self.output().unwrap_or_default();
        let path = self.output.display();
        format!("process {} {what}; the end of {path}:\n{}", self.pid(), last_lines(&output, 10))
    }
}

fn whole_lines(output: &str) -> impl Iterator<Item = &str> {
    output.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'))
}

/// Builds the programs by cargo with these arguments.
fn build(arguments: Vec<&str>) -> Result<Programs> {
    let paths = BuildPaths::find()?;
    cargo(&paths, arguments).context("cannot build the programs")?;
    let programs = Programs {
        balancer: paths.profile.join("onionbalance"),
        signer: paths.profile.join("onionbalance-signer"),
        key: paths.profile.join("onionbalance-key"),
    };
    for program in [&programs.balancer, &programs.signer, &programs.key] {
        if !program.is_file() {
            bail!("cargo built no {}", program.display());
        }
    }
    Ok(programs)
}

/// The program of the only test target in cargo's messages, each of which is a line of JSON (The Cargo Book,
/// External Tools).
fn test_program(messages: &str) -> Option<PathBuf> {
    let text = |message: &Value, place: &str| Some(message.pointer(place)?.as_str()?.to_owned());
    let messages = messages.lines().filter_map(|line| serde_json::from_str(line).ok());
    let mut tests = messages.filter(|message| text(message, "/target/kind/0").as_deref() == Some("test"));
    tests.find_map(|test| text(&test, "/executable")).map(PathBuf::from)
}

/// Runs cargo with these arguments, for the profile of the running executable. Returns its output.
fn cargo<'a>(paths: &BuildPaths, arguments: impl IntoIterator<Item = &'a str>) -> Result<String> {
    let work = Owned::create(paths.target.join(format!("build-{}", process::id())))?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.args(arguments);
    command.arg("--manifest-path").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"));
    command.arg("--target-dir").arg(&paths.target);
    command.args(profile_arguments(paths)?);
    run(&mut command, &work.path().join("cargo.log"))
}

/// The profile has the name of the directory, except for `dev`. With `--target`, the directory is below the
/// target's.
fn profile_arguments(paths: &BuildPaths) -> Result<Vec<String>> {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let profile = name(&paths.profile).context("the profile's directory has no name")?;
    let profile = if profile == "debug" { "dev".to_owned() } else { profile };
    let mut arguments = vec!["--profile".to_owned(), profile];
    let above = paths.profile.parent().filter(|above| *above != paths.target);
    if let Some(triple) = above.and_then(name) {
        arguments.extend(["--target".to_owned(), triple]);
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> (tempfile::TempDir, Running) {
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("output");
        let running = Running::start(Command::new("/bin/sh").args(["-c", script]), &output).unwrap();
        (directory, running)
    }

    #[test]
    fn finds_a_line_and_waits_for_the_end() {
        let (_directory, running) = shell("echo one; echo two >&2; exec sleep 1000");
        assert_eq!(running.wait_line("wo", SOON).unwrap(), "two");
        assert!(running.rss_kib().unwrap() > 0);
        running.signal(Signal::SIGTERM).unwrap();
        running.wait_exit(SOON).unwrap();
        running.signal(Signal::SIGTERM).unwrap_err();
    }

    #[test]
    fn says_what_an_ended_program_wrote() {
        let (_directory, running) = shell("echo the key is missing; exit 3");
        let error = format!("{:#}", running.wait_line("ready", SOON).unwrap_err());
        assert!(error.contains("the key is missing") && error.contains("exit status: 3"), "{error}");
    }

    #[test]
    fn ends_with_its_children_when_dropped() {
        let (_directory, running) = shell("sleep 1000 & echo child $!; wait");
        let line = running.wait_line("child ", SOON).unwrap();
        let child = line.strip_prefix("child ").unwrap();
        let state = format!("/proc/{child}/stat");
        drop(running);
        // A zombie counts as dead before it is reaped.
        until(SOON, || {
            let stat = fs::read_to_string(&state).unwrap_or_else(|_| ") Z".to_owned());
            Ok(stat.contains(") Z").then_some(()))
        })
        .unwrap();
    }

    #[test]
    fn finds_the_test_among_what_cargo_built() {
        let messages = r#"
{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"signer"},"executable":"/t/debug/signer"}
{"reason":"compiler-artifact","target":{"kind":["test"],"name":"process"},"executable":"/t/debug/deps/process-1"}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(test_program(messages), Some(PathBuf::from("/t/debug/deps/process-1")));
        assert_eq!(test_program("{\"reason\":\"build-finished\",\"success\":true}"), None);
    }

    #[test]
    fn builds_for_the_profile_and_target_it_runs_from() {
        let paths =
            |profile: &str| BuildPaths { target: "/t".into(), profile: Path::new("/t").join(profile) };
        let arguments = |profile: &str| profile_arguments(&paths(profile)).unwrap().join(" ");
        assert_eq!(arguments("debug"), "--profile dev");
        assert_eq!(arguments("release"), "--profile release");
        assert_eq!(arguments("riscv64/debug"), "--profile dev --target riscv64");
    }
}
