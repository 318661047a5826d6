//! The limits of a terminal: its width, and the room for an address.

/// The width of a screen, in characters.
pub(super) const WIDTH: usize = 80;

pub(super) use crate::names::short;

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
