//! The onion addresses in the log, by `LOG_ADDRESSES`: whole, shortened, or replaced by names.
//!
//! This is a filter on finished lines, before they are written. Messages do not hand their addresses over as
//! values, because most addresses come in the texts of errors: from the parser of the configuration, from
//! the signer, and from tor. A type for addresses in messages would have to reach all of these, and a text
//! that was forgotten would go out with its address. An onion address can be told from any other text by its
//! form, so that one place finds all of them, in every form of the log. A line is written by one call.
//!
//! In `short`, an address is found by its `.onion`, so that the name of a key file stays as it can be typed.
//! In `none`, 56 characters of base32 are an address in any case. A version-2 address has 16 characters,
//! which `short` shows whole, as `onionbalance status` does.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::{Arc, PoisonError, RwLock};

use onionbalance_proto::config::LogAddresses;
use tracing_subscriber::fmt::MakeWriter;

use crate::names::short;

/// The lengths of addresses in characters, without `.onion`.
const V3: usize = 56;
const V2: usize = 16;
const SUFFIX: &[u8] = b".onion";
/// The text in place of an address without a label.
const UNKNOWN: &str = "[onion]";

/// The texts in place of addresses in `none`, by the address in lower case and without `.onion`.
pub type Labels = HashMap<String, String>;

/// The form of addresses in all lines; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Addresses(Arc<RwLock<Rule>>);

#[derive(Debug)]
struct Rule {
    form: LogAddresses,
    labels: Labels,
}

impl Addresses {
    /// Addresses in this form.
    pub(super) fn new(form: LogAddresses) -> Self {
        Self(Arc::new(RwLock::new(Rule { form, labels: Labels::new() })))
    }

    /// Sets the form.
    pub(super) fn set_form(&self, form: LogAddresses) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).form = form;
    }

    /// Sets the texts in place of addresses in `none`.
    pub(super) fn set_labels(&self, labels: Labels) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).labels = labels;
    }

    /// The line with its addresses in this form.
    fn shown(&self, line: &[u8]) -> Vec<u8> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).shown(line)
    }
}

impl Rule {
    fn shown(&self, line: &[u8]) -> Vec<u8> {
        if self.form == LogAddresses::Full {
            return line.to_owned();
        }
        let mut shown = Vec::with_capacity(line.len());
        let mut rest = line;
        while let Some((before, address, after)) = self.first_address(rest) {
            shown.extend_from_slice(before);
            let address = String::from_utf8_lossy(address).to_lowercase();
            rest = after;
            match self.form {
                LogAddresses::Hidden => {
                    let label = self.labels.get(&address).map_or(UNKNOWN, String::as_str);
                    rest = add_label(&mut shown, label, rest);
                }
                LogAddresses::Short | LogAddresses::Full => {
                    shown.extend_from_slice(short(&address, "…").as_bytes());
                }
            }
        }
        shown.extend_from_slice(rest);
        shown
    }

    /// The first address of the line that has another form: the bytes before it, the address without
    /// `.onion`, and the bytes after it. `None` if there is none.
    fn first_address<'a>(&self, line: &'a [u8]) -> Option<(&'a [u8], &'a [u8], &'a [u8])> {
        let mut from = 0;
        while let Some(start) = line.get(from..)?.iter().position(|byte| is_base32(*byte)) {
            let run = line.get(from + start..)?;
            let length = run.iter().position(|byte| !is_base32(*byte)).unwrap_or(run.len());
            let end = from + start + length;
            let after = line.get(end..)?;
            let beyond = after.get(..SUFFIX.len()).filter(|next| next.eq_ignore_ascii_case(SUFFIX));
            // A colour before an address ends with a letter, so the address is the end of the run.
            let found = match (beyond.is_some(), length) {
                (true, V3..) => Some(V3),
                (false, V3..) if self.form == LogAddresses::Hidden => Some(V3),
                (true, V2..) if self.form == LogAddresses::Hidden => Some(V2),
                _ => None,
            };
            if let Some(length) = found {
                let after = after.get(beyond.map_or(0, <[u8]>::len)..)?;
                return Some((line.get(..end - length)?, line.get(end - length..end)?, after));
            }
            from = end;
        }
        None
    }
}

