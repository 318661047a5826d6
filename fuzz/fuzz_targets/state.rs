//! The state file: accepted contents are the same after being written and read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onionbalance::state::{parse, render};

fuzz_target!(|text: &[u8]| {
    match parse(text) {
        Ok(newest) => assert_eq!(parse(&render(&newest).expect("no more than memory")), Ok(newest)),
        Err(what) => assert!(!what.is_empty()),
    }
});
