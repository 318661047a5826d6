//! Made-up descriptors on real HSDirs.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use onionbalance_proto::fixture::{Backend, Published};
use onionbalance_proto::time::UnixTime;
use onionbalance_tests::onion::Onion;
use rand_core::OsRng;

use super::observer::Observer;

/// Uploads the first and the second descriptor of a backend with this number of made-up points to their
/// HSDirs. `alter` may change the contents before they are signed.
pub(crate) fn publish(
    observer: &Observer,
    backend: &Backend,
    points: usize,
    alter: impl Fn(&mut Published, UnixTime),
) -> Result<()> {
    let now = UnixTime(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
    let address = backend.address();
    let mut control = observer.client.control()?;
    for (term, hsdirs) in observer.directory()?.store(&address) {
        let mut published = backend.publish(term.period, now, points, &mut OsRng);
        alter(&mut published, now);
        control.hspost(&Onion::V3(address), &hsdirs, &published.text(&mut OsRng))?;
    }
    Ok(())
}
