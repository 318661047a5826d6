//! The configuration file: read at the start, and again at each SIGHUP by the same rules.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::Gid;
use onionbalance_proto::config::{Config, ConfigError};
use onionbalance_trust::{Found, Trust, TrustError};

use crate::system::access_list;

/// The most bytes of a configuration: many times a file of ten thousand services with ten backends each.
const MAX_LENGTH: u64 = 64 << 20;
/// The mode bit by which everybody may read a file. The bit of the file's group is three bits to the left.
const OTHERS_READ: u32 = 0o4;
/// The mode bit by which everybody may search a directory; its group's bit likewise.
const OTHERS_SEARCH: u32 = 0o1;

/// The place of the configuration, and the users that may have written it.
pub struct ConfigFile {
    /// The path as the command line has it.
    path: PathBuf,
    /// The same path, absolute: a confined process cannot ask for its working directory.
    absolute: PathBuf,
    trust: Trust,
}

impl ConfigFile {
    /// The file at `path`. Only root and the user that this process runs as at this moment may be able to
    /// write it. The user that the file names as `signer-user` does not count: a file cannot vouch for its
    /// own owner.
    ///
    /// # Errors
    /// The working directory is not known, or `path` is empty.
    pub fn new(path: &Path) -> Result<Self, ConfigError> {
        let absolute = std::path::absolute(path).map_err(|error| ConfigError::unreadable(path, &error))?;
        Ok(Self { path: path.to_owned(), absolute, trust: Trust::in_this_process(access_list::read) })
    }

    /// The path as the command line has it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file that the configuration names: relative paths start from the configuration's
    /// directory.
    pub fn relative(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }

    /// Reads the file. Returns its text, and the configuration in it.
    ///
    /// # Errors
    /// Another user can write the file, it cannot be read, it has more than 64 MiB, or it is not valid.
    pub fn read(&self) -> Result<(String, Config), ConfigError> {
        let mut text = String::new();
        let length = self.open()?.take(MAX_LENGTH + 1).read_to_string(&mut text);
        if length.map_err(|error| self.error(error.into()))? as u64 > MAX_LENGTH {
            return Err(self.error(io::Error::other(format!("it has more than {MAX_LENGTH} bytes")).into()));
        }
        let config = Config::parse(&text, &self.path)?;
        Ok((text, config))
    }

    /// The directories that a later read needs: the file's own, and those of symbolic links on the way to it.
    ///
    /// # Errors
    /// Another user can write the file, or the path cannot be followed.
    pub fn directories(&self) -> Result<Vec<PathBuf>, ConfigError> {
        Ok(self.find()?.directories())
    }

    /// The groups whose members may read the file by its own mode or its directory's while others may not.
    /// The balancer reads the file too, so its user is in these groups.
    pub(crate) fn groups(&self) -> Result<Vec<Gid>, ConfigError> {
        let found = self.find()?;
        let mut groups = Vec::new();
        for (entry, right) in [(found.metadata(), OTHERS_READ), (found.directory(), OTHERS_SEARCH)] {
            let groups_right = right << 3;
            if entry.mode() & (groups_right | right) == groups_right {
                groups.push(Gid::from_raw(entry.gid()));
            }
        }
        Ok(groups)
    }

    fn find(&self) -> Result<Found<'_>, ConfigError> {
        self.trust.find(&self.absolute).map_err(|error| self.error(error))
    }

    /// Opens the file with the checks of [`ConfigFile::read`].
    ///
    /// # Errors
    /// Another user can write the file, it cannot be opened, or it is not a regular file.
    pub fn open(&self) -> Result<File, ConfigError> {
        let found = self.find()?;
        if !found.metadata().is_file() {
            return Err(self.error(io::Error::other("it is not a file").into()));
        }
        found.open().map_err(|error| self.error(error))
    }

    fn error(&self, error: TrustError) -> ConfigError {
        match error {
            TrustError::Io(error) => ConfigError::unreadable(&self.path, &error),
            error => {
                ConfigError { file: self.path.display().to_string(), line: None, what: error.to_string() }
            }
        }
    }
}
