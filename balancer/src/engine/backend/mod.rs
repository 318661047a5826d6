//! The state of one backend.
//!
//! A backend is live while its newest descriptor is young enough. Its age counts from the time at which it
//! was made, not from that at which it was fetched. The backend is also gone when every one of its HSDirs
//! answers that it has no descriptor.

mod held;
mod weigh;

use std::sync::Arc;
use std::time::Duration;

use rand_core::RngCore;

use self::held::Held;
use super::capacity::{Due, Place};
use super::context::Context;
use super::event::{BackendView, FetchOutcome, Point, ProbeOutcome};
use super::health::{Answered, Checks, News};
use super::id::{BackendId, ProbeId, ServiceId, Source};
use super::look::Looks;
use super::newest::Newest;
use super::notice::{HealthNotice, Notice};
use super::registry::Number;
use super::status::{BackendState, BackendStatus, Gone};
use super::timers::{BackendTimer, Timer, earliest, ended};

/// One backend, however many services share it.
pub(super) struct Backend<P: Point> {
    id: BackendId,
    /// The services that list it.
    pub(super) users: Vec<Number<ServiceId>>,
    period: Option<u64>,
    looks: Looks,
    held: Option<Held<P>>,
    /// The newest descriptor of an earlier run, and the time at which it was remembered. It does not matter
    /// after one was found in this run.
    remembered: Option<(Newest, Duration)>,
    state: BackendState,
    /// The time since which it has been missing, after a notice of that; `None` otherwise.
    missing_since: Option<Duration>,
    answered: bool,
    /// The time at which it was first asked for; `None` before that.
    first_asked: Option<Duration>,
    /// The time at which an HSDir was last asked for it; `None` before that.
    last_asked: Option<Duration>,
    /// Its place in the line of looks; `None` if it is not in it.
    pub(super) place: Option<Place>,
    /// The health checks that its services have for it.
    pub(super) checks: Checks,
}

impl<P: Point> Backend<P> {
    /// A backend that has not been looked for.
    pub(super) fn new(id: BackendId) -> Self {
        Self {
            id,
            users: Vec::new(),
            period: None,
            looks: Looks::default(),
            held: None,
            remembered: None,
            state: BackendState::Unknown,
            missing_since: None,
            answered: false,
            first_asked: None,
            last_asked: None,
            place: None,
            checks: Checks::default(),
        }
    }

    pub(super) fn id(&self) -> &BackendId {
        &self.id
    }

    /// Takes the newest descriptor of an earlier run. It stays the newest until a newer one is found.
    pub(super) fn remember(&mut self, now: Duration, newest: Newest) {
        if self.remembered.is_none_or(|(known, _)| known != newest) {
            self.remembered = Some((newest, now));
        }
    }

    /// The newest descriptor that was ever seen; `None` before the first.
    pub(super) fn newest(&self) -> Option<Newest> {
        self.held.as_ref().map(Held::newest).or(self.remembered.map(|(newest, _)| newest))
    }

    /// The introduction points while it is live; empty otherwise.
    pub(super) fn points(&self) -> &[P] {
        match &self.held {
            Some(held) if self.is_live() => &held.copy.points,
            _ => &[],
        }
    }

    /// The introduction points of its newest descriptor, live or not.
    pub(super) fn newest_points(&self) -> &[P] {
        self.held.as_ref().map_or(&[], |held| &held.copy.points)
    }

    /// True if it has been found, or if a first look has ended without finding it.
    pub(super) fn has_result(&self) -> bool {
        self.answered
    }

    /// Takes the HSDirs of a new consensus. True if it has to be looked for at once, because its period has
    /// changed or it had no HSDirs before.
    pub(super) fn set_view(&mut self, cx: &mut Context<impl RngCore>, view: Option<&BackendView>) -> bool {
        let (period, sources) = view.map_or((None, &[][..]), |view| (Some(view.period), &view.sources));
        let look = self.period != period || self.looks.is_empty();
        self.period = period;
        self.looks.set_sources(&mut cx.rng, sources);
        if let Some(held) = &mut self.held {
            held.keep_sources(sources);
        }
        self.answered |= self.looks.is_empty();
        if !look {
            self.conclude(cx);
        }
        look
    }

    /// Begins a look. A live backend is looked for at one HSDir, also in a new period, in which all backends
    /// are looked for at once.
    pub(super) fn begin_look(&mut self) {
        self.looks.begin(if self.is_live() { 1 } else { AT_ONCE });
    }

    /// The time at which it is due to be asked for if it joins the line at `now`. It is at once for the first
    /// time. A backend that was not found at the HSDirs that were asked comes before all others. Otherwise it
    /// is before its copy becomes too old, and like all others within half of a copy's lifetime.
    pub(super) fn ask_by(&self, now: Duration, max_age: Duration) -> Due {
        let Some(first_asked) = self.first_asked else { return Due::Now };
        if !self.has_result() && self.looks.has_answers() {
            return Due::By(first_asked);
        }
        let good_until = self.held.as_ref().filter(|_| self.is_live()).map(Held::good_until);
        Due::By(good_until.unwrap_or(Duration::MAX).min(now + max_age / 2))
    }

