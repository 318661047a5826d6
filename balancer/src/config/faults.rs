//! All errors of a configuration at once.
//!
//! [`Config::parse`] reports the first error. Its line is emptied then, and the rest is parsed again, by the
//! same rules: so the errors that are found are those that the programs would report one after the other, and
//! there are none exactly if the programs accept the file. Lines are emptied and not removed, so that each
//! error has its line in the file.

use std::ops::Range;
use std::path::Path;

use onionbalance_proto::config::{Config, ConfigError, NO_SERVICES};
use serde::de::IgnoredAny;

/// The most errors that are looked for: each costs a reading of the file.
const MAX_ERRORS: usize = 50;

/// Serde's words for a key that is not set. Its place is the first key that is.
const MISSING_FIELD: &str = "missing field `";

/// The errors of a configuration.
#[derive(Debug)]
pub(super) struct Faults {
    /// The errors, in the order in which the programs would report them.
    pub(super) errors: Vec<ConfigError>,
    /// False: some part of the file could not be judged because of these errors.
    pub(super) is_complete: bool,
    /// The configuration without the places of the errors; `None`: nothing usable is left.
    pub(super) rest: Option<Config>,
}

impl Faults {
    /// Looks for the errors of the configuration `text`; `file` is its name in messages.
    pub(super) fn of(text: &str, file: &Path) -> Self {
        let mut errors: Vec<ConfigError> = Vec::new();
        let mut draft = Draft::of(text);
        let ended = |errors, rest: Option<Config>| Self { errors, is_complete: rest.is_some(), rest };
        loop {
            let error = match Config::parse(&draft.text(), file) {
                Ok(config) => return ended(errors, Some(config)),
                Err(error) => error,
            };
            let index = error.line.and_then(|line| line.checked_sub(1));
            let is_new = errors.is_empty()
                || (error.what != NO_SERVICES
                    && !index.is_some_and(|index| draft.is_consequence(index, &error.what)));
            let path = error.what.clone();
            if is_new {
                errors.push(ConfigError { what: draft.renumbered(&error.what), ..error });
            }
            let Some(index) = index.filter(|_| errors.len() < MAX_ERRORS) else {
                return ended(errors, None);
            };
            let changed = if is_new { draft.empty_entry(index) } else { draft.empty_item(index, &path) };
            if !changed || serde_yaml::from_str::<IgnoredAny>(&draft.text()).is_err() {
                return ended(errors, None);
            }
        }
    }
}

/// The lines of a file, some of which have been emptied. Lines are counted from 0 here.
struct Draft<'a> {
    lines: Vec<&'a str>,
    /// True for each line that was emptied.
    emptied: Vec<bool>,
    /// The list items that were emptied: the path of the list, and the number of the item in the file.
    items: Vec<(String, usize)>,
}

impl<'a> Draft<'a> {
    fn of(text: &'a str) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        Self { emptied: vec![false; lines.len()], lines, items: Vec::new() }
    }

    fn text(&self) -> String {
        self.lines.iter().flat_map(|line| [line, "\n"]).collect()
    }

    /// True for an error that may be there only because something was emptied: a field is missing in a list
    /// item of which a part was emptied, or the error is reported after one further down in the same item.
    fn is_consequence(&self, index: usize, message: &str) -> bool {
        let emptied = |range: Range<usize>| {
            self.emptied.get(range).is_some_and(|lines| lines.iter().any(|is_emptied| *is_emptied))
        };
        let is_late = message.contains(MISSING_FIELD) || emptied(index..self.lines.len());
        is_late && (emptied(index..index + 1) || self.item(index).is_some_and(emptied))
    }

    /// Empties the entry that begins in this line, and leaves the dashes before it. False: nothing was left
    /// to empty.
    fn empty_entry(&mut self, index: usize) -> bool {
        let Some(line) = self.lines.get(index).copied() else { return false };
        let start = content(line);
        let has_own_value = !line.get(start..).unwrap_or_default().trim_end().ends_with(':');
        let end = self.end(index, start, has_own_value);
        let prefix = line.get(..start).unwrap_or_default();
        let changed = self.empty(index..end);
        if let Some(line) = self.lines.get_mut(index) {
            *line = prefix;
        }
        changed
    }

