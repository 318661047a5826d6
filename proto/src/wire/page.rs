//! The list of held services, in pages that fit a frame.

use super::frame::{self, Message};
use super::message::{HeldService, Page, Reply};

impl Page {
    /// Adds as many of `services`, in their order, as a reply has room for.
    ///
    /// A service within the configuration's bounds ([`crate::config::MAX_INSTANCES`],
    /// [`crate::config::MAX_KEY_LENGTH`]) fits an empty page, so that a reader that asks for page after page
    /// gets the whole list.
    #[must_use]
    pub fn fill(mut self, services: impl IntoIterator<Item = HeldService>) -> Self {
        let mut length = frame::encoded_length(&Reply::Services(self.clone()));
        for service in services {
            length = length.saturating_add(frame::encoded_length(&service));
            if length > Reply::MAX_LENGTH {
                break;
            }
            self.services.push(service);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{MAX_INSTANCES, MAX_KEY_LENGTH};
    use crate::fixture::Backend;
    use crate::time::UnixTime;
    use crate::wire::{Header, Held};

    fn service(key: String, backends: usize) -> HeldService {
        let address = Backend::new(1).address();
        let held = Held { key, address, backends: vec![address; backends] };
        HeldService::V3 { held, delegation_ends: Some(UnixTime(u64::MAX)) }
    }

    fn page(services: &[HeldService]) -> Page {
        let total = services.len().try_into().unwrap();
        let empty = Page { version: "1.2.3".into(), edition: 7, total, services: Vec::new() };
        empty.fill(services.iter().cloned())
    }

    #[test]
    fn pages_hold_as_much_as_fits_a_reply() {
        let services: Vec<_> = (0..1000).map(|number| service(format!("{number}.pem"), 10)).collect();
        let mut read = Vec::new();
        let mut pages = 0;
        while read.len() < services.len() {
            let page = page(&services[read.len()..]);
            let frame = frame::encode(&Reply::Services(page.clone())).unwrap();
            if read.len() + page.services.len() < services.len() {
                assert!(frame.len() - Header::LENGTH > Reply::MAX_LENGTH - 1000, "{}", frame.len());
            }
            read.extend(page.services);
            pages += 1;
        }
        assert_eq!(read, services);
        assert_eq!(pages, 2);
    }

    #[test]
    fn the_largest_service_of_a_configuration_fits_a_page() {
        let largest = service("k".repeat(MAX_KEY_LENGTH), MAX_INSTANCES);
        let page = page(&[largest.clone(), largest]);
        assert_eq!(page.services.len(), 1);
        assert!(frame::encode(&Reply::Services(page)).is_ok());
    }
}
