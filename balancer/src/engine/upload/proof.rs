//! The proof of an acknowledgement: the descriptor is read back from the HSDir.

use std::time::Duration;

use rand_core::RngCore;

use super::super::context::Context;
use super::super::event::Found;
use super::super::status::UploadProblem;
use super::{State, Upload};

/// The number of read-backs of an acknowledged upload that are tried before the upload is repeated.
const PROOF_TRIES: u32 = 4;

/// An acknowledgement that has to be proven.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) struct Claim {
    pub(super) revision: u64,
    /// The number of times that it could not be read back.
    pub(super) tries: u32,
}

/// The result of a read-back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in super::super) enum Proven {
    /// The HSDir has the set that belongs there.
    Yes,
    /// The HSDir lacks what it acknowledged (reported once). `later`: `None` = holds nothing, `Some(true)` =
    /// a higher revision.
    BrokenWord { later: Option<bool> },
    /// The read-back failed, or its result was reported before.
    No,
}

impl Upload {
    /// True if it has to be read back now; it then counts as waiting in the line for that.
    pub(in super::super) fn queue_proof(&mut self, now: Duration) -> bool {
        match &mut self.state {
            State::Acknowledged { at, in_line, .. } if *at <= now && !*in_line => {
                *in_line = true;
                true
            }
            _ => false,
        }
    }

    /// Begins to read it back. False if that is no longer needed.
    pub(in super::super) fn begin_proof(&mut self, until: Duration) -> bool {
        let State::Acknowledged { claim, .. } = self.state else { return false };
        self.state = State::Proving { claim, until };
        true
    }

    /// True if it is being read back.
    pub(in super::super) fn is_proving(&self) -> bool {
        matches!(self.state, State::Proving { .. })
    }

    /// True if this copy proves its acknowledgement; `set` is the set that belongs there. A copy counts
    /// however late it comes, because it is verified. Tor may answer a read-back that was given up after a
    /// later one has failed.
    ///
    /// An HSDir may refuse the round and show it: then an earlier upload of it has arrived, and its answer was
    /// lost. Without an earlier upload the copy is of a revision that was given twice. It expires before the
    /// round does, and proves nothing.
    pub(in super::super) fn is_proven_by<I: Eq>(&self, found: &Found<I>, set: Option<&[I]>) -> bool {
        let Found::Copy { revision, points } = found else { return false };
        if self.refused() == Some(*revision) {
            return self.round.may_hold && set == Some(points);
        }
        let claimed = match self.state {
            State::Acknowledged { claim, .. } | State::Proving { claim, .. } => Some(claim.revision),
            State::Wanted { .. } if !self.shown.broke_its_word && self.stored_by >= self.current_since => {
                self.stored
            }
            _ => None,
        };
        set == Some(points) && claimed.is_some_and(|claimed| *revision >= claimed)
    }

    /// Takes the result of a read-back; `set` is the set that belongs there.
    pub(in super::super) fn prove<I: Eq>(
        &mut self,
        cx: &mut Context<impl RngCore>,
        found: &Found<I>,
        set: Option<&[I]>,
    ) -> Proven {
        if self.is_proven_by(found, set) {
            // A copy of a higher revision is of an earlier run of this balancer, or of another publisher.
            self.shown.held_ours |=
                matches!(found, Found::Copy { revision, .. } if Some(*revision) == self.stored);
            self.settle();
            return Proven::Yes;
        }
        let State::Proving { claim, .. } = self.state else { return Proven::No };
        let later = match found {
            Found::Sealed => {
                self.settle();
                return Proven::Yes;
            }
            Found::Copy { revision, .. } => Some(*revision > claim.revision),
            Found::Nothing => None,
            Found::Failed => {
                self.fail_proof(cx);
                return Proven::No;
            }
        };
        self.fail(cx, UploadProblem::NotHeld);
        let news = !std::mem::replace(&mut self.shown.broke_its_word, true);
        if news { Proven::BrokenWord { later } } else { Proven::No }
    }

    /// Notes that it could not be read back: this is tried a few more times, and then the upload is repeated.
    pub(super) fn fail_proof(&mut self, cx: &mut Context<impl RngCore>) {
        let State::Proving { claim, .. } = self.state else { return };
        let claim = Claim { tries: claim.tries + 1, ..claim };
        if claim.tries < PROOF_TRIES {
            let at = cx.retry_at(claim.tries);
            self.state = State::Acknowledged { claim, at, in_line: false };
        } else {
            self.fail(cx, UploadProblem::Unproven);
        }
    }
}
