//! Key files of both versions: an accepted key can sign, and any other file is refused with a reason.
//!
//! The first line of an input is the passphrase, the rest is the key file.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use onionbalance_fuzz::rng;
use onionbalance_key_file::passphrase::Passphrases;
use onionbalance_proto::v3::{BlindedKey, PeriodLength, TimePeriod};
use onionbalance_signer::keys::{self, Secret};
use zeroize::Zeroizing;

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(2, |byte| *byte == b'\n');
    let (Some(passphrase), Some(file)) = (parts.next(), parts.next()) else { return };
    let passphrases =
        Passphrases::File { path: "passphrases".into(), text: Zeroizing::new(passphrase.to_vec()) };
    let key = match passphrases.open(file, Path::new("key")) {
        Ok(key) => key,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    match keys::secret(&key) {
        Ok(Secret::V2(secret)) => assert!(secret.sign(&[1; 20], &mut rng(1)).is_some()),
        Ok(Secret::V3(authority)) => {
            let length = PeriodLength::try_from(1440).expect("a usual length");
            let period = TimePeriod { length, number: 20_000 };
            let certificate = authority
                .period(period, &mut rng(1))
                .and_then(|secrets| authority.certify(secrets.signing.public(), period, period.start(720)));
            // A delegation may not cover this period.
            if let Ok(certificate) = certificate {
                let blinded = BlindedKey::derive(&authority.address(), period);
                assert_eq!(certificate.claim.signed_by, *blinded.as_bytes());
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
