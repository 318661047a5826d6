//! The state file: JSON, replaced as a whole.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use onionbalance_process::directory_of;
use onionbalance_proto::time::UnixTime;
use serde::{Deserialize, Serialize};

use super::drains::{AllDrains, MAX_DRAINS};
use crate::engine::{BackendId, Drain, Newest, ServiceId};

/// The most backends in the file, both when it is written and when it is read: more than twice those of ten
/// thousand services with ten backends each.
const MAX_BACKENDS: usize = 250_000;

/// The most bytes of a backend's entry, or of a drain's: two addresses of 62 characters or fewer, and numbers
/// of 20 digits.
const MAX_ENTRY_LEN: usize = 288;

/// The most bytes of the file.
const MAX_LEN: usize = (MAX_BACKENDS + MAX_DRAINS) * MAX_ENTRY_LEN;

/// A problem with the state file. The message has the consequence.
#[derive(Debug, thiserror::Error)]
pub(super) enum StateFileError {
    #[error("cannot read the state file {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the state file {} is not valid ({what}), and was moved to {}", path.display(), aside.display())]
    MovedAside { path: PathBuf, what: String, aside: PathBuf },
    #[error("the state file {} is not valid ({what}), and cannot be moved aside: {source}", path.display())]
    Stays { path: PathBuf, what: String, source: io::Error },
    #[error(
        "cannot write the state file {}: {source}; its directory must exist and be writable (state-file-location)",
        path.display()
    )]
    Unwritable { path: PathBuf, source: io::Error },
}

/// The contents of the file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Contents {
    /// The newest descriptor of each backend that was seen.
    pub newest: BTreeMap<BackendId, Newest>,
    /// The drains by command.
    pub drains: AllDrains,
}

/// The file's content. Another version of the format would have another number.
///
/// Releases without `drains` read the file and leave them out: to such a release no backend is drained by
/// command, and the next file that it writes has none.
#[derive(Deserialize, Serialize)]
#[serde(tag = "version")]
enum Content {
    #[serde(rename = "1")]
    First {
        backends: BTreeMap<String, Entry>,
        /// By services and backends.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        drains: BTreeMap<String, BTreeMap<String, DrainEntry>>,
    },
}

/// The newest descriptor of a backend that was seen.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    period: u64,
    revision: u64,
    /// The publication time, in seconds since 1970.
    published: u64,
    /// The time at which it was seen, in seconds since 1970; `None` in files of releases that did not keep
    /// it.
    seen: Option<u64>,
}

/// The drain of a backend.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct DrainEntry {
    /// The time at which it ends, in seconds since 1970; `None`: it does not end by itself.
    until: Option<u64>,
}

/// The place of the file.
pub(super) struct StateFile {
    path: PathBuf,
}

impl StateFile {
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The contents of the file; empty if it does not exist. A file that is not valid is moved aside.
    pub(super) fn read(&self) -> Result<Contents, StateFileError> {
        let path = self.path.clone();
        match read(&path) {
            Ok(text) => parse(&text).map_err(|what| self.move_aside(what)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Contents::default()),
            Err(source) => Err(StateFileError::Unreadable { path, source }),
        }
    }

    /// Replaces the contents of the file: after a crash it has either the old ones or the new ones. Blocks
    /// until the disk has them. If there are more than [`MAX_BACKENDS`] descriptors, the oldest are left out.
    pub(super) fn write(&self, mut contents: Contents) -> Result<(), StateFileError> {
        keep_youngest(&mut contents.newest, MAX_BACKENDS);
        let new = self.beside(".new");
        let replace = || {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(&render(&contents)?)?;
            file.sync_all()?;
            fs::rename(&new, &self.path)?;
            File::open(directory_of(&self.path))?.sync_all()
        };
        replace().map_err(|source| StateFileError::Unwritable { path: self.path.clone(), source })
    }

    fn move_aside(&self, what: String) -> StateFileError {
        let (path, aside) = (self.path.clone(), self.beside(".corrupt"));
        match fs::rename(&path, &aside) {
            Ok(()) => StateFileError::MovedAside { path, what, aside },
            Err(source) => StateFileError::Stays { path, what, source },
        }
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(ending);
        name.into()
    }
}

/// Removes the descriptors with the earliest publication times, until no more than `room` are left.
fn keep_youngest(newest: &mut BTreeMap<BackendId, Newest>, room: usize) {
    let surplus = newest.len().saturating_sub(room);
    if surplus > 0 {
        let mut by_age: Vec<_> = newest.iter().map(|(id, newest)| (newest.published, id.clone())).collect();
        by_age.sort_unstable();
        for (_, id) in by_age.into_iter().take(surplus) {
            newest.remove(&id);
        }
    }
}

