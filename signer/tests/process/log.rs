//! The form of the log lines.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use onionbalance_proto::time::UnixTime;

use crate::harness::Directory;

/// Starts the program without a configuration, with its standard error as `stderr` and the journal at this
/// stream.
fn complaint(directory: &Directory, stderr: Stdio, journal: Option<String>) {
    let mut command = directory.command();
    command.stderr(stderr).env_remove("JOURNAL_STREAM");
    if let Some(journal) = journal {
        command.env("JOURNAL_STREAM", journal);
    }
    assert_eq!(command.status().unwrap().code(), Some(78));
}

fn first_line(reader: impl Read) -> String {
    BufReader::new(reader).lines().next().unwrap().unwrap()
}

#[test]
fn has_priorities_for_the_journal_alone() {
    let directory = Directory::bare();
    let stream = |file: &File| {
        let found = file.metadata().unwrap();
        format!("{}:{}", found.dev(), found.ino())
    };
    let [(mut ours, theirs), (_, another)] = [(); 2].map(|()| {
        let (read, write) = nix::unistd::pipe().unwrap();
        (File::from(read), File::from(write))
    });
    complaint(&directory, theirs.try_clone().unwrap().into(), Some(stream(&theirs)));
    complaint(&directory, theirs.try_clone().unwrap().into(), Some(stream(&another)));
    complaint(&directory, theirs.try_clone().unwrap().into(), Some("journal".into()));
    complaint(&directory, theirs.into(), None);
    let mut log = String::new();
    ours.read_to_string(&mut log).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    let [journal, file @ ..] = lines.as_slice() else { panic!("{log}") };
    assert!(journal.starts_with("<3>config.yaml: cannot be read"), "{log}");
    assert_eq!(file.len(), 3);
    for line in file {
        let (time, rest) = line.split_once("Z ERROR ").unwrap();
        assert!(time.replace('T', " ").parse::<UnixTime>().is_ok(), "{line}");
        assert!(rest.starts_with("config.yaml: cannot be read"), "{line}");
    }
}

#[test]
fn has_neither_time_nor_priority_at_a_terminal() {
    let directory = Directory::bare();
    let pty = nix::pty::openpty(None, None).unwrap();
    complaint(&directory, pty.slave.into(), None);
    let line = first_line(File::from(pty.master));
    assert!(line.starts_with("ERROR config.yaml: cannot be read"), "{line}");
}

#[test]
fn has_no_time_if_a_command_was_typed() {
    let directory = Directory::bare();
    let mut command = Command::new(env!("CARGO_BIN_EXE_onionbalance-signer"));
    command.arg("--no-such-option").current_dir(directory.path());
    let output = command.output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.starts_with("ERROR invalid option '--no-such-option'"), "{log}");
}
