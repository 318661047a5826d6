//! The other programs of this project.

use std::path::PathBuf;

/// The program `name` beside this one; if there is none, the one in PATH.
pub(crate) fn sibling(name: &str) -> PathBuf {
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name(name));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| name.into())
}
