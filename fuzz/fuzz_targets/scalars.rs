//! The small formats: an accepted value is written as it was read, or in its only form.

#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use onionbalance::tor::TorVersion;
use onionbalance_proto::config::TorPlace;
use onionbalance_proto::netdoc;
use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v2::{self, AuthType, Cookie, PermanentKey, PointKey};
use onionbalance_proto::v3::cert::{CertType, Certificate};
use onionbalance_proto::v3::{self, FlowControl, LinkSpecifiers};

fuzz_target!(|input: &[u8]| {
    if let Ok(text) = str::from_utf8(input) {
        texts(text);
    }
    bytes(input);
});

fn texts(text: &str) {
    comes_back::<v3::OnionAddress>(text);
    comes_back::<v2::OnionAddress>(text);
    comes_back::<v2::DescriptorId>(text);
    comes_back::<FlowControl>(text);
    comes_back::<Fingerprint>(text);
    comes_back::<TorVersion>(text);
    comes_back::<UnixTime>(text);
    let _ = text.parse::<TorPlace>();
    if let Ok(cookie) = text.parse::<Cookie>() {
        let written = cookie.hid_serv_auth(cookie.auth_type().unwrap_or(AuthType::Basic));
        assert_eq!(written.parse::<Cookie>().expect("our own").secret(), cookie.secret());
    }
}

fn comes_back<T: FromStr<Err: Debug> + Display + Debug + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string().parse::<T>().expect("our own"), value);
    }
}

fn bytes(input: &[u8]) {
    for kind in [CertType::DescriptorSigning, CertType::AuthKey, CertType::EncKey] {
        if let Ok(certificate) = Certificate::decode(input, kind) {
            assert_eq!(certificate.encode(), *input);
        }
    }
    if let Ok(specifiers) = LinkSpecifiers::try_from(input.to_vec()) {
        assert_eq!(specifiers.as_bytes(), input);
    }
    if let Ok(key) = PointKey::from_der(input) {
        assert_eq!(key.to_der(), input);
    }
    if let Ok(key) = PermanentKey::from_der(input) {
        assert_eq!(key.der(), input);
        let _ = key.verifies(&[1; 20], &[2; 128]);
    }
    let mut text = "item\n".to_owned();
    netdoc::push_object(&mut text, "THING", input);
    let item = netdoc::items(&text).next().expect("one item").expect("well-formed");
    assert_eq!(item.object("THING").as_deref(), Ok(input));
}
