//! SIGHUP: the allowed backends are reloaded, all of them or none.

use std::fmt::Write;

use needs_root::needs_root;
use nix::sys::signal::Signal;
use onionbalance_proto::fixture::Backend;
use onionbalance_proto::v3::document::{PeriodKeys, open};
use onionbalance_proto::wire::{HeldService, Refusal, Reply, Request};

use crate::harness::{Client, Directory, NOBODY, Running, frontend, genuine, now};

fn config(keys: &[&str], backends: &[u64], more: &str) -> String {
    let mut text = String::from("services:\n");
    for key in keys {
        writeln!(text, "- key: {key}\n  instances:").unwrap();
        for backend in backends {
            writeln!(text, "  - address: {}", Backend::new(*backend).address()).unwrap();
        }
    }
    text + "signer-socket-location: socket\n" + more
}

fn reload(directory: &Directory, signer: &Running, config: &str) -> Vec<String> {
    // Editors replace a file like this.
    directory.write("config.new", config);
    std::fs::rename(directory.path().join("config.new"), directory.path().join("config.yaml")).unwrap();
    signer.signal(Signal::SIGHUP);
    let mut lines = Vec::new();
    loop {
        let line = signer.line();
        let last = line.contains("reloaded ") || line.contains("reload refused");
        lines.push(line);
        if last {
            return lines;
        }
    }
}

fn sign(client: &mut Client) -> Reply {
    client.ask(&Request::FrontendV3(genuine().0))
}

#[needs_root]
#[test]
fn a_removed_backend_is_refused_and_a_new_one_allowed() {
    let directory = Directory::new("");
    let signer = directory.serve_as(NOBODY);
    let mut client = directory.connect();
    signer.expect(&["connected"]);
    let Reply::FrontendV3(before) = sign(&mut client) else { panic!("refused") };
    signer.expect(&["INFO signed"]);

    let log = reload(&directory, &signer, &config(&["front.pem"], &[2], ""));
    assert!(
        log[0].contains(": 1 backend allowed") && log[1].contains("INFO reloaded config.yaml"),
        "{log:?}"
    );
    assert_eq!(sign(&mut client), Reply::Refused(Refusal::UnknownBackend));
    signer.expect(&["WARN refused"]);

    reload(&directory, &signer, &config(&["front.pem"], &[2, 1], ""));
    let Reply::FrontendV3(after) = sign(&mut client) else { panic!("refused") };
    assert!(after.revision > before.revision);
    // Certificates that the signer made while the removed backend was allowed do not fit those that it makes
    // after the reload.
    let (_, period) = genuine();
    let keys = PeriodKeys::derive(&frontend(), period);
    let [before, after] = [before, after].map(|signed| open(&signed.texts[0], &keys, now()).unwrap());
    assert_ne!(before.signing_cert.claim.certified, after.signing_cert.claim.certified);
}

#[needs_root]
#[test]
fn a_configuration_that_cannot_be_applied_changes_nothing() {
    let directory = Directory::new("");
    let signer = directory.serve_as(NOBODY);
    let mut client = directory.connect();
    signer.expect(&["connected"]);
    let own =
        format!("services:\n- key: front.pem\n  instances:\n  - address: {}\n", Backend::new(1).address());
    let own = format!("{own}  - address: {}\nsigner-socket-location: socket\n", frontend());
    let v2 = "services:\n- key: front.pem\n  instances:\n  - address: lijeinqkg3odt3fl\n";
    for (text, wanted) in [
        ("services: [".to_owned(), "config.yaml:"),
        (config(&["front.pem"], &[2], "misspelt: 1\n"), "unknown key `misspelt`"),
        (
            config(&["front.pem", "other.pem"], &[2], ""),
            "the key other.pem is not held: keys are read at the start only",
        ),
        (config(&["other.pem"], &[2], ""), "the key other.pem is not held"),
        (v2.to_owned(), "the instances of front.pem now have another version"),
        (own, &format!("config.yaml:5: {} is the address of the frontend with the key", frontend())),
    ] {
        let log = reload(&directory, &signer, &text);
        assert!(
            log[0].starts_with("ERROR reload refused, still running the previous configuration: ")
                && log[0].contains(wanted),
            "{log:?}"
        );
        assert!(matches!(sign(&mut client), Reply::FrontendV3(_)), "{text}");
        signer.expect(&["INFO signed"]);
    }
}

/// The addresses of the frontends whose keys [`with_frontends`] writes, of version 3 and of version 2.
fn addresses(directory: &Directory) -> Vec<String> {
    directory
        .connect()
        .services()
        .iter()
        .map(|service| match service {
            HeldService::V2(held) => held.address.to_string(),
            HeldService::V3 { held, .. } => held.address.to_string(),
        })
        .collect()
}

const FRONTENDS: [&str; 4] = ["front.pem", "backend0.hs_ed25519_secret_key", "one.key", "two.key"];

/// Frontends without backends, so that their addresses can be read from the signer.
fn with_frontends() -> Directory {
    let directory = Directory::bare();
    directory.write("one.key", include_bytes!("../../../proto/testdata/v2/frontend1.key"));
    directory.write("two.key", include_bytes!("../../../proto/testdata/v2/b2.key"));
    directory.write("config.yaml", listing(&[[].as_slice(); 4]));
    directory
}

