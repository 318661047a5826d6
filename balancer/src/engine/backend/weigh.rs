//! The comparison of a copy with the newest descriptor of its backend.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use rand_core::RngCore;

use super::super::context::Context;
use super::super::event::{DescriptorCopy, Point};
use super::super::id::Source;
use super::super::newest::HELD_FOR;
use super::super::notice::Notice;
use super::Backend;
use super::held::Held;

/// The relation of a copy to the newest one.
enum Relation {
    Newer,
    Same,
    /// The same revision with other points: v2 counts revisions by the hour.
    Twin,
    Older,
    /// A copy of another period than the one that is asked for.
    Foreign,
}

impl<P: Point> Backend<P> {
    /// Compares a copy with the one that is held. True if services should choose again.
    pub(super) fn weigh(
        &mut self,
        cx: &mut Context<impl RngCore>,
        from: Source,
        copy: DescriptorCopy<P>,
    ) -> bool {
        let now = cx.now.elapsed;
        let good_until = now + cx.timing.max_age.saturating_sub(cx.age(copy.published));
        let relation = self.relation(cx, &copy, good_until > now);
        if let (Relation::Same | Relation::Twin, Some(held)) = (&relation, &mut self.held) {
            // An HSDir may hand out an expired descriptor forever.
            if good_until > now {
                held.seen = cx.now_at_most();
            }
        }
        match (relation, &mut self.held) {
            (Relation::Same, Some(held)) => {
                held.given_by(cx, from, good_until);
                // The copy may become too old before the next look, and another HSDir may have a newer one.
                // If tor chooses the HSDir, only another look can find that.
                let expires = held.good_until() <= now + cx.timing.refresh * 2;
                if !expires || self.looks.has_others() {
                    self.looks.confirm();
                }
                if expires {
                    self.looks.ask_more(usize::MAX);
                }
                if self.is_live() { self.judge_age(cx) } else { self.rise(cx) }
            }
            (Relation::Older, _) => {
                self.looks.ask_more(usize::MAX);
                false
            }
            (Relation::Foreign, _) => false,
            (Relation::Twin, _) => {
                self.looks.confirm();
                self.weigh_twin(cx, from, Held::new(cx, copy, from, good_until))
            }
            (Relation::Newer | Relation::Same, _) => {
                self.looks.confirm();
                self.replace(cx, Held::new(cx, copy, from, good_until))
            }
        }
    }

    /// Compares other points under the same revision. True if services should choose again.
    fn weigh_twin(&mut self, cx: &mut Context<impl RngCore>, from: Source, mut twin: Held<P>) -> bool {
        let Some(held) = &mut self.held else { return false };
        let is_outdated = same_points(&twin.copy.points, &held.outdated);
        // If tor chooses the HSDir, another one than before may lag behind.
        let may_lag = from == Source::Any && is_outdated;
        if held.from.contains(from) && !may_lag {
            twin.outdated.clone_from(&held.copy.points);
            return self.replace(cx, twin);
        }
        self.looks.ask_more(usize::MAX);
        if is_outdated {
            return false;
        }
        held.others.insert(from);
        if held.others.len() <= held.from.len() {
            return false;
        }
        // The last upload reaches all HSDirs but a few, and most have this copy.
        (twin.from, twin.others) = (std::mem::take(&mut held.others), std::mem::take(&mut held.from));
        self.replace(cx, twin)
    }

    /// The relation of a copy to the newest one. `good` is true if the copy is young enough.
    fn relation(&self, cx: &Context<impl RngCore>, copy: &DescriptorCopy<P>, good: bool) -> Relation {
        let Some(newest) = self.newest() else { return Relation::Newer };
        if copy.period != newest.period {
            // Revisions of different periods cannot be compared. The period that is asked for takes
            // precedence; if the newest copy is of another one, tor may be ahead of us. A copy that is too old
            // takes the place of no good one, and of no later one: its HSDir may lag behind, or our clock.
            let ahead = Some(newest.period) != self.period && copy.period > newest.period;
            return match Some(copy.period) == self.period || ahead {
                true if !good && (self.is_live() || copy.published < newest.published) => Relation::Older,
                true => Relation::Newer,
                false => Relation::Foreign,
            };
        }
        match (copy.revision.cmp(&newest.revision), &self.held) {
            (Ordering::Greater, _) | (Ordering::Equal, None) => Relation::Newer,
            (Ordering::Less, _) if good && !self.newest_binds(cx) => Relation::Newer,
            (Ordering::Less, _) => Relation::Older,
            (Ordering::Equal, Some(held)) if same_points(&copy.points, &held.copy.points) => Relation::Same,
            (Ordering::Equal, Some(_)) => Relation::Twin,
        }
    }

    /// True if an HSDir can still hold the newest. A backend whose clock was ahead, and was set right, makes
    /// lower revisions afterwards. Once HSDirs have dropped the higher one, they hold these. The clock by
    /// which an earlier run saw it may have been ahead as well: it was seen before it was remembered.
    fn newest_binds(&self, cx: &Context<impl RngCore>) -> bool {
        match (&self.held, self.remembered) {
            (Some(held), _) => cx.now.elapsed < held.seen.elapsed + HELD_FOR,
            (None, Some((newest, remembered))) => {
                cx.now.wall.since(newest.seen) < HELD_FOR.as_secs() && cx.now.elapsed < remembered + HELD_FOR
            }
            (None, None) => false,
        }
    }

    fn replace(&mut self, cx: &mut Context<impl RngCore>, mut next: Held<P>) -> bool {
        let same = self.held.as_ref().filter(|held| same_points(&held.copy.points, &next.copy.points));
        let same_since = same.map(|held| held.changed);
        next.changed = same_since.unwrap_or(next.changed);
        let points = next.copy.points.len();
        self.held = Some(next);
        if same_since.is_none() {
            self.checks.points_changed(cx.now.elapsed);
        }
        if !self.is_live() {
            return self.rise(cx) | same_since.is_none();
        }
        if same_since.is_none() {
            cx.notices.push(Notice::BackendChanged { backend: self.id.clone(), points });
        }
        same_since.is_none() | self.judge_age(cx)
    }
}

/// True if these are the same introduction points, in any order.
fn same_points<P: Point>(a: &[P], b: &[P]) -> bool {
    fn ids<P: Point>(points: &[P]) -> impl Iterator<Item = P::Id> {
        points.iter().map(Point::id)
    }
    ids(a).eq(ids(b)) || ids(a).collect::<BTreeSet<_>>() == ids(b).collect()
}