    /// True if there is an HSDir left to ask in the present look.
    pub(super) fn wants_to_ask(&self) -> bool {
        self.looks.wants_to_ask()
    }

    /// The time at which it was first asked for; `None` before that.
    pub(super) fn first_asked(&self) -> Option<Duration> {
        self.first_asked
    }

    /// The next HSDir to ask, which is then waited for until `timeout` has passed; `None` if there is none.
    pub(super) fn next_to_ask(&mut self, now: Duration, timeout: Duration) -> Option<Source> {
        let source = self.looks.next_to_ask(now + timeout)?;
        self.first_asked.get_or_insert(now);
        self.last_asked = Some(now);
        Some(source)
    }

    /// Takes an HSDir's answer. True if services should choose again.
    ///
    /// A copy counts however late it comes, because it is verified. Another answer counts only while it is
    /// awaited.
    pub(super) fn answer(
        &mut self,
        cx: &mut Context<impl RngCore>,
        source: Source,
        outcome: FetchOutcome<P>,
    ) -> bool {
        if matches!(outcome, FetchOutcome::Copy(_)) && self.looks.note_valid(source) {
            cx.notices.push(Notice::BackendValid { backend: self.id.clone(), source });
        }
        let awaited = self.looks.answered(source, &outcome);
        let mut changed = false;
        if let (FetchOutcome::NotFound, Some(held)) = (&outcome, &mut self.held) {
            held.denied_by(source);
            changed = self.judge_age(cx);
        }
        match outcome {
            FetchOutcome::Copy(copy) => changed |= self.weigh(cx, source, copy),
            FetchOutcome::Invalid(reason) if awaited => {
                if self.looks.note_invalid(source) {
                    cx.notices.push(Notice::BackendInvalid { backend: self.id.clone(), source, reason });
                }
                self.doubt();
            }
            FetchOutcome::NotFound if awaited => self.doubt(),
            FetchOutcome::Failed if awaited => self.pass_over(cx),
            _ => {}
        }
        changed | self.conclude(cx)
    }

    /// Takes the result of a probe. True if services should choose again.
    ///
    /// A turn is a reason to look for its descriptor: a backend that was restarted has other introduction
    /// points.
    pub(super) fn probed(
        &mut self,
        cx: &mut Context<impl RngCore>,
        number: Number<BackendId>,
        id: ProbeId,
        outcome: ProbeOutcome,
    ) -> bool {
        let reason = match &outcome {
            ProbeOutcome::Failed(reason) => reason.clone(),
            _ => Arc::default(),
        };
        let now = cx.now.elapsed;
        let answered = self.checks.answered(number, id, outcome, now, &mut cx.rng, &mut cx.witnesses);
        let Some(Answered { news, changed, check }) = answered else { return false };
        let (backend, port) = (self.id.clone(), check.port);
        let notice = match news {
            News::Fell => Some(HealthNotice::Unwell { backend, port, reason }),
            News::Rose(after) => Some(HealthNotice::Well { backend, port, after }),
            News::Turned | News::Nothing => None,
        };
        cx.notices.extend(notice.map(Notice::Health));
        if news != News::Nothing && !self.looks.is_looking() {
            self.looks.begin(AT_ONCE);
        }
        changed
    }

    /// Gives up HSDirs that did not answer, drops a copy that is too old, and begins the next look if it is
    /// due. True if services should choose again.
    pub(super) fn tick(&mut self, cx: &mut Context<impl RngCore>, tor_ready: bool) -> bool {
        let mut changed = false;
        for timer in ended(self.timers(tor_ready), cx.now.elapsed) {
            match timer {
                BackendTimer::Age => changed |= self.judge_age(cx),
                BackendTimer::Answer => {
                    for _ in 0..self.looks.give_up(cx.now.elapsed) {
                        self.pass_over(cx);
                    }
                    changed |= self.conclude(cx);
                }
                BackendTimer::Look if tor_ready => self.begin_look(),
                BackendTimer::Look => {}
                BackendTimer::Probe => self.checks.give_up(cx.now.elapsed),
            }
        }
        changed
    }

    fn timers(&self, tor_ready: bool) -> [Timer<BackendTimer>; 4] {
        let live = self.held.as_ref().filter(|_| self.is_live());
        [
            (BackendTimer::Age, live.map(Held::good_until)),
            (BackendTimer::Answer, self.looks.answer_by()),
            (BackendTimer::Look, self.looks.next()),
            (BackendTimer::Probe, self.checks.deadline(tor_ready && self.is_live())),
        ]
    }

    /// Notes time that has passed unnoticed; see [`Held::wake_up`]. The newest descriptor of an earlier run
    /// binds as long as without it: the clock may only have been set right.
    pub(super) fn wake_up(&mut self, now: Duration, slept: Duration, refresh: Duration) {
        if let Some((_, remembered)) = &mut self.remembered {
            *remembered = remembered.saturating_add(slept);
        }
        if let Some(held) = &mut self.held {
            held.wake_up(now, slept, refresh);
        }
        self.checks.wake_up(slept);
    }