/// The beginning of a regular file, as much as can be valid. Devices and the like are refused, and not moved
/// aside.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = Vec::new();
    File::open(path)?.take(MAX_LEN as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// The contents of a state file.
///
/// # Errors
/// The text has more than [`MAX_LEN`] bytes or is not valid JSON of this format; the error is the reason.
pub fn parse(text: &[u8]) -> Result<Contents, String> {
    if text.len() > MAX_LEN {
        return Err(format!("it has more than {MAX_LEN} bytes"));
    }
    let Content::First { backends, drains } =
        serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let newest = |entry: Entry| Newest {
        period: entry.period,
        revision: entry.revision,
        published: UnixTime(entry.published),
        seen: UnixTime(entry.seen.unwrap_or(entry.published)),
    };
    let named = |(name, entry): (String, Entry)| (BackendId::from(name.as_str()), newest(entry));
    let drain = |(name, DrainEntry { until }): (String, DrainEntry)| {
        (BackendId::from(name.as_str()), Drain { until: until.map(UnixTime) })
    };
    let of_service = |(name, drains): (String, BTreeMap<String, DrainEntry>)| {
        (ServiceId::from(name.as_str()), drains.into_iter().map(drain).collect())
    };
    let newest = backends.into_iter().map(named).collect();
    Ok(Contents { newest, drains: drains.into_iter().map(of_service).collect() })
}

/// The text of a state file with these contents.
///
/// # Errors
/// The serializer fails, which these types do not cause.
pub fn render(Contents { newest, drains }: &Contents) -> io::Result<Vec<u8>> {
    let entry = |newest: &Newest| Entry {
        period: newest.period,
        revision: newest.revision,
        published: newest.published.0,
        seen: Some(newest.seen.0),
    };
    let backends = newest.iter().map(|(id, newest)| (id.0.to_string(), entry(newest))).collect();
    let drain = |(id, drain): (&BackendId, Drain)| {
        (id.0.to_string(), DrainEntry { until: drain.until.map(|until| until.0) })
    };
    let drains =
        drains.iter().map(|(id, drains)| (id.0.to_string(), drains.iter().map(drain).collect())).collect();
    let mut text = serde_json::to_vec_pretty(&Content::First { backends, drains })?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newest(published: u64) -> Newest {
        let published = UnixTime(published);
        Newest { period: u64::MAX, revision: u64::MAX, published, seen: published }
    }

    fn contents(newest: BTreeMap<BackendId, Newest>) -> Contents {
        Contents { newest, drains: AllDrains::new() }
    }

    fn backends(count: u64, published: impl Fn(u64) -> u64) -> BTreeMap<BackendId, Newest> {
        let id = |number| BackendId::from(format!("{number:056}.onion").as_str());
        (0..count).map(|number| (id(number), newest(published(number)))).collect()
    }

    #[test]
    fn an_entry_is_within_its_bound() {
        let len = |count| render(&contents(backends(count, |_| u64::MAX))).unwrap().len();
        assert!(len(2) - len(1) <= MAX_ENTRY_LEN && len(1) <= MAX_ENTRY_LEN, "{} {}", len(1), len(2));
    }

    #[test]
    fn a_drain_is_within_its_bound() {
        let len = |count: u64| {
            let address = |number: u64| format!("{number:056}.onion");
            let drain = |number| {
                let drains = [(BackendId::from(&*address(0)), Drain { until: Some(UnixTime(u64::MAX)) })];
                (ServiceId::from(&*address(number)), drains.into_iter().collect())
            };
            render(&Contents { drains: (0..count).map(drain).collect(), ..Contents::default() })
                .unwrap()
                .len()
        };
        assert!(len(2) - len(1) <= MAX_ENTRY_LEN && len(1) <= MAX_ENTRY_LEN, "{} {}", len(1), len(2));
    }

    #[test]
    fn a_hundred_thousand_backends_outlive_the_process() {
        let directory = tempfile::tempdir().unwrap();
        let file = StateFile::at(directory.path().join("state.json"));
        let all = backends(100_000, |_| u64::MAX);
        file.write(contents(all.clone())).unwrap();
        assert!(file.read().unwrap().newest == all);
    }

    #[test]
    fn the_oldest_are_left_out_where_there_is_no_room() {
        let mut all = backends(10, |number| 100 - number);
        keep_youngest(&mut all, 10);
        assert_eq!(all.len(), 10);
        keep_youngest(&mut all, 7);
        assert_eq!(all, backends(7, |number| 100 - number));
    }
}
