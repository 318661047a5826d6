//! Our rings against tor-netdir's, on random networks.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop")]

#[path = "synthetic/mod.rs"]
mod synthetic;

use std::time::{Duration, SystemTime};

use onionbalance::v3::directory::Directory;
use onionbalance::v3::schedule::DescriptorTerm;
use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::v3::{BlindedKey, OnionAddress};
use rand::Rng;
use rand::SeedableRng;
use rand::rngs::StdRng;
use synthetic::{Shape, Texts, texts};
use tor_checkable::{ExternallySigned, TimeBound};
use tor_hscrypto::pk::HsBlindId;
use tor_netdir::{MdReceiver, NetDir, PartialNetDir};
use tor_netdoc::AllowAnnotations;
use tor_netdoc::doc::microdesc::MicrodescReader;
use tor_netdoc::doc::netstatus::MdConsensus;

fn netdir(texts: &Texts, now: SystemTime) -> NetDir {
    // tor-netdoc demands the last newlines that the control protocol takes off.
    let (_, _, unchecked) = MdConsensus::parse(&format!("{}\n", texts.consensus)).unwrap();
    let consensus = unchecked.if_valid_at(&now).unwrap().dangerously_assume_wellsigned();
    let mut partial = PartialNetDir::new(consensus, None);
    let microdescriptors = format!("{}\n", texts.microdescriptors);
    for found in MicrodescReader::new(&microdescriptors, &AllowAnnotations::AnnotationsNotAllowed).unwrap() {
        partial.add_microdesc(found.unwrap().into_microdesc());
    }
    assert_eq!(partial.n_missing(), 0);
    partial.unwrap_if_sufficient().map_err(|_| "too few relays").unwrap()
}

fn random_address(rng: &mut impl Rng) -> OnionAddress {
    loop {
        // About one in sixteen byte strings is a key of prime order.
        if let Ok(address) = OnionAddress::from_identity(rng.r#gen()) {
            return address;
        }
    }
}

/// The HSDirs to which tor-netdir would upload the service's descriptor of this term, by fingerprint.
fn theirs(netdir: &NetDir, address: &OnionAddress, term: &DescriptorTerm) -> Vec<Fingerprint> {
    let number = term.period.number;
    let params = netdir.hs_all_time_periods();
    let params =
        params.iter().find(|params| params.time_period().interval_num() == number).expect("this period");
    let minutes = u64::from(params.time_period().length().as_minutes());
    assert_eq!(minutes, term.period.length.minutes());
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(term.run_start.0);
    assert_eq!(params.start_of_shard_rand_period(), start);

    let blinded = HsBlindId::from(*BlindedKey::derive(address, term.period).as_bytes());
    let relays = netdir.hs_dirs_upload(blinded, params.time_period()).unwrap();
    relays.map(|relay| Fingerprint(relay.rsa_id().as_bytes().try_into().unwrap())).collect()
}

fn compare(shape: &Shape, testing: bool, now: SystemTime, rng: &mut impl Rng) {
    let texts = texts(shape, rng);
    let netdir = netdir(&texts, now);
    let directory =
        Directory::new(texts.consensus.as_bytes(), texts.microdescriptors.as_bytes(), testing).unwrap();
    assert_eq!(directory.missing(), 0);
    assert_eq!(directory.schedule().fetched_term().period.number, netdir.hs_time_period().interval_num());
    for _ in 0..8 {
        let address = random_address(rng);
        for (term, ours) in directory.store(&address) {
            assert_eq!(ours, theirs(&netdir, &address, &term), "{} {:?}", shape.params, shape.times);
        }
    }
}

fn shape(times: [String; 3], interval_minutes: u16, rng: &mut impl Rng) -> Shape {
    Shape {
        // Small rings wrap round and run out; larger ones are like the public network's.
        relays: if rng.r#gen() { rng.gen_range(1..30) } else { rng.gen_range(30..300) },
        hsdirs_percent: 80,
        times,
        params: format!(
            "hsdir_interval={interval_minutes} hsdir_n_replicas={} hsdir_spread_store={}",
            rng.gen_range(1..4),
            rng.gen_range(1..8),
        ),
        shared_random: [Some(rng.r#gen()), Some(rng.r#gen())],
    }
}

/// 2026-11-22 00:00:00 UTC.
fn midnight() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(498_696 * 3600)
}

#[test]
fn agrees_with_arti_at_every_hour_of_a_day() {
    let mut rng = StdRng::seed_from_u64(1);
    for hour in 0..24 {
        let at = |hour: u64| format!("2026-11-{:02} {:02}:00:00", 22 + hour / 24, hour % 24);
        let shape = shape([at(hour), at(hour + 1), at(hour + 3)], 1440, &mut rng);
        compare(&shape, false, midnight() + Duration::from_secs(hour * 3600), &mut rng);
    }
}

#[test]
fn agrees_with_arti_through_a_testing_networks_period() {
    // Arti takes the length from the parameter alone; this test has 24 intervals of 20 s.
    let mut rng = StdRng::seed_from_u64(2);
    for round in 0..48 {
        let at = |round: u64| format!("2026-11-22 00:{:02}:{:02}", round / 3, round % 3 * 20);
        let shape = shape([at(round), at(round + 1), at(round + 3)], 8, &mut rng);
        compare(&shape, true, midnight() + Duration::from_secs(round * 20), &mut rng);
    }
}
