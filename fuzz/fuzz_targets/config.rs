//! The configuration: refused with file and reason, or understood with at least one service.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use onionbalance_proto::config::Config;

fuzz_target!(|text: &str| {
    match Config::parse(text, Path::new("config.yaml")) {
        Ok(config) => {
            assert!(!config.services.is_empty());
        }
        Err(error) => {
            // What YAML takes for the end of a line.
            let ends = text.matches(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count();
            assert!(error.line.is_none_or(|line| (1..=ends + 2).contains(&line)), "{error}");
            assert!(!error.what.is_empty());
        }
    }
});
