//! Reading a consensus, for tests.

use anyhow::{Context, Result};
use data_encoding::{BASE64_NOPAD, HEXUPPER};

/// The fingerprints of the HSDirs in a reply to `GETINFO ns/all`: an `r` line per relay, and an `s` line with
/// its flags (dir-spec).
pub(crate) fn hsdirs_of(consensus: &str) -> Result<Vec<String>> {
    let mut hsdirs = Vec::new();
    let mut identity = "";
    for line in consensus.lines() {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["r", _, of, ..] => identity = of,
            ["s", flags @ ..] if flags.contains(&"HSDir") => {
                let bytes = BASE64_NOPAD.decode(identity.as_bytes()).context("an r line has no identity")?;
                hsdirs.push(HEXUPPER.encode(&bytes));
            }
            _ => {}
        }
    }
    Ok(hsdirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_hsdirs() {
        let consensus = "r relay0 Bimcv09sFR/w5emF86G4HOSuVKg digest 2038-01-01 00:00:00 127.0.0.1 5000 0\n\
                         s Fast Running Valid\n\
                         r relay1 /WKhNC5XvQqWTkp7JpNolmyYG0g digest 2038-01-01 00:00:00 127.0.0.1 5001 0\n\
                         s Fast HSDir Running Valid\n";
        assert_eq!(hsdirs_of(consensus).unwrap(), ["FD62A1342E57BD0A964E4A7B269368966C981B48"]);
    }
}
