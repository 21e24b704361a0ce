//! What the loop puts down as events: decisions with what they were made of, and the milestones that a
//! failover's time line is read from.

use serde_json::{Map, Value};

use super::Agent;
use super::report::own_position;
use crate::act::lease::{Fence, FenceReport};
use crate::act::{Ports, effect_name};
use crate::cluster::{BatonState, ControlState, State};
use crate::decide::{Decision, Seat, Vacancy, View, not_receiving, unfit, verdict};
use crate::publish::{Event, EventKind};
use crate::values::{Clock, MemberName, Strength, Term};

/// What was told last.
#[derive(Default)]
pub(super) struct Told {
    server: Option<&'static str>,
    leader: Option<(&'static str, Option<(MemberName, Term)>)>,
    strength: Option<Strength>,
}

impl<P: Ports> Agent<P> {
    fn wall(&self) -> i64 {
        self.inlets.context.clock.wall_micros()
    }

    fn note(&self, event: Event) {
        self.inlets.events.note(event);
    }

    /// A decision came into force, after another one.
    pub(super) fn tell_of_the_decision(&self, decision: &Decision, view: &View, at_micros: i64) {
        let reason = &decision.reason;
        let before = view.now.since(self.activity.since);
        let effects = decision.effects.iter().chain(&decision.upkeep);
        let mut event = Event::new(at_micros, EventKind::Decision, reason.label)
            .detail(reason.detail.as_str())
            .took(before);
        event.facts = facts(view);
        event.effects = effects.map(|effect| effect_name(effect).to_owned()).collect();
        self.note(event);
    }

    /// This node's lease, and who leads, as far as either has changed.
    pub(super) fn tell_of_the_lease(&mut self) {
        let held = self.inlets.lease.borrow().held.map(|held| held.term);
        let told = &self.inlets.context.kept.lease_told;
        if told.get() != held {
            let (what, term) = match (told.replace(held), held) {
                (None, Some(term)) => ("taken", term),
                (Some(_), Some(term)) => ("raised", term),
                (Some(term), None) => ("lost", term),
                (None, None) => return,
            };
            self.note(Event::new(self.wall(), EventKind::Lease, what).fact("term", term.0));
        }
        let sight = self.inlets.sight.borrow().clone();
        let Some(cluster) = sight.map(|sight| sight.cluster.clone()) else { return };
        let leader = match cluster.baton.as_ref().map(|baton| &baton.value) {
            None => ("none", None),
            Some(baton) => {
                let what = match baton.state {
                    BatonState::Held => "held",
                    BatonState::Offered => "offered",
                    BatonState::Released => "released",
                };
                (what, Some((baton.holder.clone(), baton.term)))
            }
        };
        if self.told.leader.as_ref() == Some(&leader) {
            return;
        }
        let mut event = Event::new(self.wall(), EventKind::Leader, leader.0);
        if let Some((holder, term)) = &leader.1 {
            event = event.fact("holder", holder.as_str()).fact("term", term.0);
        }
        self.note(event);
        self.told.leader = Some(leader);
    }

    /// What the server was found doing, when that has changed.
    pub(super) fn tell_of_the_server(&mut self) {
        let word = server_word(&self.look.state);
        if self.told.server.replace(word) == Some(word) {
            return;
        }
        let mut event = Event::new(self.wall(), EventKind::Server, word);
        if let Some(position) = own_position(&self.look) {
            event = event.fact("timeline", position.timeline.0);
            event = event.fact("lsn", position.lsn.to_string());
        }
        match &self.look.state {
            State::Unusable(why) => event = event.detail(why.as_str()),
            State::Down(control) => {
                event = event.fact("timeline", control.timeline.0);
                event = event.fact("left", left_word(control.state));
            }
            _ => {}
        }
        self.note(event);
    }

