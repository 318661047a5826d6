//! The revision counter's range.

/// The latest moment that tor's order-preserving cipher encrypts, in seconds since the shared-random run began
/// (tor: `OPE_INPUT_MAX`).
pub const INPUT_MAX: u64 = 1 << 18;

/// No publisher that counts as tor does reaches this: [`INPUT_MAX`] steps of at most 2^16 (rend-spec-v3 appendix F).
pub const END: u64 = INPUT_MAX << 16;
