//! The key stays where no network is, and what it delegates serves.

use std::fs;

use curve25519_dalek::scalar::{Scalar, clamp_integer};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::DecodePrivateKey;
use needs_root::needs_root;
use onionbalance_proto::fixture::{self, Backend};
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::blinding::blinding_factor;
use onionbalance_proto::v3::{OnionAddress, PeriodLength, TimePeriod};
use onionbalance_proto::wire::{HeldService, Refusal, Reply, Request, SignedFrontend};
use onionbalance_signer::keys::sealed::{Kind, Sealed};
use sha2::{Digest, Sha512};
use tor_hscrypto::RevisionCounter;

use crate::harness::{Directory, Running, now};
use crate::keys::done;
use crate::memory::search;
use crate::oracle;

/// A machine without network: `identity.key`, and what it delegated from `from` on, in `delegation.key`.
struct Offline {
    directory: Directory,
    address: OnionAddress,
}

impl Offline {
    fn new() -> Self {
        let directory = Directory::bare();
        directory.write("passphrase", "of the online signer\n");
        let address = done(&directory, &["new", "--plain", "-o", "identity.key"]).parse().unwrap();
        Self { directory, address }
    }

    /// Delegates for so many periods from the present one on.
    fn delegate(&self, name: &str, from: UnixTime, periods: u16) {
        let (from, periods) = (from.to_string(), periods.to_string());
        let arguments = ["delegate", "--key", "identity.key", "--from", &from, "--periods", &periods];
        let printed = done(
            &self.directory,
            &[&arguments[..], &["-o", name, "--new-passphrase-file", "passphrase"]].concat(),
        );
        assert_eq!(printed, self.address.to_string());
    }

    /// A machine with network, which gets nothing but the delegation.
    fn online(&self, name: &str) -> (Directory, Running) {
        let online = Directory::new("");
        let file = |name: &str| fs::read(self.directory.path().join(name)).unwrap();
        for left in ["front-aes256.pem", "front.hs_ed25519_secret_key", "backend0.hs_ed25519_secret_key"] {
            fs::remove_file(online.path().join(left)).unwrap();
        }
        // In the place of the key that the configuration names.
        online.write("front.pem", file(name));
        online.write("passphrase", file("passphrase"));
        let mut command = online.command();
        command.args(["--passphrase-file", "passphrase"]);
        let signer = Running::start(command);
        (online, signer)
    }
}

fn present(now: UnixTime) -> TimePeriod {
    TimePeriod::at(now, PeriodLength::DAY, 720)
}

fn ask(
    online: &Directory,
    frontend: &OnionAddress,
    period: TimePeriod,
    now: UnixTime,
) -> Result<SignedFrontend, Refusal> {
    let published = [Backend::new(1).publish(period, now, 3, &mut rand::thread_rng())];
    let request = fixture::request(frontend, period, &published);
    match online.connect().ask(&Request::FrontendV3(request)) {
        Reply::FrontendV3(signed) => Ok(signed),
        Reply::Refused(refusal) => Err(refusal),
        _ => panic!("another answer"),
    }
}

/// The next line of the log that holds this.
fn logged(signer: &Running, part: &str) -> String {
    loop {
        let line = signer.line();
        if line.contains(part) {
            return line;
        }
    }
}

#[test]
fn a_signer_with_nothing_else_signs_for_its_periods_and_says_when_it_ends() {
    let (offline, now) = (Offline::new(), now());
    let period = present(now);
    offline.delegate("delegation.key", now, 2);
    let (online, signer) = offline.online("delegation.key");
    let ends = period.next().next().start(720);
    let held = logged(&signer, "holding ");
    let first = if now < period.start(720).plus(12 * 3600) { period.previous() } else { period };
    let span = format!("by a delegation for the periods {} to {}/1440", first.number, period.number + 1);
    assert!(held.contains(&offline.address.to_string()) && held.contains(&span), "{held}\nwanted {span}");
    let told = logged(&signer, "the delegation for ");
    assert!(
        told.contains(&format!("{} ends at {ends} UTC, 1 periods after this one", offline.address)),
        "{told}"
    );

    let services = online.connect().services();
    assert!(
        matches!(services.as_slice(), [HeldService::V3 { delegation_ends: Some(told), .. }] if *told == ends),
        "{services:?}\nwanted {ends}"
    );

    let mut revisions = Vec::new();
    for period in [period, period.next(), period] {
        let answer = ask(&online, &offline.address, period, now).unwrap();
        let (descriptor, valid_until) = oracle::parse(&offline.address, period, &answer.texts[0]);
        assert_eq!(descriptor.intro_points().len(), 3);
        assert_eq!(descriptor.revision(), RevisionCounter::from(answer.revision));
        // Points' certificates count from the last whole hour, as tor's, and run out first.
        let hours = valid_until.unwrap().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() / 3600;
        assert!((53..=54).contains(&(hours - now.hours())), "{hours}");
        revisions.push(answer.revision);
    }
    assert!(revisions[2] > revisions[0]);
}

#[test]
fn the_period_after_its_last_is_refused_by_name() {
    let (offline, now) = (Offline::new(), now());
    let period = present(now);
    offline.delegate("delegation.key", now, 1);
    let (online, signer) = offline.online("delegation.key");
    let told = logged(&signer, "the delegation for ");
    assert!(told.starts_with("WARN ") && told.contains("0 periods after this one: make another"), "{told}");
    assert!(ask(&online, &offline.address, period, now).is_ok());
    assert_eq!(ask(&online, &offline.address, period.next(), now), Err(Refusal::NotDelegated));
    let refused = logged(&signer, "refused service=");
    assert!(refused.contains("code=33 reason=\"the key is a delegation that does not reach"), "{refused}");
    assert!(ask(&online, &offline.address, period, now).is_ok());
}

