//! Whatever way a process ends that owns a network: no tor outlives it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use onionbalance_tests::paths::BuildPaths;
use onionbalance_tests::programs::Running;
use onionbalance_tests::wait::until;

const UP: Duration = Duration::from_mins(5);
const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_killed_owner_leaves_no_tor() -> Result<()> {
    let demo = Demo::start()?;
    // A stopped process must go too.
    let (frozen, _) = demo.tors()?.pop().context("no tor runs")?;
    kill(frozen, Signal::SIGSTOP)?;
    demo.running.signal(Signal::SIGKILL)?;
    demo.running.wait_exit(SOON)?;
    demo.wait_no_tors()
}

#[test]
fn an_interrupted_demo_leaves_nothing() -> Result<()> {
    let demo = Demo::start()?;
    demo.running.signal(Signal::SIGINT)?;
    assert_eq!(demo.running.wait_exit(SOON)?.code(), Some(130), "{}", demo.running.output()?);
    demo.wait_no_tors()?;
    assert!(!demo.directory.exists());
    assert!(demo.running.output()?.ends_with("interrupted: everything is stopped\n"));
    Ok(())
}

#[test]
fn an_unknown_argument_is_an_error() -> Result<()> {
    let output = Command::new(env!("CARGO_BIN_EXE_demo")).arg("--nonsense").output()?;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr)?.contains("--nonsense"));
    Ok(())
}

/// The demo, its tors up and its network still on the way.
struct Demo {
    running: Running,
    directory: PathBuf,
    _output: tempfile::TempDir,
}

impl Demo {
    fn start() -> Result<Self> {
        let output = tempfile::tempdir()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
        let running = Running::start(&mut command, &output.path().join("demo.log"))?;
        running.wait_line("relays up", UP)?;
        let directory = BuildPaths::find()?.target.join(format!("networks/{}-0", running.pid()));
        let demo = Self { running, directory, _output: output };
        assert_eq!(demo.tors()?.len(), 9);
        Ok(demo)
    }

    /// The live processes that were started with a file of the demo's directory.
    fn tors(&self) -> Result<Vec<(Pid, String)>> {
        let ours = format!("{}/", self.directory.display());
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

/// A process's command line; `None` if it is gone, or dead and not yet collected by its parent: then it has none.
fn live_arguments(process: &Path) -> Option<String> {
    let arguments = String::from_utf8_lossy(&fs::read(process.join("cmdline")).ok()?).into_owned();
    Some(arguments).filter(|arguments| !arguments.is_empty())
}
