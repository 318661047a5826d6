//! The configuration: it is refused with file, line and reason, or accepted with at least one service.

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
            // The characters that end a line in YAML.
            let ends = text.matches(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count();
            assert!(error.line.is_none_or(|line| (1..=ends + 2).contains(&line)), "{error}");
            assert!(!error.what.is_empty());
        }
    }
});
