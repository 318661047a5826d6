//! The cost of our own code in addition to the cryptography of a descriptor.
//!
//! `cargo bench --package onionbalance-tests --bench descriptors`. Two tasks are done in turn with the
//! cryptography that they consist of, bare and in this process, for their ratio; then Criterion times each.
//! [`Cryptography`] has the counts.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark may stop at the first surprise, and its output is for a person"
)]

mod frontend;
mod measure;

use std::hint::black_box;
use std::time::{SystemTime, UNIX_EPOCH};

use aes::Aes256;
use criterion::Criterion;
use ctr::cipher::{KeyIvInit, StreamCipher};
use curve25519_dalek::constants::X25519_BASEPOINT;
use ed25519_dalek::{Signer, SigningKey, Verifier, VerifyingKey};
use frontend::Config;
use measure::in_turn;
use onionbalance::signer::{SignerClient, SignerPlace};
use onionbalance::tor::documents::consensus::SharedRandomValue;
use onionbalance::v3::backend::{self, BackendPoint};
use onionbalance::v3::frontend::compose;
use onionbalance::v3::schedule::DescriptorTerm;
use onionbalance_proto::fixture::Backend;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::document::PeriodKeys;
use onionbalance_proto::v3::{OnionAddress, PeriodLength, TimePeriod};
use rand_core::OsRng;
use sha3::digest::{ExtendableOutput, Update, XofReader};
use sha3::{Digest, Sha3_256, Shake256};

const ROUNDS: usize = 100;
const REPEATS: usize = 20;
/// Seven backends with three points each, of which twenty fit.
const BACKENDS: u64 = 7;
const POINTS_EACH: usize = 3;
const POINTS: usize = 20;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let now = UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs());
    let term = DescriptorTerm {
        period: TimePeriod::at(now, PeriodLength::try_from(1440).unwrap(), 720),
        shared_random: SharedRandomValue([0; 32]),
        run_start: now.minus(12 * 3600),
    };
    let backends: Vec<_> = (0..BACKENDS).map(Backend::new).collect();
    let texts: Vec<_> = backends
        .iter()
        .map(|backend| backend.publish(term.period, now, POINTS_EACH, &mut OsRng).text(&mut OsRng))
        .collect();
    let addresses: Vec<_> = backends.iter().map(Backend::address).collect();
    let opened = |number: usize| backend::open(&addresses[number], term.period, &texts[number], now).unwrap();
    open(&mut criterion, || drop(black_box(opened(0))));
    let points: Vec<_> = (0..texts.len()).flat_map(|number| opened(number).points).take(POINTS).collect();
    sign(&mut criterion, &term, &points, addresses);
    criterion.final_summary();
}

/// From a backend's text on an HSDir to proven points.
fn open(criterion: &mut Criterion, opened: impl FnMut()) {
    let cryptography = Cryptography {
        // The certificate of the descriptor-signing key, and two of each point.
        verifications: 1 + 2 * POINTS_EACH,
        bodies_verified: 1,
        inner_length: 2_700,
        middle_length: 10_000,
        blinded_keys: 1,
        decoded_keys: 1 + POINTS_EACH,
        converted_keys: POINTS_EACH,
        ..Cryptography::default()
    };
    compare(criterion, "open and verify a backend's descriptor with 3 points", opened, &cryptography);
}

/// From chosen points to a signed descriptor, through the socket of the real signer.
fn sign(
    criterion: &mut Criterion,
    term: &DescriptorTerm,
    points: &[BackendPoint],
    backends: Vec<OnionAddress>,
) {
    let directory = tempfile::tempdir().unwrap();
    let config = Config::write(directory.path(), &directory.path().join("signer"), backends);
    let _signer = config.start_signer();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut client = SignerClient::new(SignerPlace::Socket(config.signer_socket.clone()));
    let service = frontend::address();
    let signed = || {
        let request = compose(&service, term, black_box(&[points]), 0);
        black_box(runtime.block_on(client.sign(request)).unwrap());
    };
    let backends = usize::try_from(BACKENDS).unwrap();
    let cryptography = Cryptography {
        // The same for each backend; and the signer verifies its own signatures before they leave.
        verifications: backends + 2 * POINTS + 1,
        bodies_verified: 1,
        signatures: 1 + 2 * POINTS,
        bodies_signed: 1,
        inner_length: 17_600,
        middle_length: 30_000,
        revision_length: 2 * 12 * 3600,
        blinded_keys: backends,
        decoded_keys: backends + POINTS,
        converted_keys: POINTS,
    };
    compare(
        criterion,
        "sign a descriptor with 20 points, proofs verified, through the socket",
        signed,
        &cryptography,
    );
}

