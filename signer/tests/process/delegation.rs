//! The key stays on a machine without network, and its delegation serves.

use std::fs;

use curve25519_dalek::scalar::clamp_integer;
use data_encoding::BASE64;
use ed25519_dalek::SigningKey;
use needs_root::needs_root;
use onionbalance_key::issue::{issue, span};
use onionbalance_key_file::sealed::{Kind, seal};
use onionbalance_key_file::{Key, KeyFile};
use onionbalance_proto::fixture::{self, Backend};
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::{OnionAddress, PeriodLength, TimePeriod};
use onionbalance_proto::wire::{HeldService, Refusal, Reply, Request, SignedFrontend};
use onionbalance_signer::v3::secret::IdentitySecret;
use sha2::{Digest, Sha512};
use tor_hscrypto::RevisionCounter;
use zeroize::Zeroizing;

use crate::harness::{Directory, Running, now};
use crate::memory::search;
use crate::oracle;

const PASSPHRASE: &str = "of the online signer";

/// A machine without network, which has the key.
struct Offline {
    identity: IdentitySecret,
    address: OnionAddress,
}

impl Offline {
    fn new() -> Self {
        let identity = IdentitySecret::from_seed(&rand::random()).unwrap();
        Self { address: identity.address(), identity }
    }

    /// The file of a delegation for this number of periods, beginning with the one at `from`.
    fn delegate(&self, from: UnixTime, periods: u16) -> Zeroizing<Vec<u8>> {
        let span = span(from, PeriodLength::DAY, periods);
        let delegation = issue(&self.identity, span, &mut rand::thread_rng());
        sealed(Kind::Delegation, &delegation)
    }
}

fn sealed(kind: Kind, contents: &[u8]) -> Zeroizing<Vec<u8>> {
    seal(kind, contents, PASSPHRASE.as_bytes(), &mut rand::thread_rng()).unwrap()
}

/// A machine with network, which gets only the delegation.
fn online(delegation: &[u8]) -> (Directory, Running) {
    let online = Directory::new("");
    for left in ["front-aes256.pem", "front.hs_ed25519_secret_key", "backend0.hs_ed25519_secret_key"] {
        fs::remove_file(online.path().join(left)).unwrap();
    }
    // The delegation takes the place of the key that the configuration names.
    online.write("front.pem", delegation);
    let signer = start(&online);
    (online, signer)
}

fn start(directory: &Directory) -> Running {
    directory.write("passphrase", format!("onion balance v3\n{PASSPHRASE}\n"));
    let mut command = directory.command();
    command.args(["--passphrase-file", "passphrase"]);
    Running::start(command)
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

/// The next line of the log that contains `part`.
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
    let (online, signer) = online(&offline.delegate(now, 2));
    let ends = period.next().next().start(720);
    let held = logged(&signer, "holding ");
    let first = if now < period.start(720).plus(12 * 3600) { period.previous() } else { period };
    let span = format!("delegated for the periods {} to {}/1440", first.number, period.number + 1);
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
        // Points' certificates count from the last whole hour, as tor's do, and expire first.
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
    let (online, signer) = online(&offline.delegate(now, 1));
    let told = logged(&signer, "the delegation for ");
    assert!(told.starts_with("WARN ") && told.contains("0 periods after this one: make another"), "{told}");
    assert!(ask(&online, &offline.address, period, now).is_ok());
    assert_eq!(ask(&online, &offline.address, period.next(), now), Err(Refusal::NotDelegated));
    let refused = logged(&signer, "refused service=");
    assert!(refused.contains("code=33 reason=\"the key is a delegation that does not cover"), "{refused}");
    assert!(ask(&online, &offline.address, period, now).is_ok());
}

#[test]
fn one_that_has_ended_says_so_at_the_start() {
    let (offline, now) = (Offline::new(), now());
    let (online, signer) = online(&offline.delegate(now.minus(40 * 86_400), 30));
    let told = logged(&signer, "the delegation for ");
    assert!(told.starts_with("WARN ") && told.contains(" ended at "), "{told}");
    assert_eq!(ask(&online, &offline.address, present(now), now), Err(Refusal::NotDelegated));
}