    /// Notes that tor is lost: no HSDir will answer.
    pub(super) fn tor_lost(&mut self, now: Duration) {
        self.place = None;
        self.looks.stop();
        self.checks.tor_lost(now);
    }

    /// The next time at which [`Backend::tick`] has something to do; `None` if there is none.
    pub(super) fn deadline(&self, tor_ready: bool) -> Option<Duration> {
        earliest(self.timers(tor_ready))
    }

    /// Its state by itself. The service adds its own wishes.
    pub(super) fn status(&self, now: Duration) -> BackendStatus {
        let held = self.held.as_ref();
        BackendStatus {
            backend: self.id.clone(),
            state: self.state,
            missing_for: self.missing_since.map(|since| now.saturating_sub(since)),
            asked_ago: self.last_asked.map(|asked| now.saturating_sub(asked)),
            period: held.map(|held| held.copy.period),
            revision: held.map(|held| held.copy.revision),
            published: held.map(|held| held.copy.published),
            received_ago: held.map(|held| now.saturating_sub(held.received)),
            changed_ago: held.map(|held| now.saturating_sub(held.changed)),
            points: held.map_or(0, |held| held.copy.points.len()),
            weight: 1,
            drain: None,
            share: None,
            wished_share: None,
            health: None,
            sources: self.looks.status(),
        }
    }

    /// True if its newest descriptor is young enough.
    pub(super) fn is_live(&self) -> bool {
        self.state == BackendState::Live
    }

    /// True if it is live by a descriptor of the present period.
    fn is_known(&self) -> bool {
        self.is_live() && self.held.as_ref().is_some_and(|held| Some(held.copy.period) == self.period)
    }

    /// Asks another HSDir in place of one that could not be asked, unless no HSDir answers at all. The
    /// failure says nothing about the backend.
    fn pass_over(&mut self, cx: &mut Context<impl RngCore>) {
        cx.silences = cx.silences.saturating_add(1);
        if !self.looks.is_confirmed() && !cx.is_silence_general() {
            self.looks.ask_more(1);
        }
    }

    /// Asks more HSDirs after an answer without a descriptor: all of them about a backend that was live, two
    /// more about another one, unless this look has found it already.
    fn doubt(&mut self) {
        if !self.looks.is_confirmed() {
            self.looks.ask_more(if self.is_known() { usize::MAX } else { AT_ONCE });
        }
    }

    /// Makes a backend that was gone live again, unless its copy is too old. True if services should choose
    /// again.
    fn rise(&mut self, cx: &mut Context<impl RngCore>) -> bool {
        let Some(held) = &self.held else { return false };
        if held.good_until() <= cx.now.elapsed {
            return self.bury(cx, Gone::TooOld);
        }
        let (backend, points) = (self.id.clone(), held.copy.points.len());
        let before = std::mem::replace(&mut self.state, BackendState::Live);
        let after = self.missing_since.take().map(|since| cx.now.elapsed.saturating_sub(since));
        self.answered = true;
        cx.notices.push(match (before, after) {
            (BackendState::Gone(_), Some(after)) => Notice::BackendBack { backend, points, after },
            _ => Notice::BackendFound { backend, points, after },
        });
        true
    }

    /// Gives up a backend whose descriptor has become too old. True if services should choose again.
    fn judge_age(&mut self, cx: &mut Context<impl RngCore>) -> bool {
        let old = self.held.as_ref().is_some_and(|held| held.good_until() <= cx.now.elapsed);
        old && self.is_live() && self.bury(cx, Gone::TooOld)
    }

    fn bury(&mut self, cx: &mut Context<impl RngCore>, why: Gone) -> bool {
        let before = std::mem::replace(&mut self.state, BackendState::Gone(why));
        let news = !matches!(before, BackendState::Gone(_));
        if news {
            self.missing_since.get_or_insert(cx.now.elapsed);
            cx.notices.push(Notice::BackendGone { backend: self.id.clone(), why });
        }
        news
    }

    /// Draws the conclusion if a look has ended. True if services should choose again.
    fn conclude(&mut self, cx: &mut Context<impl RngCore>) -> bool {
        let Some(verdict) = self.looks.conclude(cx) else { return false };
        let first = !std::mem::replace(&mut self.answered, true);
        match self.state {
            BackendState::Live if verdict.denied_by_all => self.bury(cx, Gone::NotFound),
            BackendState::Unknown if !verdict.confirmed => {
                self.state = BackendState::NotFound;
                self.missing_since = Some(cx.now.elapsed);
                cx.notices.push(Notice::BackendNotFound { backend: self.id.clone() });
                first
            }
            _ => first,
        }
    }
}

/// The number of HSDirs that are asked at once about a backend that is not live, or does not answer its
/// visitors.
const AT_ONCE: usize = 2;
