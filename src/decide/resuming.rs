//! A server that an earlier start of this agent left open, with its deadline in the guardian's hand: the
//! lease is taken up again while it is this node's.

use crate::cluster::BatonState;
use crate::mutants::{Mutant, planted};

use super::decision::{Decision, Effect, Reason};
use super::view::{JobKind, Seat, View};

/// Whether the lease that was left may still be this node's: then the server is not killed before that
/// is known. Its deadline is guarded meanwhile.
pub fn may_resume(view: &View) -> bool {
    let ahead = view.left_until.is_some_and(|until| !until.has_passed(view.now));
    ahead && !is_lost(view)
}

/// The store has shown somebody else in this node's place, or nobody.
fn is_lost(view: &View) -> bool {
    let baton = view.cluster.as_ref().map(|cluster| cluster.baton.as_ref());
    match (view.seat, baton) {
        (Seat::Mine(_), _) => false,
        (Seat::Unknown, _) | (_, None) => false,
        (Seat::Offered | Seat::Held { .. } | Seat::Vacant(_), Some(baton)) => {
            baton.is_none_or(|baton| {
                baton.value.state != BatonState::Held
                    || baton.value.incarnation != view.me.incarnation
            })
        }
    }
}

/// Takes the lease up again.
pub fn resume(view: &View) -> Option<Decision> {
    let until = view.left_until.filter(|_| may_resume(view))?;
    match view.seat {
        Seat::Mine(_) => None,
        Seat::Unknown if !planted(Mutant::ResumeWithoutReading) => {
            let reason = Reason::plain("hold still: an earlier agent's lease is guarded");
            Some(Decision::wait(reason).and_look_again_at(until.moment()))
        }
        Seat::Unknown | Seat::Offered | Seat::Held { .. } | Seat::Vacant(_) => {
            let reason = Reason::plain("take up the lease of this node's earlier agent");
            if view.job.is_some() {
                return Some(Decision::wait(reason).and_look_again_at(until.moment()));
            }
            if let Some(pause) = view.resting_until(JobKind::Promote) {
                return Some(Decision::wait(reason).and_look_again_at(pause.min(until.moment())));
            }
            Some(Decision::act(reason, JobKind::Promote, vec![Effect::ResumeLease]))
        }
    }
}
