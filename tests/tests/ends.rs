//! No tor outlives the process that owns its network, however that ends.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use onionbalance_tests::paths::BuildPaths;
use onionbalance_tests::programs::{OF_TESTS, Running};
use onionbalance_tests::wait::until;
use tempfile::TempDir;

const UP: Duration = Duration::from_mins(5);
const SOON: Duration = Duration::from_secs(30);
/// The demo's line after all tors of its network have started.
const RELAYS_UP: &str = "relays up";

#[test]
fn a_killed_owner_leaves_no_tor() -> Result<()> {
    let demo = Demo::start()?;
    // A frozen process must end, too.
    let (frozen, _) = demo.tors()?.pop().context("no tor runs")?;
    kill(frozen, Signal::SIGSTOP)?;
    demo.running.signal(Signal::SIGKILL)?;
    demo.running.wait_exit(SOON)?;
    demo.wait_no_tors()
}

#[test]
fn an_interrupted_demo_leaves_nothing() -> Result<()> {
    for moment in ["building", "starting a private Tor network", "keys of", RELAYS_UP] {
        let demo = Demo::start_until(moment)?;
        demo.running.signal(Signal::SIGINT)?;
        assert_eq!(demo.running.wait_exit(SOON)?.code(), Some(130), "{}", demo.running.output()?);
        demo.wait_no_tors()?;
        assert_eq!(demo.left_over()?, Vec::<PathBuf>::new(), "interrupted at {moment:?}");
        assert!(demo.running.output()?.ends_with("interrupted: everything is stopped\n"));
    }
    Ok(())
}

#[test]
fn an_unknown_argument_is_an_error() -> Result<()> {
    let output = Command::new(env!("CARGO_BIN_EXE_demo")).arg("--nonsense").output()?;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr)?.contains("--nonsense"));
    Ok(())
}

/// The demo, with a directory of its own for temporary files.
struct Demo {
    running: Running,
    target: PathBuf,
    temporary: TempDir,
    _output: TempDir,
}

impl Demo {
    /// The demo with its tors started, before its network is complete.
    fn start() -> Result<Self> {
        let demo = Self::start_until(RELAYS_UP)?;
        assert_eq!(demo.tors()?.len(), 9);
        Ok(demo)
    }

    /// The demo after its line with `stage`.
    fn start_until(stage: &str) -> Result<Self> {
        let (output, temporary) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
        command.env("TMPDIR", temporary.path()).env(OF_TESTS, "1");
        let running = Running::start(&mut command, &output.path().join("demo.log"))?;
        running.wait_line(stage, UP)?;
        Ok(Self { running, target: BuildPaths::find()?.target, temporary, _output: output })
    }

    /// The files that it has made and not removed. Those in the target directory are named after the process.
    fn left_over(&self) -> Result<Vec<PathBuf>> {
        let pid = self.running.pid().to_string();
        let is_ours = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            path.starts_with(self.temporary.path()) || name.split(['-', '.']).any(|part| part == pid)
        };
        let mut paths = Vec::new();
        for directory in [&self.target, &self.target.join("networks"), &self.target.join("tor")] {
            paths.extend(entries(directory)?);
        }
        paths.extend(entries(self.temporary.path())?);
        paths.retain(is_ours);
        Ok(paths)
    }

    /// The live processes with a file of the demo's directory in their command line.
    fn tors(&self) -> Result<Vec<(Pid, String)>> {
        let ours = format!("{}/networks/{}-", self.target.display(), self.running.pid());
        let mut tors = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let path = entry?.path();
            let pid = path.file_name().and_then(|name| name.to_string_lossy().parse().ok());
            let (Some(pid), Some(arguments)) = (pid, live_arguments(&path)) else { continue };
            if arguments.contains(&ours) {
                tors.push((Pid::from_raw(pid), arguments));
            }
        }
        Ok(tors)
    }

    fn wait_no_tors(&self) -> Result<()> {
        until(SOON, || Ok(self.tors()?.is_empty().then_some(())))
            .with_context(|| format!("they live on: {:?}", self.tors()))
    }
}

/// The paths in a directory; none if there is no such directory.
fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", directory.display())),
    }
}

/// A process's command line; `None` if it has ended, or is a zombie, which has none.
fn live_arguments(process: &Path) -> Option<String> {
    let arguments = String::from_utf8_lossy(&fs::read(process.join("cmdline")).ok()?).into_owned();
    Some(arguments).filter(|arguments| !arguments.is_empty())
}
