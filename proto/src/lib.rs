//! The formats that the balancer and its signer must agree on, to the byte.
//!
//! No I/O, no secrets, no clock: time and randomness are arguments. Each format has one module, with its
//! encoder beside its decoder. The balancer uses both. The signer decodes frames, the configuration, onion
//! addresses and v2 descriptors. It encodes its replies and everything that it signs, and parses no v3
//! document.
//!
//! | module | format | specification |
//! |---|---|---|
//! | [`wire`] | the conversation between the two programs: frames, requests, replies | [`wire::frame`] |
//! | [`config`] | the configuration file that both programs read | `onionbalance.yaml(5)` |
//! | [`v3`] | version-3 addresses, blinded keys, certificates and descriptors | rend-spec-v3, cert-spec |
//! | [`v2`] | version-2 addresses, descriptor ids, cookies and descriptors | rend-spec-v2 |
//! | [`netdoc`] | the text form that all descriptors share | dir-spec |
//! | [`relay`], [`time`] | fingerprints of relays, times of day | control-spec, dir-spec |
//! | [`journal`] | the variable `$JOURNAL_STREAM` | `systemd.exec(5)` |
//!
//! # Conventions
//!
//! - Lengths are in bytes unless the name or the sentence has another unit. Numbers in binary forms are
//!   unsigned and big-endian.
//! - Decoders expect hostile input. They allocate in proportion to it, and never panic.
//! - `decode` and `from_str` check the form, and no signature. [`v2::document::open`], [`v3::document::open`]
//!   and each `verify` check signatures; those of [`v3`] take the moment at which certificates must be
//!   valid.
//! - The `Debug` form of a secret, such as a [`v2::Cookie`], does not show it.
//!
//! # Examples
//!
//! The descriptor of a backend, from its address to its introduction points:
//!
//! ```
//! use onionbalance_proto::time::UnixTime;
//! use onionbalance_proto::v3::document::{PeriodKeys, open};
//! use onionbalance_proto::v3::{OnionAddress, PeriodLength, TimePeriod};
//!
//! let address: OnionAddress = "th4zxt6h4k7tcv2jwe7y3rid42pptskjmofdmt2tnwzd2n4gsotrjoid.onion".parse()?;
//! // A testing network: periods of 8 minutes, which begin 4 minutes after a multiple of their length.
//! let now = UnixTime(1_795_336_050);
//! let period = TimePeriod::at(now, PeriodLength::try_from(8)?, 4);
//! let text = std::fs::read_to_string("testdata/v3/backend0.desc")?;
//!
//! let descriptor = open(&text, &PeriodKeys::derive(&address, period), now)?;
//! assert_eq!(descriptor.inner.points.len(), 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod base32;
pub mod config;
#[cfg(feature = "fixture")]
pub mod fixture;
pub mod journal;
pub mod netdoc;
pub mod relay;
mod text;
pub mod time;
pub mod v2;
pub mod v3;
pub mod wire;
