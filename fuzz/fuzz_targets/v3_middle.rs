//! The middle layer of a v3 descriptor. An input is its plaintext; the target encrypts and signs around it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onionbalance_fuzz::v3::{KEYS, around_middle};
use onionbalance_fuzz::{NOW, rng};
use onionbalance_proto::v3::document;
use onionbalance_proto::v3::document::middle::{self, ClientLines};

fuzz_target!(|text: &[u8]| {
    let _ = document::open(&around_middle(text), &KEYS, NOW);
    let Some(encrypted) = str::from_utf8(text).ok().and_then(|text| middle::decode(text).ok()) else {
        return;
    };
    let written = ClientLines::made_up(&mut rng(1)).encode(&encrypted);
    assert!(written.len().is_multiple_of(10_000));
    assert_eq!(middle::decode(written.trim_end_matches('\0')), Ok(encrypted));
});
