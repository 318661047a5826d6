//! `health-check:` as it is written in the file.

use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Checking, HealthCheck, HttpProbe, ProbeKind, StatusCodes};
use crate::text;

/// The shortest and the longest interval, in seconds.
const INTERVAL: (u64, u64) = (10, 24 * 60 * 60);
/// The shortest and the longest timeout, in seconds. Tor itself gives up after two minutes (`SocksTimeout`).
const TIMEOUT: (u64, u64) = (1, 120);
/// The timeout where none is written, unless the interval is shorter.
const USUAL_TIMEOUT: Duration = Duration::from_secs(20);
/// The most failures or successes in a row that a check can wait for.
const MAX_IN_ROW: u64 = 100;
/// The longest path of a request, in bytes.
const MAX_PATH: usize = 2048;
/// The longest `Host` of a request, in bytes: a name of the DNS, and a port.
const MAX_HOST: usize = 260;
/// The longest text that a page can be searched for, in bytes.
const MAX_TEXT: usize = 1024;

impl<'de> Deserialize<'de> for Checking {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CheckingVisitor)
    }
}

/// Reads the `health-check` of a service, which no other setting precedes: without one it is off.
pub(in super::super) fn of_service<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<HealthCheck>, D::Error> {
    Ok(match Checking::deserialize(deserializer)? {
        Checking::OfService | Checking::Off => None,
        Checking::Own(check) => Some(*check),
    })
}

struct CheckingVisitor;

impl<'de> Visitor<'de> for CheckingVisitor {
    type Value = Checking;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("off, or below it `kind: connect` or `kind: http`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Checking, E> {
        if text == "off" { Ok(Checking::Off) } else { Err(unknown()) }
    }

    fn visit_bool<E: de::Error>(self, is_on: bool) -> Result<Checking, E> {
        if is_on { Err(unknown()) } else { Ok(Checking::Off) }
    }

    /// `health-check:` without a value.
    fn visit_unit<E: de::Error>(self) -> Result<Checking, E> {
        Err(unknown())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Checking, A::Error> {
        let check =
            Written::deserialize(MapAccessDeserializer::new(map))?.check().map_err(de::Error::custom)?;
        Ok(Checking::Own(Box::new(check)))
    }
}

fn unknown<E: de::Error>() -> E {
    E::custom("write off, or below it `kind: connect` or `kind: http`")
}

/// The keys below `health-check`. Those that are `None` have a default, or none is needed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(deserialize_with = "kind")]
    kind: Kind,
    #[serde(default, deserialize_with = "value")]
    port: Option<Number<65_535>>,
    #[serde(default, deserialize_with = "value")]
    path: Option<Path>,
    #[serde(default, deserialize_with = "value")]
    host: Option<Host>,
    #[serde(default, deserialize_with = "value")]
    expect: Option<StatusCodes>,
    #[serde(default, deserialize_with = "value")]
    body: Option<BodyText>,
    #[serde(default, deserialize_with = "value")]
    interval: Option<Span<{ INTERVAL.0 }, { INTERVAL.1 }>>,
    #[serde(default, deserialize_with = "value")]
    timeout: Option<Span<{ TIMEOUT.0 }, { TIMEOUT.1 }>>,
    #[serde(default, deserialize_with = "value")]
    fall: Option<Number<MAX_IN_ROW>>,
    #[serde(default, deserialize_with = "value")]
    rise: Option<Number<MAX_IN_ROW>>,
}

