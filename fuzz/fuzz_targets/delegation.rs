//! Delegations, the contents of sealed files: an accepted one covers some time, and its notices can be
//! logged.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onionbalance_fuzz::NOW;
use onionbalance_key_file::Key;
use onionbalance_signer::keys::{self, Secret};
use onionbalance_signer::v3::authority::Authority;
use zeroize::Zeroizing;

fuzz_target!(|bytes: &[u8]| {
    let key = Key::Delegation(Zeroizing::new(bytes.to_vec()));
    let Ok(Secret::V3(Authority::Delegation(delegation))) = keys::secret(&key) else { return };
    assert!(delegation.span.begins() < delegation.span.ends());
    let (_, notice) = delegation.notice(NOW);
    assert!(notice.is_ascii());
});
