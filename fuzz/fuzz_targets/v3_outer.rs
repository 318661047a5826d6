//! The outer document of a v3 descriptor. An input is the text before `signature`; the target signs it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onionbalance::engine::Point;
use onionbalance::v3::backend::{self, PointId};
use onionbalance_fuzz::NOW;
use onionbalance_fuzz::v3::{PUBLISHED, signed};
use onionbalance_proto::fixture::Backend;
use onionbalance_proto::v3::document::outer::Outer;

fuzz_target!(|text: &str| {
    let text = signed(text);
    let Ok(outer) = Outer::decode(&text) else { return };
    let opened = backend::open(&PUBLISHED.address, PUBLISHED.period, &text, NOW);
    if let Ok(opened) = opened {
        assert_eq!(opened.revision, outer.revision);
        let wanted: Vec<_> = PUBLISHED.descriptor.inner.points.iter().map(PointId::from).collect();
        assert_eq!(opened.points.iter().map(Point::id).collect::<Vec<_>>(), wanted);
        assert!(backend::open(&Backend::new(2).address(), PUBLISHED.period, &text, NOW).is_err());
    }
});
