//! Delegations, which come out of a sealed file: one that is taken lasts some time, and says nothing that cannot be logged.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onionbalance_fuzz::NOW;
use onionbalance_signer::keys;

fuzz_target!(|bytes: &[u8]| {
    let Ok(delegation) = keys::delegation(bytes) else { return };
    assert!(delegation.span().begins() < delegation.span().ends());
    let (_, notice) = delegation.notice(NOW);
    assert!(notice.is_ascii());
});
