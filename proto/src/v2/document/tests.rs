use std::path::Path;

use data_encoding::HEXUPPER;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;
use sha1::{Digest, Sha1};

use super::*;
use crate::fixture::v2::{Backend, point};
use crate::netdoc::NetdocError;
use crate::v2::DescriptorId;
use crate::v2::keys::KeyError;

/// Descriptors of tor 0.4.5.9 without and with authorization (`testdata/v2`).
const BACKEND: &str = include_str!("../../../testdata/v2/b2-replica0.desc");
const BASIC: &str = include_str!("../../../testdata/v2/basic1.desc");
const STEALTH: &str = include_str!("../../../testdata/v2/stealth1.desc");

fn rng() -> StdRng {
    StdRng::seed_from_u64(1)
}

fn testdata(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/v2").join(file)).unwrap()
}

/// A descriptor with its contents as a second program read them.
struct Known {
    value: Value,
    text: String,
    service: OnionAddress,
    period: TimePeriod,
}

impl Known {
    fn all() -> Vec<Self> {
        let vectors: Value = serde_json::from_str(&testdata("vectors.json")).unwrap();
        vectors["descriptors"].as_array().unwrap().iter().cloned().map(Self::new).collect()
    }

    fn new(value: Value) -> Self {
        let service: OnionAddress = value["address"].as_str().unwrap().parse().unwrap();
        let period = TimePeriod::at(UnixTime(value["fetched_at"].as_u64().unwrap()), &service);
        Self { text: testdata(value["file"].as_str().unwrap()), service, period, value }
    }

    fn named(file: &str) -> Self {
        Self::all().into_iter().find(|known| known.text("file") == file).unwrap()
    }

    fn text(&self, name: &str) -> &str {
        self.value[name].as_str().unwrap()
    }

    fn cookies(&self) -> Vec<Cookie> {
        let others = self.value["other_cookies"].as_array().into_iter().flatten();
        let cookies = self.value.get("cookie").into_iter().chain(others);
        cookies.map(|cookie| cookie.as_str().unwrap().parse().unwrap()).collect()
    }

    fn open(&self, cookie: Option<&Cookie>) -> Result<Descriptor, DocumentError> {
        open(&self.text, &self.service, &[self.period], cookie)
    }
}

#[test]
fn opens_published_descriptors() {
    for known in Known::all() {
        let cookies = known.cookies();
        let first = cookies.first();
        let outer = open_outer(&known.text).unwrap();
        assert_eq!(outer.id.to_string(), known.text("desc_id"));
        assert_eq!(outer.secret_id_part.to_string(), known.text("secret_id_part"));
        assert_eq!(outer.key.address(), known.service);
        assert_eq!(outer.is_encrypted(), first.is_some());
        let descriptor = known.open(first).unwrap();
        assert_eq!(Some(u64::from(u8::from(descriptor.replica))), known.value["replica"].as_u64());
        assert_eq!(descriptor.published.to_string(), known.text("publication_time"));
        let points = known.value["introduction_points"].as_array().unwrap();
        assert_eq!(descriptor.points.len(), points.len());
        let digest = |key: &crate::v2::PointKey| HEXUPPER.encode(&Sha1::digest(key.to_der()));
        for (point, known) in descriptor.points.iter().zip(points) {
            assert_eq!(point.relay.to_string(), known["relay"]);
            assert_eq!(point.address.to_string(), known["ip"]);
            assert_eq!(Some(u64::from(point.port.get())), known["port"].as_u64());
            assert_eq!(digest(&point.onion_key), known["onion_key_sha1"]);
            assert_eq!(digest(&point.service_key), known["service_key_sha1"]);
        }
        for other in &cookies {
            assert_eq!(known.open(Some(other)).unwrap(), descriptor);
        }
    }
}

#[test]
fn closed_without_the_cookie() {
    let basic = Known::named("basic1.desc");
    let stranger = "aCmx3qIvArbil8A0KM4KgQ==".parse().unwrap();
    assert_eq!(basic.open(None), Err(LayerError::NoCookie.into()));
    assert_eq!(basic.open(Some(&stranger)), Err(LayerError::Cookie.into()));
    // The cookie is part of the id.
    let stealth = Known::named("stealth1.desc");
    assert_eq!(stealth.open(None), Err(DocumentError::Period));
    assert_eq!(stealth.open(Some(&stranger)), Err(DocumentError::Period));
    // `client_keys` has the cookie in the form without the type, whose bits are those of basic authorization.
    assert!(stealth.open(Some(&"1LWjaYKD5ufodnNvVIZvpA==".parse().unwrap())).is_ok());
}

