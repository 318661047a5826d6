//! From tor's texts to both rings, compared with the bare hashing that every implementation needs.
//!
//! `cargo bench --package onionbalance --bench ring`. Both are done in turn for their ratio; then Criterion
//! times each.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark may stop at the first surprise, and its output is for a person"
)]

#[path = "../../tests/benches/measure/mod.rs"]
mod measure;
#[path = "../tests/synthetic/mod.rs"]
mod synthetic;

use std::hint::black_box;

use criterion::Criterion;
use measure::in_turn;
use onionbalance::v3::directory::Directory;
use onionbalance_proto::v3::OnionAddress;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sha2::{Digest, Sha256};
use sha3::Sha3_256;
use synthetic::{Shape, Texts, texts};

const RELAYS: usize = 9_000;
const ROUNDS: usize = 40;
const REPEATS: usize = 10;
/// The length of `node-idx`, identity, shared random value, period number and period length.
const INDEX_INPUT: usize = 8 + 32 + 32 + 8 + 8;

fn network(hsdirs_percent: u32) -> Texts {
    let mut rng = StdRng::seed_from_u64(9);
    let shape = Shape {
        relays: RELAYS,
        hsdirs_percent,
        times: ["10:00:00", "11:00:00", "13:00:00"].map(|time| format!("2026-11-22 {time}")),
        params: String::new(),
        shared_random: [Some(rng.r#gen()), Some(rng.r#gen())],
    };
    texts(&shape, &mut rng)
}

/// The SHA-256 of every microdescriptor and two SHA3-256 for every HSDir, with no parsing, look-up or
/// sorting.
fn bare_hashes(microdescriptors: &[u8], hsdirs: usize) -> u8 {
    let texts = microdescriptors.chunks(microdescriptors.len().div_ceil(RELAYS));
    let digests = texts.map(|text| Sha256::digest(text)[0]);
    let indices = (0..2 * hsdirs).map(|_| Sha3_256::digest(black_box([0; INDEX_INPUT]))[0]);
    digests.chain(indices).fold(0, |sum, byte| sum ^ byte)
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    // About half of the public network's relays are HSDirs; 100 % is the maximum.
    for hsdirs_percent in [50, 100] {
        let texts = network(hsdirs_percent);
        let (consensus, microdescriptors) = (texts.consensus.as_bytes(), texts.microdescriptors.as_bytes());
        let read = || Directory::new(black_box(consensus), black_box(microdescriptors), false).unwrap();
        let directory = read();
        assert_eq!(directory.missing(), 0);
        let hsdirs = directory.hsdirs();

        let mut do_rings = || drop(black_box(read()));
        let mut do_hashes = || {
            black_box(bare_hashes(black_box(microdescriptors), hsdirs));
        };
        let address: OnionAddress =
            "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid".parse().unwrap();
        let mut do_store = || drop(black_box(directory.store(black_box(&address))));
        let [to_rings, hashes, store] =
            in_turn(ROUNDS, REPEATS, [&mut do_rings, &mut do_hashes, &mut do_store]);
        println!(
            "{RELAYS} relays, {hsdirs} of them HSDirs, {} + {} kB",
            consensus.len() / 1000,
            microdescriptors.len() / 1000
        );
        println!("  from the texts to both rings: {to_rings}");
        println!("  the same hashes alone: {hashes}; ratio {}", to_rings.ratio(&hashes));
        println!("  both descriptors' HSDirs of one service: {store}");
        let mut group = criterion.benchmark_group(format!("{RELAYS} relays, {hsdirs} HSDirs"));
        group.bench_function("from the texts to both rings", |bencher| bencher.iter(&mut do_rings));
        group.bench_function("the same hashes alone", |bencher| bencher.iter(&mut do_hashes));
        group.finish();
    }
    criterion.final_summary();
}