/// Adds a label. After the same name, as in `web1 (ADDRESS)`, it is left out with its parentheses. Returns
/// the bytes that are left.
fn add_label<'a>(shown: &mut Vec<u8>, label: &str, rest: &'a [u8]) -> &'a [u8] {
    if let (Some(before), Some(after)) = (shown.strip_suffix(b" ("), rest.strip_prefix(b")")) {
        if before.ends_with(label.as_bytes()) {
            shown.truncate(before.len());
            return after;
        }
    }
    shown.extend_from_slice(label.as_bytes());
    rest
}

fn is_base32(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'2'..=b'7')
}

/// Makes writers that write lines with their addresses in the form of `addresses`.
pub(super) struct Filtered<M> {
    pub(super) inner: M,
    pub(super) addresses: Addresses,
}

/// Writes a line by each call.
pub(super) struct FilteredWriter<W> {
    inner: W,
    addresses: Addresses,
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Filtered<M> {
    type Writer = FilteredWriter<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        FilteredWriter { inner: self.inner.make_writer(), addresses: self.addresses.clone() }
    }
}

impl<W: Write> Write for FilteredWriter<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.inner.write_all(&self.addresses.shown(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid";
    const WEB: &str = "abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrstuvwx";
    const OLD: &str = "lijeinqkg3odt3fl";

    fn shown(form: LogAddresses, line: &str) -> String {
        let addresses = Addresses::new(form);
        let labels = [(SHOP, "shop"), (OLD, "b1")];
        addresses.set_labels(labels.map(|(address, label)| (address.to_owned(), label.to_owned())).into());
        let mut written = Vec::new();
        let mut writer = FilteredWriter { inner: &mut written, addresses };
        writer.write_all(line.as_bytes()).unwrap();
        String::from_utf8(written).unwrap()
    }

    #[test]
    fn every_address_has_the_form_of_the_setting() {
        let upper = SHOP.to_uppercase();
        let lines = [
            (
                format!("at {SHOP}.onion, not {OLD}.onion"),
                "at 25njqamcwef…l5sid, not OLD.onion",
                "at shop, not b1",
            ),
            (
                format!("service={SHOP}.onion period=7\n"),
                "service=25njqamcwef…l5sid period=7\n",
                "service=shop period=7\n",
            ),
            (format!("\u{1b}[0m{SHOP}.onion"), "\u{1b}[0m25njqamcwef…l5sid", "\u{1b}[0mshop"),
            (
                format!("{{\"backend\":\"{upper}.ONION\"}}"),
                "{\"backend\":\"25njqamcwef…l5sid\"}",
                "{\"backend\":\"shop\"}",
            ),
            (format!("{WEB}.onion:80"), "abcdefghijk…tuvwx:80", "[onion]:80"),
            (format!("/etc/{SHOP}.key"), "/etc/SHOP.key", "/etc/shop.key"),
            (
                format!("shop ({SHOP}.onion) or web ({SHOP}.onion)"),
                "shop (25njqamcwef…l5sid) or web (25njqamcwef…l5sid)",
                "shop or web (shop)",
            ),
            (
                "wired.onion, .onion and ünïcode".to_owned(),
                "wired.onion, .onion and ünïcode",
                "wired.onion, .onion and ünïcode",
            ),
            (format!("{:056}", 1), "SAME", "SAME"),
        ];
        for (line, in_short, hidden) in lines {
            let wanted = |text: &str| text.replace("OLD", OLD).replace("SHOP", SHOP).replace("SAME", &line);
            assert_eq!(shown(LogAddresses::Full, &line), line);
            assert_eq!(shown(LogAddresses::Short, &line), wanted(in_short));
            assert_eq!(shown(LogAddresses::Hidden, &line), wanted(hidden));
        }
    }

    #[test]
    fn the_form_changes_while_lines_are_written() {
        let addresses = Addresses::new(LogAddresses::Full);
        let line = format!("{WEB}.onion");
        assert_eq!(addresses.shown(line.as_bytes()), line.as_bytes());
        addresses.set_form(LogAddresses::Hidden);
        assert_eq!(addresses.shown(line.as_bytes()), UNKNOWN.as_bytes());
        addresses.set_labels([(WEB.to_owned(), "web1".to_owned())].into());
        assert_eq!(addresses.shown(line.as_bytes()), b"web1");
    }
}