/// The texts of tor and OnionBalance are rendered again byte for byte, except for the line ends that
/// OnionBalance left out.
#[test]
fn renders_the_same_bytes_as_tor() {
    for known in Known::all() {
        let outer = open_outer(&known.text).unwrap();
        let message = outer.message.as_ref().unwrap();
        let rendered = Unsigned::new(&outer.key, outer.secret_id_part, outer.published, message);
        assert_eq!(rendered.digest(), <[u8; 20]>::from(Sha1::digest(outer.signed_text)));
        let signature = outer.signature.as_slice().try_into().unwrap();
        assert_eq!(rendered.finish(signature).trim_end(), known.text.trim_end());

        let inner = layer::decrypt(message, known.cookies().first()).unwrap();
        let inner = String::from_utf8(inner).unwrap();
        let again = points::encode(&points::decode(&inner).unwrap());
        let left_out = match known.text("what") {
            what if what.contains("OnionBalance") => "\n\n",
            what if what.contains("stealth") => "\n",
            _ => "",
        };
        assert_eq!(again, format!("{inner}{left_out}"), "{}", known.text("file"));
    }
}

#[test]
fn a_sealed_descriptor_opens_for_its_readers() {
    let service = Backend::generate(&mut rng());
    let cookies: Vec<Cookie> = ["TRTUFLcJe7zonSx/Ben5Sg", "5d2e0u1K41rdlW3j6lkOiw", "1LWjaYKD5ufodnNvVIZvpB"]
        .map(|text| text.parse().unwrap())
        .to_vec();
    let points: Vec<_> = (0..10).map(|_| point(&mut rng())).collect();
    let published = publication_time(UnixTime(1_795_334_036));
    let descriptor = Descriptor { period: TimePeriod(20_779), replica: Replica::Second, published, points };
    let seal = |readers| service.text(&descriptor, readers, &mut rng());
    let open =
        |text: &str, cookie: Option<&Cookie>| open(text, &service.address(), &[TimePeriod(20_779)], cookie);

    assert_eq!(open(&seal(Readers::Everyone), None), Ok(descriptor.clone()));
    let basic = seal(Readers::Basic(&cookies));
    assert!(basic.len() < MAX_LENGTH);
    for cookie in &cookies {
        assert_eq!(open(&basic, Some(cookie)), Ok(descriptor.clone()));
    }
    assert_eq!(open(&basic, None), Err(LayerError::NoCookie.into()));
    let stealth = seal(Readers::Stealth(&cookies[2]));
    assert_eq!(open(&stealth, Some(&cookies[2])), Ok(descriptor.clone()));
    assert_eq!(open(&stealth, Some(&cookies[1])), Err(DocumentError::Period));
}

#[test]
fn refuses_another_service_or_period() {
    let known = Known::named("b2-replica0.desc");
    let other = Known::named("basic1.desc").service;
    assert_eq!(open(BACKEND, &other, &[known.period], None), Err(DocumentError::OtherService(known.service)));
    for periods in [&[][..], &[known.period.next(), known.period.previous()]] {
        assert_eq!(open(BACKEND, &known.service, periods, None), Err(DocumentError::Period));
    }
    let around = [known.period.previous(), known.period, known.period.next()];
    assert_eq!(open(BACKEND, &known.service, &around, None).unwrap().period, known.period);
}

#[test]
fn notices_any_alteration() {
    for file in ["b2-replica0.desc", "frontend1-replica1.desc", "basic1.desc", "stealth1.desc"] {
        let known = Known::named(file);
        let (cookies, text) = (known.cookies(), known.text.trim_end());
        for at in (0..text.len()).step_by(7).chain(text.len() - 250..text.len()) {
            let mut altered = text.as_bytes().to_vec();
            altered[at] ^= 1;
            let altered = String::from_utf8(altered).unwrap();
            assert!(open(&altered, &known.service, &[known.period], cookies.first()).is_err(), "byte {at}");
        }
        for length in (0..text.len()).step_by(101) {
            let cut = text.get(..length).unwrap();
            assert!(open(cut, &known.service, &[known.period], cookies.first()).is_err(), "{length} bytes");
        }
    }
    assert_eq!(open_outer(&format!("{BACKEND}more\n")), Err(DocumentError::AfterSignature));
    assert_eq!(open_outer(&format!("\n{BACKEND}")), Err(DocumentError::Beginning));
    assert_eq!(open_outer(&"x".repeat(20_481)), Err(DocumentError::Length(20_481)));
}

