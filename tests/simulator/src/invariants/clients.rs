//! The look-ups of clients: for every service, with each live consensus.

use std::rc::Rc;

use onionbalance::engine::DescriptorSlot;

use super::super::address::Places;
use super::super::network::cache::Key;
use super::super::network::consensus::Consensus;
use super::super::network::id::RelayId;
use super::super::onion_version::OnionVersion;
use super::super::time::Moment;
use super::super::world::World;
use super::alarm::Alarm;
use super::{Invariant, LookUps};

/// The results of clients.
struct Answers {
    /// The number of HSDirs that they ask.
    asked: u64,
    /// The number of these that have the descriptor.
    served: u64,
    /// True if one of them has no excuse not to have it.
    owed: bool,
}

impl<V: OnionVersion> World<V> {
    /// Checks that clients with any of the `live` consensuses find a descriptor, if there is an HSDir left
    /// for that.
    pub(super) fn check_found(
        &mut self,
        number: usize,
        live: &[Rc<Consensus>],
        steady: bool,
        alarm: &mut Alarm,
    ) {
        let service = &self.services[number];
        let until = service.steady_until.map(|until| until.min(self.now));
        let owed = until.filter(|until| steady || !alarm.passed(until.after(self.promises.absence)));
        let owed = owed.filter(|_| !V::BY_THE_CLOCK || self.balancer.clock_ahead == 0);
        let (mut last, mut look_ups) = (None, LookUps::default());
        for consensus in live {
            alarm.passed(consensus.valid_until());
            let sought = self.sought(number, consensus);
            let same = |(places, _): &(Rc<Places<RelayId>>, Answers)| Rc::ptr_eq(places, &sought);
            let answers = last.take().filter(same).map(|(_, answers)| answers);
            let answers = answers.unwrap_or_else(|| self.ask(number, &sought, owed, alarm));
            let (owed, excused) = (u64::from(answers.owed), u64::from(!answers.owed));
            let dark = u64::from(answers.served == 0);
            look_ups.add(LookUps { asked: answers.asked, served: answers.served, dark, owed, excused });
            if answers.owed && answers.served == 0 {
                let of = self.services[number].id.0.clone();
                let slots: Vec<DescriptorSlot> = sought.iter().map(|(slot, _)| *slot).collect();
                let from = consensus.valid_after;
                let expected = format!("clients with the consensus of {from} find {slots:?} at no HSDir");
                return self.fail(Invariant::Found, &of, expected);
            }
            last = Some((sought, answers));
        }
        self.services[number].look_ups = look_ups;
    }

    /// The HSDirs at which clients with this consensus look for a service; consensuses with equal results
    /// share one value.
    fn sought(&mut self, number: usize, consensus: &Consensus) -> Rc<Places<RelayId>> {
        let (address, wall) = (&mut self.addresses[number], self.now.wall());
        let slots = V::looked_for(consensus, address, wall);
        let known = &mut self.services[number].sought;
        let same = |(number, places): &&(usize, Rc<Places<RelayId>>)| {
            *number == consensus.number && places.iter().map(|(slot, _)| *slot).eq(slots.clone())
        };
        if let Some((_, places)) = known.iter().find(same) {
            return places.clone();
        }
        let places = V::sought(consensus, address, wall);
        let equal = known.iter().find(|(_, known)| **known == places);
        let places = equal.map_or_else(|| Rc::new(places), |(_, known)| known.clone());
        // There are never more live consensuses than that.
        known.truncate(3);
        known.insert(0, (consensus.number, places.clone()));
        places
    }

    /// The results of a client that asks each of these HSDirs. Nothing kept the balancer from its work until
    /// `owed`; `None` if something has for too long.
    fn ask(
        &self,
        number: usize,
        sought: &Places<RelayId>,
        owed: Option<Moment>,
        alarm: &mut Alarm,
    ) -> Answers {
        let (mut asked, mut served) = (0, 0);
        for (slot, hsdirs) in sought {
            let key = Key { owner: number, slot: *slot };
            asked += hsdirs.len() as u64;
            let (mut highest, mut having) = (0, 0);
            for kept in hsdirs.iter().filter_map(|id| self.relays.serves(*id, key, self.now)) {
                alarm.passed(kept.until);
                if having == 0 || kept.text.revision > highest {
                    (highest, having) = (kept.text.revision, 0);
                }
                having += u64::from(kept.text.revision == highest);
            }
            served += having;
        }
        let owed = owed.is_some_and(|until| self.is_owed(number, sought, until, alarm));
        Answers { asked, served, owed }
    }

    /// True if one of the HSDirs where clients look had no excuse not to have it at the moment `until`. While
    /// something keeps the balancer from its work nothing gets better. An HSDir that had refused everything
    /// until just before gets nothing then. One that holds a stranger's descriptor with a higher revision is
    /// empty when that expires.
    fn is_owed(&self, number: usize, sought: &Places<RelayId>, until: Moment, alarm: &mut Alarm) -> bool {
        let mut then = Alarm { now: until, next: Moment::NEVER };
        let is_owed = sought.iter().any(|(slot, asked)| {
            let key = Key { owner: number, slot: *slot };
            // By a consensus of another day, or before the balancer has seen any, there is no such HSDir.
            let spot = self.services[number].spots.iter().find(|spot| spot.slot == *slot);
            spot.is_some_and(|spot| {
                spot.hsdirs.iter().filter(|(id, _)| asked.contains(id)).any(|(id, since)| {
                    self.has_no_excuse(self.relays.get(*id), *since, &mut then)
                        && !self.is_ahead(key, spot, self.relays.last(*id, key), &mut then)
                })
            })
        });
        if until == self.now {
            alarm.next = alarm.next.min(then.next);
        }
        is_owed
    }
}