fn compare(criterion: &mut Criterion, what: &str, mut do_whole: impl FnMut(), cryptography: &Cryptography) {
    let bench = Bench::new();
    let mut do_bare = || bench.run(cryptography);
    let mut do_with_keys = || {
        bench.run(cryptography);
        bench.read_keys(cryptography);
    };
    let [whole, bare, with_keys] = in_turn(ROUNDS, REPEATS, [&mut do_whole, &mut do_bare, &mut do_with_keys]);
    println!("{what}: {whole}");
    println!("  its signatures, hashes and cipher alone: {bare}; ratio {}", whole.ratio(&bare));
    println!("  and with its keys read and derived: {with_keys}; ratio {}", whole.ratio(&with_keys));
    let mut group = criterion.benchmark_group(what);
    group.bench_function("whole", |bencher| bencher.iter(&mut do_whole));
    group.bench_function("its signatures, hashes and cipher alone", |bencher| bencher.iter(&mut do_bare));
    group.finish();
}

/// The counts of the cryptography that a descriptor needs. Everything else is our own code: text, base64,
/// copies, frames, the socket.
#[derive(Default)]
struct Cryptography {
    /// Verifications of certificates, whose signed part has 76 bytes.
    verifications: usize,
    /// Verifications of outer documents: SHA-512 over the whole text.
    bodies_verified: usize,
    /// Signatures of certificates.
    signatures: usize,
    /// Signatures of outer documents: SHA-512 over the whole text, twice.
    bodies_signed: usize,
    /// Bytes of the inner layer's plaintext. Each layer has its keys, its keystream and its authentication
    /// code.
    inner_length: usize,
    /// Bytes of the middle layer's plaintext, padding included.
    middle_length: usize,
    /// Bytes of keystream for the revision counter: two for each second since the shared-random run began.
    revision_length: usize,
    /// Keys derived from a backend's address and the period: one of them signed the certificate of its
    /// descriptor-signing key.
    blinded_keys: usize,
    /// Keys that are verified with, or proven and handed on, and so must be points of the curve.
    decoded_keys: usize,
    /// Encryption keys converted into the form that their certificates certify.
    converted_keys: usize,
}

/// A key with a message that it signed.
struct Bench {
    key: SigningKey,
    certificate: [u8; 76],
    address: OnionAddress,
    period: TimePeriod,
}

impl Bench {
    fn new() -> Self {
        let period = TimePeriod { length: PeriodLength::try_from(1440).unwrap(), number: 1 };
        let address = Backend::new(0).address();
        Self { key: SigningKey::from_bytes(&[7; 32]), certificate: [9; 76], address, period }
    }

    /// The verifications, signatures, hashes and cipher bytes.
    fn run(&self, count: &Cryptography) {
        let signature = self.key.sign(&self.certificate);
        // The first signature is needed for verification even if none is counted.
        for _ in 1..count.signatures {
            black_box(self.key.sign(black_box(&self.certificate)));
        }
        let public = self.key.verifying_key();
        for _ in 0..count.verifications {
            public.verify(black_box(&self.certificate), &signature).unwrap();
        }
        let body = vec![1; count.middle_length * 65 / 48];
        for _ in 0..count.bodies_signed {
            black_box(self.key.sign(black_box(&body)));
        }
        for _ in 0..count.bodies_verified {
            // The signature is wrong, which takes as long to find as a right one.
            black_box(public.verify(black_box(&body), &signature).is_err());
        }
        layer(count.inner_length);
        layer(count.middle_length);
        cipher(&[3; 32], &mut vec![0; count.revision_length]);
    }

    /// Decodes the keys.
    fn read_keys(&self, count: &Cryptography) {
        let public = self.key.verifying_key();
        for _ in 0..count.blinded_keys {
            black_box(PeriodKeys::derive(black_box(&self.address), self.period));
        }
        for _ in 0..count.decoded_keys {
            black_box(VerifyingKey::from_bytes(black_box(public.as_bytes())).unwrap());
        }
        for _ in 0..count.converted_keys {
            black_box(black_box(X25519_BASEPOINT).to_edwards(0).unwrap().compress());
        }
    }
}

/// One layer: its keys, its ciphertext, its authentication code.
fn layer(length: usize) {
    let mut keys = [0; 80];
    Shake256::default().chain(black_box([1; 120])).finalize_xof().read(&mut keys);
    let mut text = vec![0; length];
    cipher(&keys[..32], &mut text);
    black_box(Sha3_256::new().chain_update(keys).chain_update(&text).finalize());
}

fn cipher(key: &[u8], bytes: &mut [u8]) {
    ctr::Ctr128BE::<Aes256>::new(key.into(), &[0; 16].into()).apply_keystream(black_box(bytes));
}
