//! Valid and invalid configurations at the start.

use std::fs;
use std::os::unix::net::UnixListener;
use std::process::{Command, Output, Stdio};
use std::thread;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use onionbalance_proto::fixture::Backend;
use onionbalance_proto::wire::{HeldService, Reply, Request};

use crate::harness::{Client, Directory, frontend, genuine, log};

fn run(directory: &Directory, arguments: &[&str]) -> Output {
    directory.command().stdout(Stdio::piped()).args(arguments).output().unwrap()
}

fn service(key: &str) -> String {
    format!("- key: {key}\n  instances:\n  - address: {}\n", Backend::new(1).address())
}

#[test]
fn a_bad_configuration_is_one_line_and_status_78() {
    let socket = "signer-socket-location: socket\n";
    let own =
        format!("config.yaml:5: {} is the address of the frontend with the key front.pem itself", frontend());
    let good = format!("services:\n{}", service("front.pem"));
    let cases = [
        (String::new(), "config.yaml:1: there are no services"),
        ("services: [\n".into(), "config.yaml:"),
        (format!("{good}{socket}signer-sockets: x\n"), "config.yaml:6: unknown key `signer-sockets`"),
        (good.replace(".onion", "") + "5" + socket, "config.yaml:"),
        (good.replace("- address: ", "- address: x"), "config.yaml:4: services[0].instances[0].address:"),
        (
            format!("{good}{socket}signer-allowed-uids: [balancer]\n"),
            "config.yaml:6: signer-allowed-uids: there is no user balancer: install the package, or give a numeric uid",
        ),
        (format!("{good}{socket}signer-allowed-uids: [-1]\n"), "config.yaml:6: "),
        (format!("{good}{socket}signer-requests-per-minute: many\n"), "config.yaml:6: "),
        (format!("{good}{}", service("front.pem")), "config.yaml:5: two services have the key front.pem"),
        (
            format!("{good}{}{socket}", service("front.hs_ed25519_secret_key")),
            "config.yaml:5: the key file front.hs_ed25519_secret_key has the same key as another service",
        ),
        (
            good.replace("front.pem", "none.pem"),
            "config.yaml:2: the key file none.pem cannot be read: No such file",
        ),
        (
            good.replace("front.pem", "."),
            "config.yaml:2: the key file . is a directory: name the key file in it, ./hs_ed25519_secret_key",
        ),
        (
            good.replace("front.pem", "empty/"),
            "config.yaml:2: the key file empty/ is a directory: name the key file in it\n",
        ),
        (
            good.replace("front.pem", "service"),
            "config.yaml:2: the key file service is a directory: name the key file in it, service/private_key",
        ),
        (
            good.replace("front.pem", "taken"),
            "config.yaml:2: the key file taken is a socket: name a key file",
        ),
        (good.replace("front.pem", "pipe"), "config.yaml:2: the key file pipe is a pipe: name a key file"),
        (
            good.replace("front.pem", "config.yaml"),
            "config.yaml:2: the key file config.yaml may be read or changed by others (mode 644): chmod 600 it",
        ),
        (
            format!("services:\n- key: front.pem\n  instances:\n  - address: jyvfq5umznvka34v\n{socket}"),
            "config.yaml:2: the key file front.pem holds the key of a v3 service, but the instances are v2",
        ),
        (
            good.replace("front.pem", "v2.key"),
            "config.yaml:2: the key file v2.key holds the key of a v2 service, but the instances are v3",
        ),
        (
            good.replace("front.pem", "/dev/zero"),
            "config.yaml:2: the key file /dev/zero is a device: name a key file",
        ),
        (format!("{good}  - address: {}\n{socket}", frontend().to_string().to_uppercase()), &own),
        (good.clone(), "config.yaml: signer-socket-location is not set"),
    ];
    for (text, wanted) in cases {
        let directory = Directory::bare();
        fs::create_dir(directory.path().join("empty")).unwrap();
        directory.write("hs_ed25519_secret_key", "");
        fs::create_dir(directory.path().join("service")).unwrap();
        directory.write("service/private_key", "");
        mkfifo(&directory.path().join("pipe"), Mode::S_IRUSR).unwrap();
        drop(UnixListener::bind(directory.path().join("taken")).unwrap());
        directory.write("v2.key", include_bytes!("../../../proto/testdata/v2/pem-plain.key"));
        directory.write("config.yaml", &text);
        let output = run(&directory, &[]);
        let log = log(output.stderr);
        assert_eq!(output.status.code(), Some(78), "{text}\n{log}");
        assert!(log.starts_with(&format!("ERROR {wanted}")), "{text}\n{log}\nwanted {wanted}");
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(!directory.socket().try_exists().unwrap());
    }
}

#[test]
fn a_configuration_that_cannot_be_read_is_named() {
    let directory = Directory::bare();
    let output = run(&directory, &[]);
    let log = log(output.stderr);
    assert_eq!(output.status.code(), Some(78));
    assert!(log.starts_with("ERROR config.yaml: cannot be read: No such file"), "{log}");
    directory.write("config.yaml", [0xFF, 0xFE]);
    let output = run(&directory, &[]);
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn help_and_version_go_to_standard_output() {
    let directory = Directory::bare();
    for (argument, wanted) in [
        ("--help", "Usage: onionbalance-signer"),
        ("-h", "--inherited"),
        ("--version", concat!("onionbalance-signer ", env!("CARGO_PKG_VERSION"), " (protocol ")),
        ("-V", "onionbalance-signer "),
    ] {
        let output = run(&directory, &[argument]);
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8(output.stdout).unwrap().contains(wanted), "{argument}");
        assert!(output.stderr.is_empty());
    }
    for argument in ["--sign", "config.yaml", "-x"] {
        let output = run(&directory, &[argument]);
        assert_eq!(output.status.code(), Some(2), "{argument}");
        assert_eq!(String::from_utf8(output.stderr).unwrap().lines().count(), 1, "{argument}");
    }
}

#[test]
fn keys_of_both_formats_are_served_side_by_side() {
    let directory = Directory::bare();
    let text = format!(
        "services:\n{}{}signer-socket-location: socket\n",
        service("front.pem"),
        service("backend0.hs_ed25519_secret_key")
    );
    directory.write("config.yaml", text);
    let _signer = directory.serve();
    let services = directory.connect().services();
    let keys: Vec<&str> = services.iter().map(HeldService::key).collect();
    assert_eq!(keys, ["front.pem", "backend0.hs_ed25519_secret_key"]);
}

/// The journal may restart, and a pager may quit: then nobody reads the log.
#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let directory = Directory::new("");
    let mut child = directory.command().spawn().unwrap();
    drop(child.stderr.take());
    let stream = loop {
        if let Ok(stream) = std::os::unix::net::UnixStream::connect(directory.socket()) {
            break stream;
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        thread::yield_now();
    };
    let mut client = Client(stream);
    let answered = std::panic::catch_unwind(move || {
        assert!(matches!(client.ask(&Request::FrontendV3(genuine().0)), Reply::FrontendV3(_)));
        assert!(client.is_answered());
    });
    let _ = child.kill();
    let _ = child.wait();
    assert!(answered.is_ok());
}

#[test]
fn the_program_that_makes_keys_is_named() {
    let directory = Directory::new("");
    for arguments in [&["key"][..], &["key", "new", "--plain", "-o", "frontend.key"]] {
        let mut command = Command::new(directory.command().get_program());
        let output = command.args(arguments).current_dir(directory.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(log(output.stderr), "ERROR keys are made by onionbalance-key; see --help\n");
    }
}