    /// Empties the list item around this line, else the entry. `message` begins with the item's path.
    fn empty_item(&mut self, index: usize, message: &str) -> bool {
        let Some(item) = self.item(index) else { return self.empty_entry(index) };
        if let Some((list, number)) = item_path(message) {
            let item = (self.renumbered(list), self.original(&self.renumbered(list), number));
            self.items.push(item);
            self.items.sort();
        }
        self.empty(item)
    }

    fn empty(&mut self, range: Range<usize>) -> bool {
        let mut changed = false;
        for (line, emptied) in
            self.lines.iter_mut().zip(&mut self.emptied).skip(range.start).take(range.len())
        {
            changed |= !line.trim().is_empty();
            *line = "";
            *emptied = true;
        }
        changed
    }

    /// The lines of the list item around this line; `None` for a line outside of lists.
    fn item(&self, index: usize) -> Option<Range<usize>> {
        let own = self.lines.get(index)?;
        let mut indent = if own.trim().is_empty() { usize::MAX } else { content(own) };
        for start in (0..=index).rev() {
            let line = self.lines.get(start)?;
            if is_blank(line) || (indentation(line) >= indent && start != index) {
                continue;
            }
            if is_dash(line.trim_start()) {
                return Some(start..self.end(start, indentation(line), true));
            }
            indent = indentation(line);
        }
        None
    }

    /// The line after the block that begins in the line `start` at the column `column`. A list may be at its
    /// key's own column, and belongs to it unless the key `has_own_value`.
    fn end(&self, start: usize, column: usize, has_own_value: bool) -> usize {
        let belongs = |line: &&str| {
            let line = *line;
            let is_list = !has_own_value && indentation(line) == column && is_dash(line.trim_start());
            is_blank(line) || indentation(line) > column || is_list
        };
        let after = self.lines.iter().skip(start + 1);
        start + 1 + after.take_while(|line| belongs(line)).count()
    }

    /// The message with the numbers of items in the file instead of those in what is left of it.
    fn renumbered(&self, message: &str) -> String {
        let (path, rest) = message.split_once(':').unwrap_or((message, ""));
        if !path.contains('[') || path.contains(' ') {
            return message.to_owned();
        }
        let mut whole = String::new();
        for (place, part) in path.split('[').enumerate() {
            match part.split_once(']').and_then(|(number, rest)| Some((number.parse().ok()?, rest))) {
                Some((number, rest)) if place > 0 => {
                    let number = self.original(&whole, number);
                    whole = format!("{whole}[{number}]{rest}");
                }
                _ => whole.push_str(part),
            }
        }
        if message.contains(':') { format!("{whole}:{rest}") } else { whole }
    }

    /// The number in the file of an item in the list at this path.
    fn original(&self, list: &str, number: usize) -> usize {
        let emptied = self.items.iter().filter(|(path, _)| path == list);
        emptied.fold(number, |number, (_, item)| if *item <= number { number + 1 } else { number })
    }
}

