//! The state of one descriptor at one of its HSDirs.

mod proof;

use std::cmp::Ordering;
use std::time::Duration;

use rand_core::RngCore;

use self::proof::Claim;
pub(super) use self::proof::Proven;
use super::context::Context;
use super::event::Proof;
use super::id::PublicationId;
use super::status::{UploadProblem, UploadState};
use super::timers::{Timer, UploadTimer, earliest, ended};

/// One responsible HSDir.
pub(super) struct Upload {
    /// The number of the descriptor's set that belongs there; the same for as long as the HSDir is
    /// responsible.
    number: usize,
    /// Publications from this one on carry the set that belongs there.
    current_since: PublicationId,
    state: State,
    /// The number of tries that have failed in a row.
    failures: u32,
    /// The reason for which the last try has failed; `None` if the set was stored since.
    problem: Option<UploadProblem>,
    /// True if its last answer was a refusal.
    refusing: bool,
    round: Standing,
    /// The time by which it has to answer the first upload since its last answer; later uploads do not extend
    /// it. `None`: no answer is outstanding.
    owed: Option<Duration>,
    /// True if it left an upload without an answer, and has stored nothing since.
    silent: bool,
    shown: Shown,
    /// The greatest revision that it has acknowledged; `None` before the first.
    stored: Option<u64>,
    /// The latest publication with that revision that it has acknowledged. A signer that was restarted may
    /// give the revision again.
    stored_by: PublicationId,
    /// The latest publication that it has acknowledged, of any revision.
    taken: PublicationId,
}

/// The HSDir's acts that acknowledgements and read-backs have shown.
#[derive(Default)]
struct Shown {
    /// True if a read-back found that it does not hold what it acknowledged, and it has stored nothing since.
    broke_its_word: bool,
    /// True if it has held a descriptor of ours. An acknowledgement is enough for that only where it is for
    /// its set.
    held_ours: bool,
}

/// The HSDir's relation to the present round's revision.
struct Standing {
    /// True if it has refused that revision.
    refused: bool,
    /// True if it may hold that revision already: it refuses one that is not higher than its own.
    may_hold: bool,
    /// True if a refusal for that reason has led to another round, and it has stored nothing since.
    excused: bool,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum State {
    /// To be uploaded from `at` on.
    Wanted { at: Duration },
    /// Part of a publication that is being signed. This has no time-out: it is always answered.
    Signing { id: PublicationId },
    /// Being uploaded; given up if no answer has come by `until`.
    Uploading { id: PublicationId, until: Duration },
    /// Refused; the revision that the HSDir holds is being looked up.
    Refused { revision: u64 },
    /// Acknowledged, but not proven: to be read back from `at` on.
    Acknowledged { claim: Claim, at: Duration, in_line: bool },
    /// Being read back; given up if no answer has come by `until`.
    Proving { claim: Claim, until: Duration },
    /// Acknowledged, and proven if that is needed.
    Stored,
    /// Tor does not know the relay.
    Unknown,
}

/// The retry of a refused upload.
#[derive(Clone, Copy)]
pub(super) struct Retry {
    pub(super) at: Duration,
    /// True if the revision known of HSDirs is no lower than the refused one, so that a higher one may be
    /// taken.
    pub(super) explained: bool,
    /// True if it may hold the round's revision, so that it takes only another round.
    pub(super) may_hold: bool,
}

impl Upload {
    /// An HSDir that has become responsible, for the set of this number.
    pub(super) fn new(now: Duration, number: usize) -> Self {
        Self {
            number,
            current_since: PublicationId(0),
            state: State::Wanted { at: now },
            failures: 0,
            problem: None,
            refusing: false,
            // It may have been responsible a short time ago.
            round: Standing { refused: false, may_hold: true, excused: false },
            owed: None,
            silent: false,
            shown: Shown::default(),
            stored: None,
            stored_by: PublicationId(0),
            taken: PublicationId(0),
        }
    }

    /// The number of its set.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// Notes that another set belongs there, which publications from `next` on carry. It has to be uploaded
    /// from `at` on, or as soon as tor knows the HSDir.
    pub(super) fn replace(&mut self, at: Duration, next: PublicationId) {
        self.current_since = next;
        if self.state != State::Unknown {
            self.want(at);
        }
    }

    pub(super) fn is_due(&self, now: Duration) -> bool {
        self.due_at().is_some_and(|at| at <= now)
    }

    /// The time from which on it is to be uploaded; `None` if it is not.
    pub(super) fn due_at(&self) -> Option<Duration> {
        match self.state {
            State::Wanted { at } => Some(at),
            _ => None,
        }
    }

    /// True if it waits for the signature of publication `id`.
    pub(super) fn is_signing(&self, id: PublicationId) -> bool {
        self.state == State::Signing { id }
    }

    /// True if it waits for the signature or the upload of publication `id`.
    pub(super) fn awaits(&self, id: PublicationId) -> bool {
        matches!(self.state, State::Signing { id: current } | State::Uploading { id: current, .. } if current == id)
    }

    pub(super) fn is_stored(&self) -> bool {
        self.state == State::Stored
    }

