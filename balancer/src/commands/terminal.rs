//! The limits of a terminal: its width, and the room for an address.

/// The width of a screen, in characters.
pub(super) const WIDTH: usize = 80;
/// The characters of an address that are shown: the first, and the last before `.onion`.
const SHOWN: (usize, usize) = (11, 5);

/// The first and the last characters of an onion address, with `between` between them. An address of version
/// 2 is short enough, and stays whole.
pub(super) fn short(address: &str, between: &str) -> String {
    let name = address.strip_suffix(".onion").unwrap_or(address);
    let (first, last) = SHOWN;
    match (name.get(..first), name.len().checked_sub(last).and_then(|from| name.get(from..))) {
        (Some(begin), Some(end)) if name.len() > first + last => format!("{begin}{between}{end}"),
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_address_has_both_ends() {
        let address = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid.onion";
        assert_eq!(short(address, "..."), "25njqamcwef...l5sid");
        assert_eq!(short("lijeinqkg3odt3fl.onion", "..."), "lijeinqkg3odt3fl.onion");
    }
}
