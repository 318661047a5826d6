//! The parser's messages in the words of this program.

/// A message of the parser, without its ` at line 3 column 5`: our messages begin with the line.
pub(super) fn of_parser(message: &str) -> String {
    let what = message.split_once(" at line ").map_or(message, |(what, _)| what);
    if let Some(fault) = SYNTAX.iter().find(|(begin, _)| what.starts_with(begin)) {
        return fault.1.to_owned();
    }
    unknown_field(what).unwrap_or_else(|| what.to_owned())
}

/// Beginnings of messages about YAML itself, with their translation.
const SYNTAX: [(&str, &str); 6] = [
    ("found character that cannot start any token", "YAML is indented with spaces, not tabs"),
    ("found a tab character", "YAML is indented with spaces, not tabs"),
    ("did not find expected key", "wrong indentation, or a `:` is missing"),
    ("did not find expected '-' indicator", "wrong indentation, or a `-` is missing"),
    ("could not find expected ':'", "a `:` is missing, or the indentation is wrong"),
    ("mapping values are not allowed in this context", "wrong indentation, or a text with `: ` needs quotes"),
];

/// Translates serde's "unknown field `a`, expected one of `b`, `c`"; `None` for any other message.
fn unknown_field(what: &str) -> Option<String> {
    let (place, rest) = what.split_once("unknown field `")?;
    let (field, known) = rest.split_once('`')?;
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    Some(match similar(field, known.iter().copied()) {
        Some(name) => format!("{place}unknown key `{field}`: did you mean `{name}`?"),
        None => format!("{place}unknown key `{field}`: known are {}", known.join(", ")),
    })
}

/// The one of `names` for which `word` was probably meant; `None` if it is like none of them.
pub(super) fn similar<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = (word.chars().count() / 3).max(1);
    let form = |text: &str| -> Vec<char> { text.to_lowercase().replace('_', "-").chars().take(64).collect() };
    let word = form(word);
    let ranked = names.filter_map(|name| {
        let of_name = form(name);
        // A long name is often written in part.
        let part = of_name.get(..word.len()).map_or(usize::MAX, |part| distance(&word, part));
        let distance = match part {
            0 if word.len() >= 4 => 1,
            1 if word.len() >= 6 => distance(&word, &of_name).min(2),
            _ => distance(&word, &of_name),
        };
        (distance <= most).then_some((distance, name))
    });
    ranked.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// The number of letters to insert, delete, replace, or exchange with the next one, that make `b` of `a`
/// (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let mut previous = None;
    for (row, letter) in a.iter().enumerate() {
        let mut current = vec![row + 1];
        let mut previous_other = None;
        for (column, other) in b.iter().enumerate() {
            let cost = |list: &[usize], index: usize| list.get(index).copied().unwrap_or(usize::MAX - 1);
            let replaced = cost(&above, column) + usize::from(letter != other);
            let mut least = replaced.min(cost(&above, column + 1) + 1).min(cost(&current, column) + 1);
            if previous == Some(other) && previous_other == Some(letter) {
                least = least.min(cost(&before, column.saturating_sub(1)) + 1);
            }
            current.push(least);
            previous_other = Some(other);
        }
        before = above;
        above = current;
        previous = Some(letter);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_name_is_recognized() {
        let names = ["services", "signer-socket-location", "signer-user", "REFRESH_INTERVAL", "user", "tor"];
        for (word, wanted) in [
            ("service", Some("services")),
            ("signer-socket", Some("signer-socket-location")),
            ("signer-sockets", Some("signer-socket-location")),
            ("refresh-interval", Some("REFRESH_INTERVAL")),
            ("usre", Some("user")),
            ("tro", Some("tor")),
            ("x", None),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(similar(word, names.into_iter()), wanted, "{word}");
        }
    }

    #[test]
    fn distances_count_letters() {
        let letters = |text: &str| text.chars().collect::<Vec<_>>();
        for (a, b, wanted) in [("", "abc", 3), ("abc", "abc", 0), ("abc", "acb", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(&letters(a), &letters(b)), wanted, "{a} {b}");
        }
    }

    #[test]
    fn the_parsers_words_are_translated() {
        let said =
            "services[0]: unknown field `instance`, expected one of `key`, `instances` at line 3 column 5";
        assert_eq!(of_parser(said), "services[0]: unknown key `instance`: did you mean `instances`?");
        let said = "unknown field `colour`, expected `key` or `name`";
        assert_eq!(of_parser(said), "unknown key `colour`: known are key, name");
        assert_eq!(
            of_parser("found character that cannot start any token at line 2 column 1, while scanning for"),
            "YAML is indented with spaces, not tabs"
        );
        assert_eq!(of_parser("something else"), "something else");
    }
}
