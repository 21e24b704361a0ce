//! Somebody else leads: streaming from them, or stepping down.

use crate::cluster::{BatonState, StandbyFacts, Standing, StopMode, Upstream};

use super::decision::{Decision, Effect, Reason};
use super::gates::holder;
use super::view::{JobKind, View};
use super::{carried, ladder, promotion, rejoin, slots, upstream, voting};

/// A primary beside another holder.
pub fn step_down(view: &View) -> Decision {
    let reason = Reason::with("step down: somebody else leads", holder(view));
    Decision::act(reason, JobKind::Stop, vec![Effect::Kill])
}

/// Streams from the leader, once it is known to be one.
pub fn stream(view: &View, facts: &StandbyFacts) -> Decision {
    let cluster = view.cluster();
    let Some(baton) = cluster.baton.as_ref().map(|baton| &baton.value) else {
        return Decision::wait(Reason::plain("wait: no leader is known"));
    };
    if baton.holder == view.me.name {
        let reason = Reason::plain("wait: the lease of this node's earlier agent has to run out");
        return Decision::wait(reason);
    }
    if baton.state == BatonState::Offered {
        let reason = Reason::with("wait: the lead was offered", baton.holder.as_str());
        return Decision::wait(reason);
    }
    if let Some(why) = voting::why_no_log(view) {
        let reason = Reason::with("wait: this node has promised a later term", why);
        if facts.upstream.is_some() {
            // Its agent was killed when it had promised and not yet cut the log off.
            return Decision::act(reason, JobKind::Other, vec![Effect::Follow(None)]);
        }
        return Decision::wait(reason);
    }
    let lineage = cluster.lineage();
    if !promotion::is_settled(&lineage) {
        let reason = Reason::with("wait: the new leader is being promoted", baton.holder.as_str());
        return Decision::wait(reason);
    }
    if !facts.is_streaming()
        && let Some(since) = view.memory.diverged_since
        && let Some(why) = diverged(lineage.standing(facts.position()))
    {
        let again_at = since + view.settings.times.renewal_period;
        if view.now >= again_at {
            let within = view.settings.dynamic.retry_timeout;
            let stop = Effect::Stop { mode: StopMode::Fast, within };
            let reason = Reason::with("take the standby down: it does not fit the history", why);
            return Decision::act(reason, JobKind::Stop, vec![stop]);
        }
        return Decision::wait(Reason::with("watch: the standby does not fit the history", why))
            .and_look_again_at(again_at);
    }
    let Some(leader) = upstream::of_leader(view) else {
        let reason =
            Reason::with("wait: the leader has not said where it is", baton.holder.as_str());
        return Decision::wait(reason);
    };
    let wanted = if ladder::is_stuck(view, facts) && !view.me.nostream {
        // Who stands between is of no use to it.
        Some(leader.clone())
    } else {
        upstream::to_stream_from(view, leader.clone())
    };
    let is_there = facts.upstream == wanted.as_ref().map(upstream::address);
    if !is_there || facts.slot != wanted.as_ref().and_then(|wanted| wanted.slot.clone()) {
        let label = if is_there { "follow with another slot" } else { "follow a new leader" };
        let reason = following(&leader, wanted.as_ref(), label);
        return Decision::act(reason, JobKind::Other, vec![Effect::Follow(wanted)]);
    }
    let on_the_way = wanted.as_ref().and_then(|_| ladder::without_log(view, facts, &leader));
    if let Some(decision) =
        leave_timelines(view, facts).or(on_the_way).or_else(|| carried::copy(view, facts, &leader))
    {
        return decision;
    }
    Decision::wait(following(&leader, wanted.as_ref(), "follow"))
        .with_upkeep(slots::of_a_standby(view, facts))
}

/// It waits for a timeline that the cluster has left.
fn leave_timelines(view: &View, facts: &StandbyFacts) -> Option<Decision> {
    let left = rejoin::left_out(&view.cluster().lineage(), &facts.later);
    let leave = left.filter(|_| ladder::is_stuck(view, facts))?;
    let reason = Reason::plain("restart: the standby waits for a timeline that was left");
    let stop = Effect::Stop { mode: StopMode::Restart, within: view.settings.start_within };
    Some(Decision::act(reason, JobKind::Stop, vec![leave, stop]))
}

fn following(leader: &Upstream, wanted: Option<&Upstream>, label: &'static str) -> Reason {
    let leader = leader.name.as_str();
    match wanted {
        Some(wanted) if wanted.name.as_str() == leader => Reason::with(label, leader),
        Some(wanted) => Reason::with(label, format!("{leader}, through {}", wanted.name)),
        None => Reason::with(label, format!("{leader}, from the archive: tagged nostream")),
    }
}

/// Why a position is not one that could ever stream from the leader.
pub fn diverged(standing: Standing) -> Option<String> {
    match standing {
        Standing::OnPath { .. } | Standing::NoRecord => None,
        Standing::PastTheFork { forked_at } => {
            Some(format!("it is past the point {forked_at} where its timeline was left"))
        }
        Standing::OffPath => Some("its timeline is not on the cluster's history".to_owned()),
    }
}

/// The server is on its way up or down, or does not answer.
pub fn wait_for_the_server(view: &View) -> Decision {
    let waiting = Decision::wait(Reason::plain("wait: the server does not answer yet"));
    rejoin::recover_what_lets_nobody_in(view).unwrap_or(waiting)
}