    /// True if it has its set of the present round, or is about to get it.
    pub(super) fn is_in_step(&self) -> bool {
        use State::{Acknowledged, Proving, Signing, Stored, Uploading};
        matches!(
            self.state,
            Signing { .. } | Uploading { .. } | Acknowledged { .. } | Proving { .. } | Stored
        )
    }

    pub(super) fn is_unknown(&self) -> bool {
        self.state == State::Unknown
    }

    pub(super) fn is_refusing(&self) -> bool {
        self.refusing
    }

    pub(super) fn refuses_round(&self) -> bool {
        self.round.refused
    }

    /// The refused revision while the reason is being looked up; `None` otherwise.
    pub(super) fn refused(&self) -> Option<u64> {
        match self.state {
            State::Refused { revision } => Some(revision),
            _ => None,
        }
    }

    /// Makes it part of publication `id`, which has to be signed or handed to tor.
    pub(super) fn sign(&mut self, id: PublicationId) {
        self.state = State::Signing { id };
    }

    /// Makes it part of the publication of a new revision, which it cannot hold yet.
    pub(super) fn sign_round(&mut self, id: PublicationId) {
        self.current_since = id;
        self.round.may_hold = false;
        self.round.refused = false;
        self.sign(id);
    }

    /// Begins an upload, which is given up at `until`.
    pub(super) fn begin(&mut self, id: PublicationId, until: Duration) {
        self.state = State::Uploading { id, until };
        self.owed.get_or_insert(until);
    }

    /// Notes that it answered an upload.
    pub(super) fn answered(&mut self) {
        self.owed = None;
    }

    /// Has it uploaded to from `at` on.
    pub(super) fn want(&mut self, at: Duration) {
        self.state = State::Wanted { at };
    }

    /// Notes a new consensus: tor may know it now.
    pub(super) fn network_changed(&mut self, now: Duration) {
        if self.state == State::Unknown {
            self.want(now);
        }
    }

    /// Notes that tor is lost: an upload that was not acknowledged has to be repeated, and earlier failures
    /// may have been tor's.
    pub(super) fn tor_lost(&mut self, now: Duration) {
        self.answered();
        match self.state {
            State::Stored => {}
            // The acknowledgement remains valid.
            State::Acknowledged { claim, .. } | State::Proving { claim, .. } => {
                self.state = State::Acknowledged { claim, at: now, in_line: false };
            }
            state => {
                self.round.may_hold |= matches!(state, State::Uploading { .. });
                self.want(now);
                self.failures = 0;
            }
        }
    }

    /// Notes that it acknowledged publication `id` of this `revision`. True if its set counts as stored: with
    /// [`Proof::ReadBack`] the acknowledgement alone is not enough.
    pub(super) fn stored(
        &mut self,
        now: Duration,
        id: PublicationId,
        revision: Option<u64>,
        proof: Proof,
    ) -> bool {
        self.taken = self.taken.max(id);
        self.shown.held_ours |= proof == Proof::Word;
        match revision.cmp(&self.stored) {
            Ordering::Greater => (self.stored, self.stored_by) = (revision, id),
            Ordering::Equal => self.stored_by = self.stored_by.max(id),
            Ordering::Less => {}
        }
        let awaits_later = matches!(
            self.state,
            State::Signing { id: later } | State::Uploading { id: later, .. } if later > id
        );
        if id >= self.current_since && !awaits_later {
            match (proof, self.state) {
                (Proof::Word, _) => self.settle(),
                // Late acknowledgement of an upload that was already counted.
                (Proof::ReadBack, State::Stored | State::Acknowledged { .. } | State::Proving { .. }) => {}
                (Proof::ReadBack, _) => {
                    let claim = Claim { revision: revision.unwrap_or(0), tries: 0 };
                    self.state = State::Acknowledged { claim, at: now, in_line: false };
                }
            }
        }
        self.state == State::Stored
    }

    /// True if this is the greatest revision that it has acknowledged, with its present set.
    pub(super) fn has_acknowledged(&self, revision: u64) -> bool {
        self.stored == Some(revision) && self.stored_by >= self.current_since
    }

    /// True if it has held a descriptor of ours.
    pub(super) fn has_held_ours(&self) -> bool {
        self.shown.held_ours
    }

    /// True if it has acknowledged publication `id` or a later one.
    pub(super) fn has_taken(&self, id: PublicationId) -> bool {
        self.taken >= id
    }

    /// Notes that it has the set that belongs there.
    pub(super) fn settle(&mut self) {
        self.state = State::Stored;
        self.failures = 0;
        self.problem = None;
        self.refusing = false;
        self.round.excused = false;
        self.silent = false;
        self.shown.broke_its_word = false;
    }

    pub(super) fn unknown(&mut self) {
        self.state = State::Unknown;
    }

    /// Repeats the upload as soon as after a first failure: the HSDir takes uploads, but may not have this
    /// one.
    pub(super) fn try_again(&mut self, cx: &mut Context<impl RngCore>) {
        self.failures = 0;
        self.round.may_hold = true;
        self.fail(cx, UploadProblem::Unproven);
    }

