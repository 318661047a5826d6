//! A version 2 service: its secret, its rules, and the verified descriptors of its backends.

use onionbalance_proto::config::InstanceV2;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v2::document::{MAX_LENGTH, Readers};
use onionbalance_proto::v2::{Cookie, OnionAddress};
use onionbalance_proto::wire::Refusal;
use onionbalance_proto::wire::v2::{FrontendRequest, SignedFrontend};
use rand_core::CryptoRngCore;

use crate::v2::judge::{self, Approved, KnownDescriptors};
use crate::v2::secret::PermanentSecret;

/// A service whose key is held.
pub struct Service {
    secret: PermanentSecret,
    backends: Vec<InstanceV2>,
    known: KnownDescriptors,
}

impl Service {
    /// A service with these backends.
    pub fn new(secret: PermanentSecret, backends: Vec<InstanceV2>) -> Self {
        Self { secret, backends, known: KnownDescriptors::default() }
    }

    /// Allows these backends, with these cookies, and no others. False if nothing changes.
    pub fn allow(&mut self, backends: Vec<InstanceV2>) -> bool {
        if self.backends == backends {
            return false;
        }
        self.backends = backends;
        // Another cookie may open what was closed, and the other way round.
        self.known = KnownDescriptors::default();
        true
    }

    /// Forgets the verified descriptors of its backends.
    pub fn drop_cache(&mut self) {
        self.known = KnownDescriptors::default();
    }

    /// The service's onion address.
    pub fn address(&self) -> OnionAddress {
        self.secret.address()
    }

    /// The backends whose points may be signed for.
    pub fn backends(&self) -> &[InstanceV2] {
        &self.backends
    }

    /// The backends whose descriptors are in a request that was signed.
    pub fn backends_in(&self, request: &FrontendRequest) -> Vec<OnionAddress> {
        request.backends.iter().filter_map(|text| Some(self.known.get(text)?.address)).collect()
    }

    /// Judges a request for this service at `now`, and renders and signs the descriptor that it asks for.
    ///
    /// # Errors
    /// The rule that the request breaks.
    pub fn sign(
        &mut self,
        request: &FrontendRequest,
        now: UnixTime,
        rng: &mut impl CryptoRngCore,
    ) -> Result<SignedFrontend, Refusal> {
        let approved = judge::judge(request, &self.address(), &self.backends, &mut self.known, now)?;
        self.render(&approved, rng)
    }

    /// Renders and signs the descriptor that was approved.
    ///
    /// # Errors
    /// The descriptor is too long.
    pub fn render(
        &self,
        approved: &Approved,
        rng: &mut impl CryptoRngCore,
    ) -> Result<SignedFrontend, Refusal> {
        let cookies = distinct_cookies(&self.backends);
        let readers =
            if approved.client_authorization { Readers::Basic(&cookies) } else { Readers::Everyone };
        // More cookies than tor allows do not fit into a descriptor either.
        let unsigned =
            approved.descriptor.seal(self.secret.public(), readers, rng).map_err(|_| Refusal::TooLong)?;
        let Some(signature) = self.secret.sign(&unsigned.digest(), rng) else {
            // A signature that went wrong by a hardware fault can reveal the key. It must not leave, and no
            // result of this process can be trusted any more.
            std::process::abort();
        };
        let text = unsigned.finish(&signature);
        if text.len() > MAX_LENGTH { Err(Refusal::TooLong) } else { Ok(SignedFrontend { text }) }
    }
}

/// The cookies of all backends, each once. The holder of any of them may be a client of the frontend.
fn distinct_cookies(backends: &[InstanceV2]) -> Vec<Cookie> {
    let mut cookies: Vec<Cookie> = Vec::new();
    for cookie in backends.iter().filter_map(|backend| backend.auth.as_ref()) {
        if !cookies.iter().any(|known| known.secret() == cookie.secret()) {
            cookies.push(cookie.clone());
        }
    }
    cookies
}

#[cfg(test)]
mod tests;