/// The signing secrets in a delegation: for each period the seed, and its expanded key.
fn signing_secrets(plaintext: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let (mut rest, mut secrets) = (plaintext.get(44..).unwrap(), Vec::new());
    while let Some((seed, after)) = rest.split_first_chunk::<32>() {
        let expanded: [u8; 64] = Sha512::digest(seed).into();
        let scalar = SigningKey::from_bytes(seed).to_scalar().to_bytes();
        secrets.push(("seed", seed.to_vec()));
        secrets.push(("scalar", scalar.to_vec()));
        secrets.push(("prefix", expanded.last_chunk::<32>().unwrap().to_vec()));
        // The certificates, of 64 bytes each, are behind the counter's key and the first hour.
        let (count, after) = after.get(36..).unwrap().split_first_chunk::<2>().unwrap();
        rest = after.get(usize::from(u16::from_be_bytes(*count)) * 64..).unwrap();
    }
    secrets
}

#[needs_root]
#[test]
fn not_even_root_finds_a_signing_key_in_the_signers_memory() {
    let (offline, now) = (Offline::new(), now());
    let (online, signer) = online(&offline.delegate(now, 4));
    logged(&signer, "listening on");
    for period in [present(now), present(now).next(), present(now)] {
        assert!(ask(&online, &offline.address, period, now).is_ok());
    }
    let file = fs::read(online.path().join("front.pem")).unwrap();
    let Ok(KeyFile::Encrypted(sealed)) = KeyFile::parse(&file) else { panic!("it is sealed") };
    let Ok(Some(Key::Delegation(plaintext))) = sealed.open(PASSPHRASE.as_bytes()) else { panic!("it opens") };
    let secrets = signing_secrets(&plaintext);
    assert!((12..=15).contains(&secrets.len()));
    let (readable, found) = search(signer.id(), &secrets);
    assert!(readable > 1 << 20, "only {readable} bytes could be read");
    assert!(found.is_empty(), "{found:?} found in {readable} bytes");
}

/// An ed25519 key as openssl writes it: PKCS#8 around the seed (RFC 8410).
fn pem(seed: &[u8; 32]) -> String {
    let der = [b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20", &seed[..]].concat();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64.encode(&der))
}

/// A key as tor writes it.
fn tors(seed: &[u8; 32]) -> Vec<u8> {
    let expanded: [u8; 64] = Sha512::digest(seed).into();
    let scalar = clamp_integer(*expanded.first_chunk().unwrap());
    [&b"== ed25519v1-secret: type0 ==\0\0\0"[..], &scalar, expanded.last_chunk::<32>().unwrap()].concat()
}

/// Services whose keys have different forms: the descriptors of each are its own and verify.
#[test]
fn keys_of_all_forms_are_served_side_by_side() {
    let (offline, now) = (Offline::new(), now());
    let directory = Directory::bare();
    directory.write("pem.key", pem(&rand::random()));
    directory.write("tor.key", tors(&rand::random()));
    directory
        .write("sealed.key", sealed(Kind::ExpandedKey, tors(&rand::random()).last_chunk::<64>().unwrap()));
    directory.write("delegation.key", offline.delegate(now, 1));
    let forms = ["pem.key", "front-aes256.pem", "sealed.key", "delegation.key", "tor.key"];
    let service = |key| format!("- key: {key}\n  instances:\n  - address: {}\n", Backend::new(1).address());
    let services = forms.map(service).concat();
    let more = "signer-socket-location: socket\nsigner-allow-locked-memory: true\n";
    directory.write("config.yaml", format!("services:\n{services}{more}"));
    let signer = start(&directory);
    let addresses = forms.map(|_| {
        let line = logged(&signer, "holding ");
        line.split([' ', ':']).nth(2).unwrap().parse::<OnionAddress>().unwrap()
    });
    logged(&signer, "listening on");
    for _ in 0..2 {
        for address in &addresses {
            let answer = ask(&directory, address, present(now), now).unwrap();
            let (descriptor, _) = oracle::parse(address, present(now), &answer.texts[0]);
            assert_eq!(descriptor.intro_points().len(), 3);
        }
    }
}
