//! The log file and its predecessors: as many and as large as Onionbalance 0.1.8 kept them.
//!
//! The file is opened for each line. So logrotate and others may move, empty or delete it without telling us,
//! and a file that could not be written for a while is found again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The size in bytes from which on a file is moved aside.
const LARGEST: u64 = 10 * 1024 * 1024;
/// The number of predecessors: `.1`, the newest, to `.3`.
const OLDER: u8 = 3;

/// The log file cannot be written at the start.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot write the log file {}: {source}; its directory must exist, and both be writable (LOG_LOCATION in the \
     configuration, or ONIONBALANCE_LOG_LOCATION)",
    path.display()
)]
pub struct LogFileError {
    path: PathBuf,
    source: io::Error,
}

/// A log file. Writing never fails: a line that cannot be written there is on standard error anyway.
pub(super) struct LogFile {
    path: PathBuf,
    largest: u64,
    /// True after a warning that the file cannot be written.
    complained: bool,
}

impl LogFile {
    /// The file at this path, which is created if it does not exist.
    pub(super) fn open(path: PathBuf) -> Result<Self, LogFileError> {
        match open(&path) {
            Ok(_) => Ok(Self { path, largest: LARGEST, complained: false }),
            Err(source) => Err(LogFileError { path, source }),
        }
    }

    fn append(&self, line: &[u8]) -> io::Result<()> {
        let mut file = open(&self.path)?;
        let length = file.metadata()?.len();
        if length > 0 && length.saturating_add(line.len() as u64) > self.largest {
            // If the files cannot be moved, one that grows is better than none.
            if self.put_aside().is_ok() {
                file = open(&self.path)?;
            }
        }
        file.write_all(line)
    }

    /// Moves each file to the place of the next older one; the oldest is lost.
    fn put_aside(&self) -> io::Result<()> {
        for number in (1..OLDER).rev() {
            match fs::rename(self.older(number), self.older(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, self.older(1))
    }

    fn older(&self, number: u8) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

/// The log names the services, so other users may not read it.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.append(line) {
            Ok(()) => self.complained = false,
            Err(error) if !self.complained => {
                self.complained = true;
                // Straight to standard error: the log would come back here.
                let path = self.path.display();
                let _ = writeln!(
                    io::stderr(),
                    "cannot write the log file {path}: {error}; going on without it, and trying again with each line"
                );
            }
            Err(_) => {}
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(directory: &tempfile::TempDir) -> LogFile {
        LogFile { largest: 10, ..LogFile::open(directory.path().join("log")).unwrap() }
    }

    fn content(file: &Path) -> String {
        fs::read_to_string(file).unwrap()
    }

    #[test]
    fn three_older_files_are_kept_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = small(&directory);
        for number in 1..=9 {
            writeln!(log, "{number}234").unwrap();
        }
        assert_eq!(content(&log.path), "9234\n");
        assert_eq!(content(&log.older(1)), "7234\n8234\n");
        assert_eq!(content(&log.older(3)), "3234\n4234\n");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 4);
    }

    #[test]
    fn a_line_larger_than_a_file_has_one_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = small(&directory);
        log.write_all(b"short\n").unwrap();
        log.write_all(b"longer than ten\n").unwrap();
        assert_eq!(content(&log.path), "longer than ten\n");
        assert_eq!(content(&log.older(1)), "short\n");
    }

    #[test]
    fn it_is_continued_after_a_restart_and_after_others_moved_it() {
        let directory = tempfile::tempdir().unwrap();
        small(&directory).write_all(b"1\n").unwrap();
        let mut log = small(&directory);
        log.write_all(b"2\n").unwrap();
        assert_eq!(content(&log.path), "1\n2\n");
        fs::rename(&log.path, directory.path().join("moved")).unwrap();
        log.write_all(b"3\n").unwrap();
        assert_eq!(content(&log.path), "3\n");
        assert_eq!(content(&directory.path().join("moved")), "1\n2\n");
    }

    #[test]
    fn what_cannot_be_written_is_passed_over_until_it_can() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = small(&directory);
        fs::remove_file(&log.path).unwrap();
        fs::create_dir(&log.path).unwrap();
        log.write_all(b"lost\n").unwrap();
        assert!(log.complained);
        fs::remove_dir(&log.path).unwrap();
        log.write_all(b"found\n").unwrap();
        assert!(!log.complained);
        assert_eq!(content(&log.path), "found\n");
    }

    #[test]
    fn older_files_that_cannot_be_moved_do_not_stop_it() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = small(&directory);
        fs::create_dir_all(log.older(1).join("x")).unwrap();
        fs::create_dir_all(log.older(2).join("x")).unwrap();
        fs::write(log.older(3), "a file").unwrap();
        log.write_all(b"123456789\n").unwrap();
        log.write_all(b"more\n").unwrap();
        assert_eq!(content(&log.path), "123456789\nmore\n");
    }

    #[test]
    fn a_place_that_cannot_be_written_is_an_error_at_the_start() {
        let error = LogFile::open("/nonexistent/log".into()).err().unwrap();
        assert!(error.to_string().starts_with("cannot write the log file /nonexistent/log: No such file"));
    }
}
