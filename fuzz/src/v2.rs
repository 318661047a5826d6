//! Version 2: a frontend, its backend with and without client authorization, and the backend's descriptor.

use std::sync::LazyLock;

use onionbalance_proto::config::InstanceV2;
use onionbalance_proto::fixture::v2::Backend;
use onionbalance_proto::netdoc;
use onionbalance_proto::v2::document::outer::Unsigned;
use onionbalance_proto::v2::document::{Descriptor, Readers};
use onionbalance_proto::v2::{AuthType, Cookie, Replica, SecretIdPart, TimePeriod};
use sha1::{Digest, Sha1};

use crate::{NOW, rng};

/// The service that is the backend.
pub static BACKEND: LazyLock<Backend> =
    LazyLock::new(|| Backend::from_pem(include_str!("../../proto/testdata/v2/onionbalance.key")));

/// The backend's descriptor, with two introduction points.
pub static PUBLISHED: LazyLock<Descriptor> = LazyLock::new(|| BACKEND.publish(NOW, 2, &mut rng(4)));

/// The backend's entry in the configuration.
pub fn instance(cookie: Option<Cookie>) -> InstanceV2 {
    InstanceV2 { auth: cookie, ..InstanceV2::new(BACKEND.address()) }
}

/// The cookie of the backend's one client.
pub fn cookie() -> Cookie {
    Cookie::new([7; 16], AuthType::Basic)
}

/// The present period of the backend.
pub fn period() -> TimePeriod {
    TimePeriod::at(NOW, &BACKEND.address())
}

/// The descriptor as HSDirs would hold it.
pub fn text() -> String {
    BACKEND.text(&PUBLISHED, Readers::Everyone, &mut rng(5))
}

/// A descriptor whose `introduction-points` are this message, encrypted or not.
pub fn around_message(message: &[u8]) -> String {
    let part = SecretIdPart::derive(period(), Replica::First, None);
    BACKEND.sign(Unsigned::new(BACKEND.permanent_key(), part, NOW, message))
}

/// `text`, which ends before `signature`, followed by the permanent key's signature.
pub fn signed(text: &str) -> String {
    let mut text = format!("{text}signature\n");
    let signature = BACKEND.signature(&Sha1::digest(&text).into());
    netdoc::push_object(&mut text, "SIGNATURE", &signature);
    text.push('\n');
    text
}
