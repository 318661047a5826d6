//! Delegations, which come out of a sealed file: one that is taken lasts some time, and says nothing that cannot be logged.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onionbalance_fuzz::NOW;
use onionbalance_signer::v3::delegation::Delegation;

fuzz_target!(|bytes: &[u8]| {
    let Ok(delegation) = Delegation::decode(bytes) else { return };
    assert!(delegation.begins() < delegation.ends());
    let (_, notice) = delegation.notice(NOW);
    assert!(notice.is_ascii());
});
