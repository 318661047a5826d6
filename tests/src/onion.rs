//! The two versions of onion services.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Error, Result};
use onionbalance_proto::{v2, v3};

/// A version of onion services.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnionVersion {
    /// Version 2, which needs a tor of its own.
    V2,
    /// Version 3.
    V3,
}

/// An onion address of either version.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Onion {
    /// Of version 2.
    V2(v2::OnionAddress),
    /// Of version 3.
    V3(v3::OnionAddress),
}

impl Onion {
    /// The v2 address. Fails for a v3 address.
    pub fn v2(self) -> Result<v2::OnionAddress> {
        match self {
            Self::V2(address) => Some(address),
            Self::V3(_) => None,
        }
        .with_context(|| format!("{self} is not a v2 address"))
    }

    /// The v3 address. Fails for a v2 address.
    pub fn v3(self) -> Result<v3::OnionAddress> {
        match self {
            Self::V2(_) => None,
            Self::V3(address) => Some(address),
        }
        .with_context(|| format!("{self} is not a v3 address"))
    }
}

impl FromStr for Onion {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.parse() {
            Ok(address) => Ok(Self::V2(address)),
            Err(v2::address::AddressError::Length(_)) => Ok(Self::V3(text.parse()?)),
            Err(error) => Err(error.into()),
        }
    }
}

impl fmt::Display for Onion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V2(address) => address.fmt(f),
            Self::V3(address) => address.fmt(f),
        }
    }
}