/// Tor's parser refuses these texts although the service signed them.
#[test]
fn refuses_the_texts_that_tor_refuses() {
    let service = Backend::generate(&mut rng());
    let descriptor = service.publish(UnixTime(1_795_334_036), 2, &mut rng());
    let text = service.text(&descriptor, Readers::Everyone, &mut rng());
    let period = descriptor.period;
    let open = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        let altered = service.sign_again(&text.replacen(from, to, 1));
        open(&altered, &service.address(), &[period], None).map(|_| ())
    };
    let missing = |name| Err(NetdocError::Missing(name).into());
    let repeated = |name| Err(NetdocError::Repeated(name).into());
    let malformed = |name: &str| Err(NetdocError::Malformed(name.into()).into());
    let time = format!("publication-time {}\n", descriptor.published);
    let secret = SecretIdPart::derive(period, descriptor.replica, None);
    let secret = format!("secret-id-part {secret}\n");
    let id =
        DescriptorId::derive(&"jyvfq5umznvka34v".parse().unwrap(), open_outer(&text).unwrap().secret_id_part);

    assert_eq!(open("version 2", "version 2"), Ok(()));
    assert_eq!(open("version 2\n", "version 2\nunknown item\n"), Ok(()));
    for (from, to, wanted) in [
        ("version 2\n", "", missing("version")),
        ("version 2\n", "version 2\nversion 2\n", repeated("version")),
        ("version 2\n", "version 3\n", Err(DocumentError::Version)),
        ("version 2\n", "version 2 2\n", Err(DocumentError::Version)),
        ("protocol-versions 2,3\n", "", missing("protocol-versions")),
        ("protocol-versions 2,3\n", "protocol-versions\n", malformed("protocol-versions")),
        ("protocol-versions 2,3\n", "protocol-versions 2 3\n", malformed("protocol-versions")),
        (&time, "", missing("publication-time")),
        (&time, &time.replace('\n', ".5\n"), malformed("publication-time")),
        (&time, &time.repeat(2), repeated("publication-time")),
        (&secret, "", missing("secret-id-part")),
        (
            &secret,
            &secret.to_uppercase().replace("SECRET-ID-PART", "secret-id-part"),
            malformed("secret-id-part"),
        ),
        (&secret, &secret.repeat(2), repeated("secret-id-part")),
        (&secret, "secret-id-part aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", Err(DocumentError::Id)),
        ("permanent-key\n", "permanent-key now\n", malformed("permanent-key")),
        ("introduction-points\n", "introduction-points 2\n", malformed("introduction-points")),
        (
            "introduction-points\n-----BEGIN MESSAGE-----\n",
            "introduction-points\n-----BEGIN MESSAGE-----\n",
            Ok(()),
        ),
        ("introduction-points\n", "other-points\n", Err(DocumentError::NoPoints)),
    ] {
        assert_eq!(open(from, to), wanted, "{from:?} → {to:?}");
    }
    let of_another = text.replacen(&open_outer(&text).unwrap().id.to_string(), &id.to_string(), 1);
    assert_eq!(open_outer(&service.sign_again(&of_another)).err(), Some(DocumentError::Id));
}

#[test]
fn refuses_the_points_that_tor_refuses() {
    let point = point(&mut rng());
    let text = points::encode(&[point]);
    let decode = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        points::decode(&text.replacen(from, to, 1)).map(|_| ())
    };
    let (address, port) = (format!("ip-address {}\n", point.address), format!("onion-port {}\n", point.port));
    let (first_line, _) = text.split_once('\n').unwrap();
    let missing = |name| Err(NetdocError::Missing(name).into());
    let malformed = |name: &str| Err(NetdocError::Malformed(name.into()).into());
    assert_eq!(points::decode(&text), Ok(vec![point]));
    for (from, to, wanted) in [
        (first_line, "introduction-point aaaa", malformed("introduction-point")),
        (first_line, "intro-authentication x\nintroduction-point x", missing("introduction-point")),
        (&address, "", missing("ip-address")),
        (&address, "ip-address ::1\n", malformed("ip-address")),
        (&address, "ip-address 1.2.3\n", malformed("ip-address")),
        (
            &address,
            "ip-address 1.2.3.4\nip-address 1.2.3.4\n",
            Err(NetdocError::Repeated("ip-address").into()),
        ),
        (&address, "ip-address 1.2.3.4\nintro-authentication 1 x\n", Ok(())),
        (&port, "", missing("onion-port")),
        (&port, "onion-port 0\n", malformed("onion-port")),
        (&port, "onion-port 65536\n", malformed("onion-port")),
        ("onion-key\n", "key\n", missing("onion-key")),
        ("service-key\n", "key\n", missing("service-key")),
        ("service-key\n", "service-key a\n", malformed("service-key")),
        ("AgMBAAE=", "AgMBAAM=", Err(KeyError::Exponent.into())),
    ] {
        assert_eq!(decode(from, to), wanted, "{from:?} → {to:?}");
    }
    assert_eq!(points::decode("\n"), Err(DocumentError::NoPoints));
    assert_eq!(points::decode(&points::encode(&[point; 10])).map(|points| points.len()), Ok(10));
    assert_eq!(points::decode(&points::encode(&[point; 11])), Err(DocumentError::TooManyPoints));
}

#[test]
fn an_item_is_not_hidden_in_another_ones_object() {
    let twice = BACKEND.replacen("-----BEGIN MESSAGE-----", "-----BEGIN MESSAGE-----\nsignature", 1);
    assert!(open_outer(&twice).is_err());
    for text in [BASIC, STEALTH] {
        assert!(open_outer(text).unwrap().is_encrypted());
    }
}
