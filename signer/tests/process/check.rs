//! `onionbalance-signer check`: the keys of a configuration are opened without serving.

use std::process::{Output, Stdio};

use onionbalance_key::issue::{issue, span};
use onionbalance_key_file::sealed::{Kind, seal};
use onionbalance_proto::v3::PeriodLength;
use onionbalance_signer::v3::secret::IdentitySecret;

use crate::harness::{Directory, frontend, log, now};

fn check(directory: &Directory, arguments: &[&str]) -> Output {
    directory.command().arg("check").args(arguments).stdout(Stdio::piped()).output().unwrap()
}

/// The output and the log of a check that finds nothing wrong.
fn good(directory: &Directory, arguments: &[&str]) -> (String, String) {
    let output = check(directory, arguments);
    let found = log(output.stderr);
    assert!(output.status.success(), "{found}");
    (String::from_utf8(output.stdout).unwrap(), found)
}

#[test]
fn keys_of_all_forms_are_opened_without_serving() {
    let directory = Directory::new("");
    let line = format!("front.pem: {}\n", frontend());
    assert_eq!(good(&directory, &[]), (line, String::new()));
    assert!(!directory.socket().try_exists().unwrap());

    let identity = IdentitySecret::from_seed(&[7; 32]).unwrap();
    let span = span(now(), PeriodLength::DAY, 30);
    let delegation = issue(&identity, span, &mut rand::thread_rng());
    let file = seal(Kind::Delegation, &delegation, b"opens", &mut rand::thread_rng()).unwrap();
    directory.write("front.pem", file);
    directory.write("passphrase", "opens\n");
    let (lines, notice) = good(&directory, &["--passphrase-file", "passphrase"]);
    let (address, ends) = (identity.address(), span.ends());
    assert_eq!(lines, format!("front.pem: {address}, delegated until {ends} UTC\n"));
    assert!(notice.starts_with(&format!("INFO the delegation for {address} ends at {ends} UTC")), "{notice}");
}

#[test]
fn a_problem_is_one_line_and_the_status_of_a_start() {
    let directory = Directory::new("");
    directory.write("front.pem", "no key");
    let output = check(&directory, &[]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(78), 0));
    let problem = log(output.stderr);
    assert!(problem.starts_with("ERROR config.yaml:2: the key file front.pem "), "{problem}");
    for arguments in [&["--inherited"][..], &["check"]] {
        assert_eq!(check(&directory, arguments).status.code(), Some(2), "{arguments:?}");
    }
}
