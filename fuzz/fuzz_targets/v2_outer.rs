//! The document around a v2 descriptor's introduction points. An input is the text before `signature`; the
//! target signs it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onionbalance::v2::backend;
use onionbalance_fuzz::NOW;
use onionbalance_fuzz::v2::{BACKEND, instance, period, signed};
use onionbalance_proto::v2::document::open_outer;

fuzz_target!(|text: &str| {
    let text = signed(text);
    let Ok(outer) = open_outer(&text) else { return };
    assert_eq!(outer.key.address(), BACKEND.address());
    if let Ok(opened) = backend::open(&instance(None), period(), &text, NOW) {
        assert_eq!(opened.published, outer.published);
        assert!((1..=10).contains(&opened.points.len()));
    }
});