#[test]
fn one_that_has_ended_says_so_at_the_start() {
    let (offline, now) = (Offline::new(), now());
    offline.delegate("delegation.key", now.minus(40 * 86_400), 30);
    let (online, signer) = offline.online("delegation.key");
    let told = logged(&signer, "the delegation for ");
    assert!(told.starts_with("WARN ") && told.contains(" ended at "), "{told}");
    assert_eq!(ask(&online, &offline.address, present(now), now), Err(Refusal::NotDelegated));
}

#[test]
fn neither_the_identity_nor_a_blinded_secret_is_in_the_file() {
    let (offline, now) = (Offline::new(), now());
    offline.delegate("delegation.key", now, 3);
    let read = |name: &str| fs::read_to_string(offline.directory.path().join(name)).unwrap();
    let sealed = Sealed::parse(&read("delegation.key")).unwrap();
    assert_eq!(sealed.kind(), Kind::Delegation);
    let plaintext = sealed.open(b"of the online signer").unwrap();
    let holds = |secret: &[u8]| plaintext.windows(secret.len()).any(|window| window == secret);

    let identity = SigningKey::from_pkcs8_pem(&read("identity.key")).unwrap();
    let expanded: [u8; 64] = Sha512::digest(identity.to_bytes()).into();
    let mut secrets = vec![identity.to_bytes(), clamp_integer(*expanded.first_chunk().unwrap())];
    secrets.push(*expanded.first_chunk().unwrap());
    secrets.push(*expanded.last_chunk().unwrap());
    secrets.push(identity.to_scalar().to_bytes());
    for number in present(now).number - 1..present(now).number + 4 {
        let period = TimePeriod { number, ..present(now) };
        let blinded: Scalar = blinding_factor(&offline.address, period) * identity.to_scalar();
        secrets.push(blinded.to_bytes());
    }
    assert!(holds(offline.address.identity()), "what is there is found");
    for secret in &secrets {
        assert!(!secret.chunks(8).any(holds));
    }
}

/// The signing secrets in a delegation: for each period the seed, and what it is expanded to.
fn signing_secrets(plaintext: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let (mut rest, mut secrets) = (plaintext.get(44..).unwrap(), Vec::new());
    while let Some((seed, after)) = rest.split_first_chunk::<32>() {
        let expanded: [u8; 64] = Sha512::digest(seed).into();
        let scalar = SigningKey::from_bytes(seed).to_scalar().to_bytes();
        secrets.push(("seed", seed.to_vec()));
        secrets.push(("scalar", scalar.to_vec()));
        secrets.push(("prefix", expanded.last_chunk::<32>().unwrap().to_vec()));
        // Behind the counter's key and the first hour: so many certificates of 64 bytes.
        let (count, after) = after.get(36..).unwrap().split_first_chunk::<2>().unwrap();
        rest = after.get(usize::from(u16::from_be_bytes(*count)) * 64..).unwrap();
    }
    secrets
}

#[needs_root]
#[test]
fn not_even_root_finds_a_signing_key_in_the_signers_memory() {
    let (offline, now) = (Offline::new(), now());
    offline.delegate("delegation.key", now, 4);
    let (online, signer) = offline.online("delegation.key");
    logged(&signer, "listening on");
    for period in [present(now), present(now).next(), present(now)] {
        assert!(ask(&online, &offline.address, period, now).is_ok());
    }
    let text = fs::read_to_string(online.path().join("front.pem")).unwrap();
    let plaintext = Sealed::parse(&text).unwrap().open(b"of the online signer").unwrap();
    let secrets = signing_secrets(&plaintext);
    assert!((12..=15).contains(&secrets.len()));
    let (readable, found) = search(signer.id(), &secrets);
    assert!(readable > 1 << 20, "only {readable} bytes could be read");
    assert!(found.is_empty(), "{found:?} found in {readable} bytes");
}

/// Whatever the forms that keys come in: each service's descriptors are its own and verify.
#[test]
fn keys_of_all_forms_are_served_side_by_side() {
    let (offline, now) = (Offline::new(), now());
    offline.delegate("delegation.key", now, 1);
    let directory = &offline.directory;
    done(directory, &["new", "--plain", "-o", "pem.key"]);
    done(directory, &["new", "--passphrase-file", "passphrase", "-o", "encrypted.key"]);
    let sealed = ["-o", "sealed.key", "--new-passphrase-file", "passphrase"];
    done(directory, &[&["encrypt", "backend0.hs_ed25519_secret_key"], &sealed[..]].concat());
    let forms = ["pem.key", "encrypted.key", "sealed.key", "delegation.key", "front.hs_ed25519_secret_key"];
    let service = |key| format!("- key: {key}\n  instances:\n  - address: {}\n", Backend::new(1).address());
    let services = forms.map(service).concat();
    let more = "signer-socket-location: socket\nsigner-allow-locked-memory: true\n";
    directory.write("config.yaml", format!("services:\n{services}{more}"));
    let mut command = directory.command();
    command.args(["--passphrase-file", "passphrase"]);
    let signer = Running::start(command);
    let addresses = forms.map(|_| {
        let line = logged(&signer, "holding ");
        line.split(' ').nth(2).unwrap().parse::<OnionAddress>().unwrap()
    });
    logged(&signer, "listening on");
    for _ in 0..2 {
        for address in &addresses {
            let answer = ask(directory, address, present(now), now).unwrap();
            let (descriptor, _) = oracle::parse(address, present(now), &answer.texts[0]);
            assert_eq!(descriptor.intro_points().len(), 3);
        }
    }
}