    /// Notes that the upload failed.
    pub(super) fn fail(&mut self, cx: &mut Context<impl RngCore>, problem: UploadProblem) {
        self.failures = self.failures.saturating_add(1);
        self.problem = Some(problem);
        self.state = State::Wanted { at: cx.retry_at(self.failures) };
    }

    /// Gives the upload or the read-back up if its time is over. True once, when the HSDir falls silent.
    pub(super) fn tick(&mut self, cx: &mut Context<impl RngCore>) -> bool {
        let mut fell_silent = false;
        for timer in ended(self.timers(), cx.now.elapsed) {
            match timer {
                UploadTimer::Answer => {
                    // The answer may have been lost, and not the upload.
                    self.round.may_hold = true;
                    self.fail(cx, UploadProblem::Silent);
                }
                UploadTimer::ProofAnswer => self.fail_proof(cx),
                UploadTimer::Silence => {
                    self.owed = None;
                    fell_silent = !std::mem::replace(&mut self.silent, true);
                }
                // These go to their lines, by `is_due` and `queue_proof`.
                UploadTimer::Upload | UploadTimer::Proof => {}
            }
        }
        fell_silent
    }

    fn timers(&self) -> [Timer<UploadTimer>; 2] {
        let of_state = match self.state {
            State::Wanted { at } => (UploadTimer::Upload, Some(at)),
            State::Uploading { until, .. } => (UploadTimer::Answer, Some(until)),
            State::Acknowledged { at, in_line, .. } => (UploadTimer::Proof, (!in_line).then_some(at)),
            State::Proving { until, .. } => (UploadTimer::ProofAnswer, Some(until)),
            State::Signing { .. } | State::Refused { .. } | State::Stored | State::Unknown => {
                (UploadTimer::Upload, None)
            }
        };
        [of_state, (UploadTimer::Silence, self.owed)]
    }

    /// Excuses a refusal, because the HSDir may hold the round's revision already. False if it cannot, or if
    /// it has stored nothing since an earlier refusal that was excused, or that had another reason.
    pub(super) fn excuse_refusal(&mut self) -> bool {
        let may_hold = self.round.may_hold && !self.refusing;
        may_hold && !std::mem::replace(&mut self.round.excused, true)
    }

    /// Notes that it does not hold the round's revision.
    pub(super) fn lacks_round(&mut self) {
        self.round.may_hold = false;
    }

    /// Notes that it refused this revision. True if that is news.
    pub(super) fn refuse(&mut self, revision: u64) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.state = State::Refused { revision };
        self.round.refused = true;
        !std::mem::replace(&mut self.refusing, true)
    }

    /// Forgets earlier refusals, because the next publication's revision will be much higher.
    pub(super) fn encourage(&mut self) {
        self.failures = self.failures.min(1);
    }

    /// Retries after a refusal, and returns the time of that: soon after the first one if `floor` is not
    /// below the refused revision, otherwise after a growing wait. `None` if no refusal is open.
    pub(super) fn retry_refused(
        &mut self,
        cx: &mut Context<impl RngCore>,
        floor: Option<u64>,
    ) -> Option<Retry> {
        let revision = self.refused()?;
        let explained = floor >= Some(revision);
        // The others' refusals are about to come, and one round shall serve them all.
        let soon = explained && self.failures <= 1;
        let at = if soon { cx.now.elapsed + cx.timing.debounce } else { cx.retry_at(self.failures) };
        self.want(at);
        Some(Retry { at, explained, may_hold: self.round.may_hold })
    }

    /// The next time at which something is due; `None` if there is none. `may_post` is true if a publication
    /// would be possible, `may_ask` if a read-back would.
    pub(super) fn deadline(&self, may_post: bool, may_ask: bool) -> Option<Duration> {
        let is_possible = |timer: UploadTimer| match timer {
            UploadTimer::Upload => may_post,
            UploadTimer::Proof => may_ask,
            UploadTimer::Answer | UploadTimer::ProofAnswer | UploadTimer::Silence => true,
        };
        earliest(self.timers().into_iter().filter(|(timer, _)| is_possible(*timer)))
    }

    /// Notes the reason for which a try has failed.
    pub(super) fn failed_by(&mut self, problem: UploadProblem) {
        self.problem = Some(problem);
    }

    /// The reason for which the last try has failed; `None` if the set was stored since.
    pub(super) fn problem(&self) -> Option<UploadProblem> {
        self.problem
    }

    pub(super) fn status(&self) -> (UploadState, Option<u64>) {
        let state = match self.state {
            State::Wanted { .. } => UploadState::Pending { failures: self.failures },
            State::Signing { .. } => UploadState::Signing,
            State::Uploading { .. } => UploadState::Uploading,
            State::Refused { .. } => UploadState::Refused,
            State::Acknowledged { .. } | State::Proving { .. } => UploadState::Acknowledged,
            State::Stored => UploadState::Stored,
            State::Unknown => UploadState::Unknown,
        };
        (state, self.stored)
    }
}
