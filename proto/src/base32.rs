//! The base32 of onion addresses and descriptor ids: RFC 4648 in lower case, without padding.

use std::sync::LazyLock;

use data_encoding::{BASE32_NOPAD, Encoding, Specification};

/// The encoding. Its decoder is strict: it refuses other letters and non-zero trailing bits.
pub(crate) fn lower_base32() -> &'static Encoding {
    static LOWER: LazyLock<Encoding> = LazyLock::new(|| {
        let mut specification = BASE32_NOPAD.specification();
        specification.symbols = "abcdefghijklmnopqrstuvwxyz234567".into();
        // Valid by construction; the fallback only changes the case.
        Specification::encoding(&specification).unwrap_or(BASE32_NOPAD)
    });
    &LOWER
}