/// The path of the list, and the number, of the last item in the path that a message begins with.
fn item_path(message: &str) -> Option<(&str, usize)> {
    let (path, _) = message.split_once(':')?;
    let (list, rest) = path.rsplit_once('[')?;
    let (number, _) = rest.split_once(']')?;
    Some((list, number.parse().ok()?))
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// The column after the spaces and dashes at the beginning of a line.
fn content(line: &str) -> usize {
    let mut rest = line.trim_start_matches(' ');
    while is_dash(rest) {
        rest = rest.strip_prefix('-').unwrap_or(rest).trim_start_matches(' ');
    }
    line.len() - rest.len()
}

/// True for the text of a list item, from its dash on.
fn is_dash(text: &str) -> bool {
    text.starts_with("- ") || text.trim_end() == "-"
}

/// True for a line without anything, or with a comment alone.
fn is_blank(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#')
}

#[cfg(test)]
mod tests {
    use onionbalance_proto::fixture::Backend;

    use super::*;

    fn faults(text: &str) -> (Vec<String>, bool) {
        let faults = Faults::of(text, Path::new("c"));
        assert_eq!(Config::parse(text, Path::new("c")).is_err(), !faults.errors.is_empty(), "{text}");
        (faults.errors.iter().map(ToString::to_string).collect(), faults.is_complete)
    }

    fn assert_begins(text: &str, wanted: &[&str]) {
        let (errors, is_complete) = faults(text);
        assert!(is_complete, "{errors:#?}");
        assert_eq!(errors.len(), wanted.len(), "{text}\n{errors:#?}");
        for (error, wanted) in errors.iter().zip(wanted) {
            assert!(error.starts_with(wanted), "{error}\nwanted {wanted}");
        }
    }

    /// `ADDRESS1` and so on are addresses.
    fn with_addresses(text: &str) -> String {
        (1..5).fold(text.to_owned(), |text, number| {
            let address = Backend::new(number).address().to_string();
            text.replace(&format!("ADDRESS{number}"), &address)
        })
    }

    #[test]
    fn a_good_file_has_none() {
        let text = with_addresses("services:\n- key: k\n  instances:\n  - address: ADDRESS1\n");
        assert_eq!(faults(&text), (vec![], true));
    }

    #[test]
    fn each_error_has_its_own_line() {
        let text = with_addresses(
            "services:\n- key: shop.key\n  instance:\n  - address: ADDRESS1\n- key: other.key\n  instances:\n  \
             - address: ADDRESS1\n  - adress: ADDRESS2\n  - address: short\n    nmae: web3\n  - address: ADDRESS3\n    \
             name: ''\n  - address: worse\nREFRESH_INTERVAL: often\n# a comment\ncolour: red\nsigner-allowed-uids:\n- \
             -1\n- 7\nLOG_LEVEL: loud\n",
        );
        assert_begins(
            &text,
            &[
                "c:3: services[0]: unknown key `instance`: did you mean `instances`?",
                "c:8: services[1].instances[1]: unknown key `adress`: did you mean `address`?",
                "c:9: services[1].instances[2].address: an onion address has 56 characters",
                "c:10: services[1].instances[2]: unknown key `nmae`: did you mean `name`?",
                "c:13: services[1].instances[4].address: an onion address has 56 characters",
                "c:14: REFRESH_INTERVAL: write a whole number of seconds",
                "c:16: unknown key `colour`: known are services,",
                "c:18: signer-allowed-uids[0]: ",
                "c:20: LOG_LEVEL: write debug, info,",
            ],
        );
    }

    #[test]
    fn errors_of_whole_items_are_found() {
        let text = with_addresses(
            "services:\n  - key: a\n    instances:\n      - address: ADDRESS1\n      - address: o6ff73vmigi4oxka\n      \
             - address: ADDRESS2\n        auth: dCmx3qIvArbil8A0KM4KgQ\n  - instances: []\n  - key: a\n  - key: b\n    \
             tor-control-password: hush\n",
        );
        assert_begins(
            &text,
            &[
                "c:5: services[0].instances[1]: v2 and v3 addresses are listed under one service",
                "c:6: services[0].instances[2]: `auth` is for v2 addresses",
                "c:8: services[1]: missing field `key`",
                "c:9: two services have the key a",
                "c:10: the service with the key b has a tor-control-password and no `tor`",
            ],
        );
    }

    #[test]
    fn an_error_of_yaml_does_not_hide_the_others() {
        assert_begins(
            "services:\n- key: k\n\tname: x\nLOG_LEVEL: loud\n",
            &["c:3: YAML is indented with spaces, not tabs", "c:4: LOG_LEVEL: write debug, info,"],
        );
    }

    #[test]
    fn what_cannot_be_taken_apart_ends_the_search() {
        for text in
            ["", "services: []", "services: [{key: k, instance: []}]", "- a\n- b\n", "a", "services:\n"]
        {
            let (errors, is_complete) = faults(text);
            assert!(!errors.is_empty() && !is_complete, "{text}: {errors:?}");
        }
    }

    #[test]
    fn the_search_has_a_bound() {
        let text = (0..2 * MAX_ERRORS).fold("services:\n- key: k\n".to_owned(), |text, number| {
            text + &format!("unknown-{number}: x\n")
        });
        let (errors, is_complete) = faults(&text);
        assert!(errors.len() == MAX_ERRORS && !is_complete);
    }
}
