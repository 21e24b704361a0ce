//! The store did not answer.

use super::decision::{Decision, Reason};
use super::failsafe;
use super::view::View;

/// Changes nothing: silence is not vacancy. A standby goes on following whom it follows.
pub fn hold_still(view: &View) -> Decision {
    if let Some((until, why)) = failsafe::bound(view)
        && view.memory.accepted.is_some()
    {
        let reason =
            Reason::with("hold still: the store is away, this node carries the leader", why);
        return Decision::wait(reason).and_look_again_at(until);
    }
    let label = match view.cluster {
        Some(_) => "hold still: the store did not answer",
        None => "wait for the store: it has not answered yet",
    };
    Decision::wait(Reason::plain(label))
}