impl Written {
    /// The check with the defaults of all that is not written. `Err`: the message for the operator.
    fn check(self) -> Result<HealthCheck, String> {
        let Self { kind, port, path, host, expect, body, interval, timeout, fall, rise } = self;
        let interval = interval.map_or(Duration::from_secs(30), |Span(time)| time);
        let timeout = timeout.map_or(USUAL_TIMEOUT.min(interval), |Span(time)| time);
        if timeout > interval {
            return Err(format!(
                "the timeout, {} s, is longer than the interval, {} s: at most one probe of a backend is made at a time",
                timeout.as_secs(),
                interval.as_secs()
            ));
        }
        let kind = match kind {
            Kind::Http => ProbeKind::Http(HttpProbe {
                path: path.map_or_else(|| "/".to_owned(), |Path(path)| path),
                host: host.map(|Host(host)| host),
                expect: expect.unwrap_or_default(),
                body: body.map(|BodyText(text)| text),
            }),
            Kind::Connect => {
                let of_http = [
                    ("path", path.is_some()),
                    ("host", host.is_some()),
                    ("expect", expect.is_some()),
                    ("body", body.is_some()),
                ];
                if let Some((key, _)) = of_http.iter().find(|(_, is_set)| *is_set) {
                    return Err(format!("`{key}` is for `kind: http`: remove it, or write `kind: http`"));
                }
                ProbeKind::Connect
            }
        };
        let port = port.map_or(80, |Number(port)| port);
        let [fall, rise] = [fall, rise].map(|times| times.map_or(2, |Number(times)| times));
        let in_row = |times: u16| u8::try_from(times).unwrap_or(u8::MAX);
        Ok(HealthCheck { port, kind, interval, timeout, fall: in_row(fall), rise: in_row(rise) })
    }
}

enum Kind {
    Connect,
    Http,
}

impl FromStr for Kind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "connect" => Ok(Self::Connect),
            "http" => Ok(Self::Http),
            _ => Err("write connect or http"),
        }
    }
}

/// Reads the kind, which has to be written.
fn kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Kind, D::Error> {
    text::deserialize(deserializer, "connect or http")
}

/// The absolute path of a request, with or without a query.
struct Path(String);

impl FromStr for Path {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_path = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
        // A fragment stays with the client, and hyper takes no such characters in a path (RFC 3986 §3.3).
        if !is_path || text.contains(['#', '"', '<', '>', '\\', '^', '`', '{', '|', '}']) {
            return Err(
                "write a path that begins with a slash, such as /healthz, and in it %20 for a space".into()
            );
        }
        if text.len() > MAX_PATH {
            return Err(format!("a path has at most {MAX_PATH} bytes"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// The value of the header `Host`.
struct Host(String);

impl FromStr for Host {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_allowed = |byte: u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'[' | b']')
        };
        if text.is_empty() || text.len() > MAX_HOST || !text.bytes().all(is_allowed) {
            return Err("write a host name alone, such as shop.example, with or without a port");
        }
        Ok(Self(text.to_owned()))
    }
}

/// The text that a page has to contain.
struct BodyText(String);

impl FromStr for BodyText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > MAX_TEXT {
            return Err(format!("write a text of 1 to {MAX_TEXT} bytes that the page contains"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for StatusCodes {
    type Err = &'static str;

    /// Reads `200` or `200-399`. Fails for codes beyond 100 to 599, and for an empty range.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let code = |text: &str| text.trim().parse::<u16>().ok();
        let codes = code(first).zip(code(last)).and_then(|(first, last)| Self::new(first, last));
        codes.ok_or("write a status code or a range of codes from 100 to 599, such as 200 or 200-399")
    }
}

/// The time in whole seconds, from `LEAST` to `MOST`.
struct Span<const LEAST: u64, const MOST: u64>(Duration);

impl<const LEAST: u64, const MOST: u64> FromStr for Span<LEAST, MOST> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds = seconds(text).filter(|seconds| (LEAST..=MOST).contains(seconds));
        let time = seconds.map(|seconds| Self(Duration::from_secs(seconds)));
        time.ok_or_else(|| format!("write a time from {LEAST}s to {MOST}s, such as 20s or 2m"))
    }
}

/// The number of seconds of a text such as `20`, `20s`, `2m`, `1h` or `1d`; `None` for any other text.
fn seconds(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit = match unit.trim_start() {
        "" | "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// A whole number from 1 to `MOST`, which is at most 65535.
struct Number<const MOST: u64>(u16);

impl<const MOST: u64> FromStr for Number<MOST> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.parse().ok().filter(|number| (1..=MOST).contains(&u64::from(*number)));
        number.map(Self).ok_or_else(|| format!("write a whole number from 1 to {MOST}"))
    }
}

/// Reads a value that is written as a text or as a number. It is judged while it is visited, so that an error
/// has the value's own line.
fn value<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_any(Value(PhantomData)).map(Some)
}

struct Value<T>(PhantomData<T>);

impl<T: FromStr<Err: Display>> Visitor<'_> for Value<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a single value")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}