    /// Tells what the guardian did at a deadline, and when another fence is in force.
    pub(super) fn tell_of_the_fence(&mut self) {
        if let Some(report) = self.inlets.context.exposure.fence().take_report() {
            tracing::warn!("the guardian fenced the server: {}", report.text);
            self.inlets.metrics.fenced();
            self.note(fence_event(&report, self.wall()));
        }
        let seen = self.fence_seen();
        if self.told.strength.replace(seen.strength) != Some(seen.strength) {
            let event = Event::new(self.wall(), EventKind::Guardian, "strength");
            self.note(event.fact("strength", seen.strength.as_str()).detail(seen.remarks));
        }
    }
}

/// What a fence did, at the time when it did it.
pub fn fence_event(report: &FenceReport, now_micros: i64) -> Event {
    let ago = i64::try_from(report.ago.as_micros()).unwrap_or_default();
    // After a soft stop there may be nothing left to kill.
    let what = if report.processes == 0 { "stopped" } else { "killed" };
    let micros =
        |length: std::time::Duration| u64::try_from(length.as_micros()).unwrap_or_default();
    let mut event = Event::new(now_micros.saturating_sub(ago), EventKind::Guardian, what)
        .detail(report.text.as_str())
        .fact("processes", report.processes)
        .fact("kill_us_after", micros(report.began_after))
        .fact("gone_us_after", micros(report.fenced_after))
        .fact("all_gone", report.all_gone);
    if let Some(before) = report.soft_before {
        event = event.fact("soft_stop_ms_before", micros(before) / 1000);
    }
    event
}

fn server_word(state: &State) -> &'static str {
    match state {
        State::Empty => "empty",
        State::Unusable(_) => "unusable",
        State::Down(_) => "down",
        State::Starting => "starting",
        State::Stopping => "stopping",
        State::Primary(_) => "primary",
        State::Standby(_) => "standby",
        State::Silent => "silent",
    }
}

fn left_word(state: ControlState) -> &'static str {
    match state {
        ControlState::ShutDown => "shut down",
        ControlState::ShutDownInRecovery => "shut down in recovery",
        ControlState::InProduction => "in production",
        ControlState::InRecovery => "in recovery",
    }
}

/// What a decision is made of, as far as people ask for it afterwards.
fn facts(view: &View) -> Map<String, Value> {
    let mut facts = Map::new();
    let mut put = |name: &str, value: Value| facts.insert(name.to_owned(), value);
    let millis = |length: std::time::Duration| Value::from(length.as_millis() as u64);
    put("seat", seat_word(view.seat).into());
    match view.seat {
        Seat::Mine(until) => drop(put("lease_left_ms", millis(until.left(view.now)))),
        Seat::Held { changed_at } => {
            put("leader_silent_ms", millis(view.now.since(changed_at)));
        }
        Seat::Offered | Seat::Vacant(_) | Seat::Unknown => {}
    }
    let cluster = view.cluster.as_ref();
    if let Some(baton) = cluster.and_then(|cluster| cluster.baton.as_ref()) {
        put("holder", baton.value.holder.as_str().into());
        put("term", baton.value.term.0.into());
    }
    put("server", server_word(&view.server).into());
    match &*view.server {
        State::Primary(server) => {
            put("timeline", server.position.timeline.0.into());
            put("lsn", server.position.lsn.to_string().into());
            put("standbys", server.downstreams.iter().map(|one| one.name.as_str()).collect());
        }
        State::Standby(server) => {
            put("timeline", server.timeline.0.into());
            put("lsn", server.position().lsn.to_string().into());
            put("streaming", server.is_streaming().into());
        }
        State::Down(control) => drop(put("timeline", control.timeline.0.into())),
        State::Empty | State::Unusable(_) | State::Starting | State::Stopping | State::Silent => {}
    }
    if !view.carried_by.is_empty() {
        put("carried_by", view.carried_by.iter().map(|one| one.as_str()).collect());
    }
    if let Some(failure) = &view.memory.failure {
        put("failed_before", format!("{:?}: {}", failure.kind, failure.reason).into());
        put("failed_times", failure.times.into());
    }
    if let Some((_, why)) = verdict(view) {
        put("stalled", why.into());
    }
    if let Some(why) = unfit(view).or_else(|| not_receiving(view)) {
        put("unfit", why.into());
    }
    facts
}

fn seat_word(seat: Seat) -> &'static str {
    match seat {
        Seat::Mine(_) => "mine",
        Seat::Offered => "offered to this node",
        Seat::Held { .. } => "held",
        Seat::Vacant(Vacancy::NeverHeld) => "vacant: never held",
        Seat::Vacant(Vacancy::Released) => "vacant: released",
        Seat::Vacant(Vacancy::Silent) => "vacant: its holder is silent",
        Seat::Unknown => "unknown: the store does not answer",
    }
}
