//! The programs of a release: the same bytes, wherever they are built.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::project;

/// The state of the sources that a build is made of.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The first 12 digits of the commit, then `-dirty` if files were changed since. `None` outside of a
    /// checkout.
    pub commit: Option<String>,
    /// `$SOURCE_DATE_EPOCH`, else the time of the commit: seconds since 1970. `None` without either.
    pub epoch: Option<String>,
    /// The day of `epoch`, UTC: `YYYY-MM-DD`; empty without it.
    pub date: String,
}

impl Source {
    /// Asks the environment and git.
    ///
    /// # Errors
    /// `$SOURCE_DATE_EPOCH` is not a number of seconds.
    pub fn find() -> Result<Self> {
        let git = |arguments: &[&str]| {
            let mut command = Command::new("git");
            output(command.arg("-C").arg(project()).args(arguments)).ok()
        };
        let commit = git(&["describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]);
        let epoch = env::var("SOURCE_DATE_EPOCH").ok();
        let epoch = epoch.or_else(|| git(&["show", "--no-patch", "--format=%ct", "HEAD"]));
        let date = match &epoch {
            Some(epoch) => output(Command::new("date").args(["--utc", "+%F", &format!("--date=@{epoch}")]))?,
            None => String::new(),
        };
        Ok(Self { commit, epoch, date })
    }

    /// The value of `$ONIONBALANCE_COMMIT` for the build; `None` outside of a checkout.
    fn described(&self) -> Option<String> {
        let commit = self.commit.as_ref()?;
        Some(if self.date.is_empty() { commit.clone() } else { format!("{commit}, {}", self.date) })
    }
}

/// A build of programs.
#[derive(Clone, Copy, Debug)]
pub struct Build<'a> {
    /// The directory of the sources.
    pub sources: &'a Path,
    /// The names of the programs, which are also those of their packages.
    pub programs: &'a [&'a str],
    /// cargo's profile.
    pub profile: Profile,
}

/// A profile of cargo.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Profile {
    /// That of releases.
    Release,
    /// That of releases without optimization, which is built sooner. The debug information, the handling of
    /// panics and the features are the same.
    Unoptimized,
}

impl Build<'_> {
    /// Builds the programs below `target` and returns the directory that has them.
    ///
    /// The directories of the sources and of cargo get other names in the programs, which have them as the
    /// places of panics and in their debug information. The packages are selected together and alone: with
    /// others, cargo would enable more features of the dependencies.
    ///
    /// # Errors
    /// cargo cannot build them.
    pub fn run(&self, source: &Source, target: &Path) -> Result<PathBuf> {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command
            .current_dir(self.sources)
            .args(["build", "--locked", "--release", "--target-dir"])
            .arg(target);
        command.args(self.programs.iter().flat_map(|program| ["--package", program]));
        command.env("CARGO_ENCODED_RUSTFLAGS", self.flags()?);
        if self.profile == Profile::Unoptimized {
            command.envs(UNOPTIMIZED);
        }
        command
            .env_remove("ONIONBALANCE_COMMIT")
            .envs(source.described().map(|text| ("ONIONBALANCE_COMMIT", text)));
        let status = command.status().context("cannot run cargo")?;
        ensure!(status.success(), "cargo cannot build the programs ({status})");
        Ok(target.join("release"))
    }

    /// The compiler's flags: those of `$RUSTFLAGS`, then the other names of directories.
    fn flags(&self) -> Result<String> {
        let sources = self.sources.canonicalize().context("cannot find the sources")?;
        let home = env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
        let home = home.context("neither CARGO_HOME nor HOME is set")?;
        let mut flags: Vec<String> =
            env::var("RUSTFLAGS").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        for (from, to) in [(sources, "/usr/src/onionbalance"), (home, "/usr/src/cargo")] {
            let from = from.to_str().with_context(|| format!("{} is not UTF-8", from.display()))?;
            flags.push(format!("--remap-path-prefix={from}={to}"));
        }
        Ok(flags.join(SEPARATOR))
    }
}

/// The changes of the profile for [`Profile::Unoptimized`], as cargo takes them from its environment.
const UNOPTIMIZED: [(&str, &str); 3] = [
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
];

/// Between two flags of `$CARGO_ENCODED_RUSTFLAGS`.
const SEPARATOR: &str = "\u{1f}";

/// Runs a command and returns its standard output without the last line end.
///
/// # Errors
/// It cannot be run, or fails; the error has its standard error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {name}"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} failed ({}): {}", output.status, error.trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}
