//! The state file: accepted contents are the same after being written and read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onionbalance::state::{parse, render};

fuzz_target!(|text: &[u8]| {
    match parse(text) {
        Ok(contents) => assert_eq!(parse(&render(&contents).expect("no more than memory")), Ok(contents)),
        Err(what) => assert!(!what.is_empty()),
    }
});
