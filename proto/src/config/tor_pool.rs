//! `tor:`: one tor, or several that share the work.

use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::tor::TorPlace;

/// The most tors of one list. Each has a connection of its own, and carries every service while all others
/// are unreachable.
pub const MAX_TORS: usize = 32;

/// Tors that share the work of services: 1 to [`MAX_TORS`], each once.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TorPool(Vec<TorPlace>);

impl TorPool {
    /// Their control ports, in the order of the file.
    pub fn places(&self) -> &[TorPlace] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for TorPool {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TorPoolVisitor)
    }
}

struct TorPoolVisitor;

impl<'de> Visitor<'de> for TorPoolVisitor {
    type Value = TorPool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the path of a control socket, or ADDRESS:PORT, such as 127.0.0.1:9051 or \"[::1]:9051\" (in quotes), or a \
             list of such places",
        )
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<TorPool, E> {
        Ok(TorPool(vec![text.parse().map_err(E::custom)?]))
    }

    /// A port without an address. It gets the same error as in a text.
    fn visit_u64<E: de::Error>(self, port: u64) -> Result<TorPool, E> {
        self.visit_str(&port.to_string())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<TorPool, A::Error> {
        let mut places: Vec<TorPlace> = Vec::new();
        while let Some(place) = sequence.next_element()? {
            if places.contains(&place) {
                return Err(de::Error::custom("a tor is listed twice: remove one of the two"));
            }
            if places.len() == MAX_TORS {
                return Err(de::Error::custom(format_args!("there are more than {MAX_TORS} tors")));
            }
            places.push(place);
        }
        if places.is_empty() {
            return Err(de::Error::custom("the list of tors is empty: name one, or remove `tor`"));
        }
        Ok(TorPool(places))
    }
}
