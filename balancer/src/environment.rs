//! The environment of this process.

use std::path::PathBuf;

/// A directory that the service manager has created for this process: the first one if there are several
/// (systemd.exec(5)).
pub(crate) fn directory(name: &str) -> Option<PathBuf> {
    variable(name).and_then(|list| list.split(':').next().map(PathBuf::from))
}

/// A path in the environment, in any encoding.
pub(crate) fn path_variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// An environment variable; `None` if it is empty, not set or not UTF-8.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
