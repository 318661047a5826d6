//! Cargo's build directories, found from the running executable.
//!
//! The tests and the demo write below the target directory only, so that `cargo clean` removes all their
//! files.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The directories of the build that the running executable came from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BuildPaths {
    /// Cargo's target directory: the one that holds `CACHEDIR.TAG`.
    pub target: PathBuf,
    /// The directory of the programs of the same profile, such as `target/debug`.
    pub profile: PathBuf,
}

impl BuildPaths {
    /// Finds both from the running executable: `…/target/debug/demo` or
    /// `…/target/debug/deps/network-0123abcd`.
    pub fn find() -> Result<Self> {
        let executable = env::current_exe().context("the running executable has no path")?;
        Self::of_executable(&executable).with_context(|| {
            format!("{} lies in no cargo target directory: start it by cargo", executable.display())
        })
    }

    fn of_executable(executable: &Path) -> Option<Self> {
        let directory = executable.parent()?;
        let inner = directory.file_name().is_some_and(|name| name == "deps" || name == "examples");
        let profile = if inner { directory.parent()? } else { directory };
        let target = profile.ancestors().skip(1).find(|above| above.join("CACHEDIR.TAG").is_file())?;
        Some(Self { target: target.to_owned(), profile: profile.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn finds_the_running_test() {
        let paths = BuildPaths::find().unwrap();
        assert!(paths.profile.starts_with(&paths.target) && paths.profile != paths.target);
        assert!(env::current_exe().unwrap().starts_with(paths.profile.join("deps")));
    }

    #[test]
    fn knows_the_layout_with_and_without_a_target_triple() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("CACHEDIR.TAG"), "").unwrap();
        for (executable, profile) in
            [("debug/demo", "debug"), ("release/deps/x-1", "release"), ("riscv64/debug/x", "riscv64/debug")]
        {
            let paths = BuildPaths::of_executable(&root.path().join(executable)).unwrap();
            assert_eq!(paths, BuildPaths { target: root.path().into(), profile: root.path().join(profile) });
        }
        assert_eq!(BuildPaths::of_executable(Path::new("/usr/bin/demo")), None);
    }
}
