//! Reports without addresses, for reports of bugs.

use std::collections::HashMap;

use serde::de::Error;
use serde_json::Value;

use crate::status::Report;

/// The length of an HSDir's fingerprint, and those of the onion addresses of both versions.
const FINGERPRINT_LEN: usize = 40;
const V2_LEN: usize = 16;
const V3_LEN: usize = 56;

/// The report with numbers in place of addresses: the service `service-1.onion`, its backends
/// `backend-1.onion` and so on, and HSDirs `hsdir-1`. A text may name an address or a relay that the report
/// does not list any more: the address becomes `address-1.onion`, and relays get the numbers after the
/// others. The lines of clients, which have cookies, are left out.
///
/// # Errors
/// An address or a fingerprint of the report is not one. Nothing may be shown of it then.
pub(in super::super) fn redacted(report: &Report) -> serde_json::Result<Report> {
    let mut numbers = Numbers::default();
    for service in &report.services {
        numbers.list("service", &service.onion_address)?;
    }
    for service in &report.services {
        service.instances.iter().try_for_each(|of| numbers.list("backend", &of.onion_address))?;
        let hsdirs = service.descriptors.iter().flat_map(|descriptor| &descriptor.hsdir_states);
        hsdirs.into_iter().try_for_each(|hsdir| numbers.list("hsdir", &hsdir.fingerprint))?;
    }
    let mut value = serde_json::to_value(report)?;
    numbers.redact(&mut value);
    let mut redacted: Report = serde_json::from_value(value)?;
    for service in &mut redacted.services {
        service.client_line = None;
    }
    Ok(redacted)
}

/// The numbers of addresses and fingerprints.
#[derive(Default)]
struct Numbers {
    /// The names in place of these words, which are in small letters.
    names: HashMap<String, String>,
    /// The number of words of each kind.
    counts: HashMap<&'static str, usize>,
}

impl Numbers {
    /// Gives an address or a fingerprint of the report a number.
    fn list(&mut self, kind: &'static str, name: &str) -> serde_json::Result<()> {
        let word = name.strip_suffix(".onion").unwrap_or(name);
        if word.is_empty() || !word.chars().all(is_of_word) {
            return Err(Error::custom(format_args!("{name} is not the name of a {kind}")));
        }
        self.number(kind, word);
        Ok(())
    }

    fn number(&mut self, kind: &'static str, word: &str) -> &str {
        let counts = &mut self.counts;
        self.names.entry(word.to_lowercase()).or_insert_with(|| {
            let count = counts.entry(kind).or_default();
            *count += 1;
            format!("{kind}-{count}")
        })
    }

    fn redact(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.redacted(text),
            Value::Array(values) => values.iter_mut().for_each(|value| self.redact(value)),
            Value::Object(map) => map.values_mut().for_each(|value| self.redact(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// The text with the names in place of all words that have one, or that look like an address.
    fn redacted(&mut self, text: &str) -> String {
        let mut redacted = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(begin) = rest.find(is_of_word) {
            let (between, from) = rest.split_at(begin);
            let (word, after) = from.split_at(from.find(|char| !is_of_word(char)).unwrap_or(from.len()));
            redacted.push_str(between);
            redacted.push_str(self.in_place_of(word, after).unwrap_or(word));
            rest = after;
        }
        redacted + rest
    }

    /// The name in place of a word; `None` if it may stay.
    fn in_place_of(&mut self, word: &str, after: &str) -> Option<&str> {
        let is_fingerprint =
            word.len() == FINGERPRINT_LEN && word.chars().all(|char| char.is_ascii_hexdigit());
        // A word of 16 letters may be any.
        let is_address = word.len() == V3_LEN || (word.len() == V2_LEN && after.starts_with(".onion"));
        if is_fingerprint {
            Some(self.number("hsdir", word))
        } else if is_address {
            Some(self.number("address", word))
        } else {
            self.names.get(&word.to_lowercase()).map(String::as_str)
        }
    }
}

/// True for the characters of addresses and fingerprints.
fn is_of_word(char: char) -> bool {
    char.is_ascii_alphanumeric()
}
