//! The cost of everything in a v2 descriptor except its signature.
//!
//! `cargo bench --package onionbalance-tests --bench descriptors_v2`. The real signer is asked through its
//! socket for a descriptor with ten points of four backends: it opens and verifies the backends' own
//! descriptors, renders and signs. In turn with that, this process makes one bare RSA signature of 1024 bits,
//! blinded.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark may stop at the first surprise, and its output is for a person"
)]

mod measure;

use std::fmt::Write;
use std::fs;
use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use criterion::Criterion;
use measure::in_turn;
use onionbalance::signer::{SignerClient, SignerPlace};
use onionbalance::v2::backend::{self, BackendPoint};
use onionbalance::v2::frontend::compose;
use onionbalance::v2::schedule::DescriptorTerm;
use onionbalance_proto::config::InstanceV2;
use onionbalance_proto::fixture::v2::Backend;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v2::TimePeriod;
use onionbalance_proto::v2::document::{MAX_POINTS, Readers};
use onionbalance_tests::deployment::write_secret;
use onionbalance_tests::programs::{Programs, Running};
use onionbalance_tests::wait::until;
use rand_core::OsRng;
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::{Pkcs1v15Sign, RsaPrivateKey};

const ROUNDS: usize = 100;
const REPEATS: usize = 20;
const BACKENDS: usize = 4;
const POINTS_EACH: usize = 3;
const KEY: &str = include_str!("../../proto/testdata/v2/pem-plain.key");
const SOON: Duration = Duration::from_mins(1);

fn main() {
    let now = UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs());
    let backends: Vec<Backend> = (0..BACKENDS).map(|_| Backend::generate(&mut OsRng)).collect();
    let points: Vec<BackendPoint> =
        backends.iter().flat_map(|backend| points(backend, now)).take(MAX_POINTS).collect();
    let service = Backend::from_pem(KEY).address();
    let [term, _] = DescriptorTerm::both(TimePeriod::at(now, &service));

    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("signer");
    let _signer = start_signer(directory.path(), &backends);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut client = SignerClient::new(SignerPlace::Socket(socket));
    let mut whole = || {
        let request = compose(&service, term, black_box(&points), false, now);
        black_box(runtime.block_on(client.sign(request)).unwrap());
    };
    let key = RsaPrivateKey::from_pkcs1_pem(KEY).unwrap();
    let mut bare = || {
        let digest = black_box([7; 20]);
        black_box(key.sign_with_rng(&mut OsRng, Pkcs1v15Sign::new_unprefixed(), &digest).unwrap());
    };
    let [all, signature] = in_turn(ROUNDS, REPEATS, [&mut whole, &mut bare]);
    println!("sign a v2 descriptor with 10 points, backends verified, through the socket: {all}");
    println!("  its signature alone: {signature}; ratio {}", all.ratio(&signature));
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("a v2 descriptor with 10 points");
    group.bench_function("whole", |bencher| bencher.iter(&mut whole));
    group.bench_function("its signature alone", |bencher| bencher.iter(&mut bare));
    group.finish();
    criterion.final_summary();
}

/// The backend's points as the balancer knows them.
fn points(backend: &Backend, now: UnixTime) -> Vec<BackendPoint> {
    let text = backend.text(&backend.publish(now, POINTS_EACH, &mut OsRng), Readers::Everyone, &mut OsRng);
    let instance = InstanceV2::new(backend.address());
    backend::open(&instance, TimePeriod::at(now, &backend.address()), &text, now).unwrap().points
}

fn start_signer(directory: &std::path::Path, backends: &[Backend]) -> Running {
    let mut yaml = String::from(
        "signer-socket-location: signer\nsigner-requests-per-minute: 100000000\nservices:\n- key: private_key\n  instances:\n",
    );
    for backend in backends {
        writeln!(yaml, "  - address: {}", backend.address()).unwrap();
    }
    write_secret(&directory.join("private_key"), KEY).unwrap();
    fs::write(directory.join("config.yaml"), yaml).unwrap();
    let mut command = Command::new(&Programs::delivered().unwrap().signer);
    command.arg("-c").arg(directory.join("config.yaml"));
    let signer = Running::start(&mut command, &directory.join("signer.log")).unwrap();
    until(SOON, || Ok(directory.join("signer").exists().then_some(()))).unwrap();
    signer
}
