//! The list of relays for v2 services: no more HSDirs than relays with the flag, and a ring that answers.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onionbalance::tor::documents::router_status::hsdirs;
use onionbalance::v2::ring::Ring;
use onionbalance_fuzz::v2::{BACKEND, PUBLISHED};
use onionbalance_proto::v2::{DescriptorId, SecretIdPart};

fuzz_target!(|text: &[u8]| {
    let Ok(hsdirs) = hsdirs(text) else { return };
    let lines = text.split(|byte| *byte == b'\n');
    assert!(hsdirs.len() <= lines.filter(|line| line.starts_with(b"s ")).count());

    let ring = Ring::new(hsdirs.clone());
    let part = SecretIdPart::derive(PUBLISHED.period, PUBLISHED.replica, None);
    let chosen = ring.responsible(&DescriptorId::derive(&BACKEND.address(), part));
    assert_eq!(chosen.len(), ring.len().min(3));
    assert!(chosen.iter().all(|relay| hsdirs.contains(relay)));
});
