//! The memory in which keys are, and the memory in which they are not.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::process::Command;

use curve25519_dalek::Scalar;
use needs_root::needs_root;
use onionbalance_proto::wire::{Reply, Request};
use sha2::{Digest, Sha512};

use crate::harness::{Directory, Running, genuine, without_calls};

const TOR_KEY: &[u8] = include_bytes!("../../../proto/testdata/v3/front.hs_ed25519_secret_key");
const PEM_KEY: &str = include_str!("../../../proto/testdata/v3/front.pem");

/// Each part of the frontend's key that is enough to impersonate the frontend.
fn secrets() -> Vec<(&'static str, Vec<u8>)> {
    let body: String = PEM_KEY.lines().filter(|line| !line.starts_with('-')).collect();
    let der = data_encoding::BASE64.decode(body.as_bytes()).unwrap();
    // The last 32 bytes of PKCS#8 without a public key (RFC 8410).
    let seed = der.get(der.len() - 32..).unwrap().to_vec();
    let expanded = TOR_KEY.get(32..).unwrap();
    let (scalar, prefix) = expanded.split_at(32);
    assert_eq!(Sha512::digest(&seed).get(32..), Some(prefix), "the two files hold one key");
    let reduced = Scalar::from_bytes_mod_order(scalar.try_into().unwrap()).to_bytes();
    vec![
        ("seed", seed),
        ("scalar", scalar.to_vec()),
        ("reduced scalar", reduced.to_vec()),
        ("prefix for nonces", prefix.to_vec()),
    ]
}

/// The number of bytes that root can read of a process's memory, and the names of those `secrets` that are in
/// them.
pub(crate) fn search(process: u32, secrets: &[(&'static str, Vec<u8>)]) -> (usize, Vec<&'static str>) {
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let mut memory = File::open(format!("/proc/{process}/mem")).unwrap();
    let (mut readable, mut found) = (0, Vec::new());
    for line in maps.lines().filter(|line| !line.contains("[vvar") && !line.contains("[vsyscall")) {
        let (range, _) = line.split_once(' ').unwrap();
        let (begin, end) = range.split_once('-').unwrap();
        let [begin, end] = [begin, end].map(|address| u64::from_str_radix(address, 16).unwrap());
        let mut bytes = Vec::new();
        memory.seek(SeekFrom::Start(begin)).unwrap();
        // Secret memory and guard pages cannot be read; they are skipped.
        let _ = (&mut memory).take(end - begin).read_to_end(&mut bytes);
        readable += bytes.len();
        let holds = |secret: &[u8]| memchr::memmem::find(&bytes, secret).is_some();
        found.extend(secrets.iter().filter(|(_, secret)| holds(secret)).map(|(name, _)| *name));
    }
    (readable, found)
}

fn sign_often(directory: &Directory) {
    let mut client = directory.connect();
    for _ in 0..20 {
        assert!(matches!(client.ask(&Request::FrontendV3(genuine().0)), Reply::FrontendV3(_)));
    }
}

#[needs_root]
#[test]
fn not_even_root_finds_the_key_in_the_signers_memory() {
    for key in ["front.pem", "front.hs_ed25519_secret_key", "front-aes256.pem"] {
        let directory = Directory::new("");
        directory.write("pass", "onion balance v3\n");
        let config = std::fs::read_to_string(directory.path().join("config.yaml")).unwrap();
        directory.write("config.yaml", config.replace("front.pem", key));
        let mut command = directory.command();
        command.args(["--passphrase-file", "pass"]);
        let signer = Running::start(command).serving();
        sign_often(&directory);
        let (readable, found) = search(signer.id(), &secrets());
        assert!(readable > 1 << 20, "only {readable} bytes could be read");
        assert!(found.is_empty(), "{key}: {found:?} found in {readable} bytes");
    }
}

/// The command, to be run as if the kernel had no `memfd_secret`.
fn without_secret_memory(command: Command) -> Command {
    without_calls(command, &[nix::libc::SYS_memfd_secret])
}

fn start_without_secret_memory(directory: &Directory) -> Running {
    Running::start(without_secret_memory(directory.command()))
}

#[needs_root]
#[test]
fn without_secret_memory_it_starts_only_if_it_may() {
    let directory = Directory::new("");
    let (status, log) = start_without_secret_memory(&directory).end();
    assert_eq!((status.code(), log.len()), (Some(78), 1), "{log:?}");
    assert!(
        log[0].starts_with(
            "ERROR the kernel has no secret memory for keys (memfd_secret: ENOSYS: Function not implemented): boot it with the \
             option secretmem.enable=1, or set `signer-allow-locked-memory: true` in the configuration (locked memory is not \
             swapped, but root can read the keys in it)"
        ),
        "{log:?}"
    );

    // RSA keys are not kept in secret memory.
    let directory = Directory::new("");
    directory.write("v2.key", include_bytes!("../../../proto/testdata/v2/frontend1.key"));
    let v2 = "services:\n- key: v2.key\n  instances:\n  - address: lijeinqkg3odt3fl\nsigner-socket-location: socket\n";
    directory.write("config.yaml", v2);
    drop(start_without_secret_memory(&directory).serving());

    let directory = Directory::new("signer-allow-locked-memory: true\n");
    let signer = start_without_secret_memory(&directory);
    signer.expect(&["WARN keys are in locked memory, which root can read"]);
    let signer = signer.serving();
    sign_often(&directory);
    let locked = std::fs::read_to_string(format!("/proc/{}/status", signer.id())).unwrap();
    let locked = locked.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap().trim().to_owned();
    assert_ne!(locked, "0 kB");
    // The warning is right, and the search finds a secret that is there.
    let (_, found) = search(signer.id(), &secrets());
    assert!(found.contains(&"reduced scalar") && found.contains(&"prefix for nonces"), "{found:?}");
}
