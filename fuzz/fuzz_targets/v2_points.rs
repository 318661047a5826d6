//! A v2 descriptor's introduction points, plain and encrypted in both ways. The target signs around them.
//!
//! The first byte of an input chooses the encryption of the rest: the rest is a plaintext to encrypt, or a
//! whole message.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onionbalance::v2::backend;
use onionbalance_fuzz::v2::{around_message, cookie, instance, period};
use onionbalance_fuzz::{NOW, rng};
use onionbalance_proto::v2::document::points;
use onionbalance_proto::v2::layer;

fuzz_target!(|input: &[u8]| {
    let Some((form, rest)) = input.split_first() else { return };
    let message = match form % 3 {
        0 => rest.to_vec(),
        1 => layer::encrypt_basic(rest, &[cookie()], &mut rng(1)).expect("one client"),
        _ => layer::encrypt_stealth(rest, &cookie(), &mut rng(1)),
    };
    let text = around_message(&message);
    for cookie in [None, Some(cookie())] {
        if let Ok(opened) = backend::open(&instance(cookie), period(), &text, NOW) {
            assert!((1..=10).contains(&opened.points.len()));
            let points: Vec<_> = opened.points.into_iter().map(|point| point.point).collect();
            assert_eq!(points::decode(&points::encode(&points)), Ok(points));
        }
    }
});