/// The configuration of the four frontends with these addresses among their instances.
fn listing(lists: &[&[&String]; 4]) -> String {
    let mut text = String::from("signer-socket-location: socket\nservices:\n");
    for (key, addresses) in FRONTENDS.iter().zip(lists) {
        writeln!(text, "- key: {key}").unwrap();
        if !addresses.is_empty() {
            text += "  instances:\n";
        }
        for address in *addresses {
            writeln!(text, "  - address: {address}").unwrap();
        }
    }
    text
}

#[test]
fn a_frontend_is_not_its_own_backend_at_the_start_nor_at_a_reload() {
    let directory = with_frontends();
    let mut signer = directory.serve();
    let addresses = addresses(&directory);
    signer.expect(&["connected"]);
    signer.expect(&["disconnected"]);
    let [one, two, old, older] = addresses.as_slice() else { panic!("{addresses:?}") };
    let itself = |address: &str, key: &str| {
        format!("{address} is the address of the frontend with the key {key} itself")
    };
    let each_other = |one: &str, two: &str| {
        format!("the frontends with the keys {one} and {two} are backends of each other: ")
    };
    let cases = [
        (listing(&[&[one], &[], &[], &[]]), "config.yaml:5: ", itself(one, FRONTENDS[0])),
        (listing(&[&[], &[], &[old], &[]]), "config.yaml:7: ", itself(old, FRONTENDS[2])),
        (listing(&[&[two], &[one], &[], &[]]), "config.yaml:3: ", each_other(FRONTENDS[1], FRONTENDS[0])),
        (listing(&[&[], &[], &[older], &[old]]), "config.yaml:8: ", each_other(FRONTENDS[2], FRONTENDS[3])),
    ];
    for (text, line, wanted) in &cases {
        let log = reload(&directory, &signer, text);
        assert!(
            log[0].starts_with("ERROR reload refused") && log[0].contains(line) && log[0].contains(wanted),
            "{log:?}"
        );
    }
    let chain = listing(&[&[two], &[], &[older], &[]]);
    assert!(reload(&directory, &signer, &chain).last().unwrap().contains("INFO reloaded"));
    signer.kill();
    for (text, line, wanted) in &cases {
        directory.write("config.yaml", text);
        let (status, log) = Running::start(directory.command()).end();
        assert_eq!((status.code(), log.len()), (Some(78), 1), "{log:?}");
        assert!(log[0].contains(line) && log[0].contains(wanted), "{log:?}\nwanted {line}{wanted}");
    }
    directory.write("config.yaml", chain);
    drop(directory.serve());
}

/// In some deployments backends come and go. The version of a service without backends is that of its key.
#[test]
fn a_service_may_be_without_backends_for_a_while() {
    let none =
        "services:\n- key: front.pem\n- key: v2.key\n  instances: []\nsigner-socket-location: socket\n";
    let directory = Directory::new("");
    directory.write("v2.key", include_bytes!("../../../proto/testdata/v2/frontend1.key"));
    directory.write("config.yaml", none);
    let signer = Running::start(directory.command());
    signer.expect(&["INFO holding ", ": 0 backends allowed"]);
    signer.expect(&["INFO holding ", ": 0 backends allowed"]);
    signer.expect(&["WARN config.yaml:2: the service with the key front.pem has no instances"]);
    signer.expect(&["WARN config.yaml:3: the service with the key v2.key has no instances"]);
    signer.expect_serving();
    let mut client = directory.connect();
    signer.expect(&["connected"]);
    let held = client.services();
    let [HeldService::V3 { held, .. }, HeldService::V2(held_v2)] = held.as_slice() else {
        panic!("{held:?}")
    };
    assert!(held.backends.is_empty() && held_v2.backends.is_empty());
    assert_eq!(sign(&mut client), Reply::Refused(Refusal::UnknownBackend));
    signer.expect(&["WARN refused"]);

    let some = none.replace(
        "front.pem\n",
        &format!("front.pem\n  instances:\n  - address: {}\n", Backend::new(1).address()),
    );
    let log = reload(&directory, &signer, &some);
    assert!(log[0].contains(": 1 backend allowed") && log[1].contains("WARN config.yaml:5: "), "{log:?}");
    assert!(matches!(sign(&mut client), Reply::FrontendV3(_)));
    signer.expect(&["INFO signed"]);

    let log = reload(&directory, &signer, none);
    assert!(log[0].contains(": 0 backends allowed") && log.len() == 4, "{log:?}");
    assert_eq!(sign(&mut client), Reply::Refused(Refusal::UnknownBackend));
}

#[needs_root]
#[test]
fn a_key_that_is_not_listed_any_more_is_given_up_at_a_restart_only() {
    let directory = Directory::new("");
    directory.write("config.yaml", config(&["front.pem", "backend0.hs_ed25519_secret_key"], &[1], ""));
    let signer = directory.serve_as(NOBODY);
    let log = reload(&directory, &signer, &config(&["front.pem"], &[1], ""));
    assert!(
        log[0].contains("the key backend0.hs_ed25519_secret_key is held but no longer listed"),
        "{log:?}"
    );
}
