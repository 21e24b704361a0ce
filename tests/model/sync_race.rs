//! Who may lead, in the eyes of the product, by the votes of some.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use pgbaton::cluster::{Ballot, Standing, Vote};
use pgbaton::decide::{proven, rank};
use pgbaton::values::{Monotonic, Revision, Term};

use super::sync_state::{NODES, Record, State, name, node};

/// Those that may lead by the votes of these, in the eyes of the product.
pub fn fit(state: &State, voters: &[usize], lag_counts: bool) -> Vec<usize> {
    let vote = |at: &usize| Vote {
        name: name(*at),
        position: state.position(*at),
        ancestors: Vec::new(),
        may_lead: true,
        priority: 1,
    };
    let ballot = Ballot {
        term: Term(9),
        baton: Revision(1),
        word: None,
        counted_at: Monotonic::ZERO,
        round: 2,
        votes: voters.iter().map(vote).collect(),
        refusals: Vec::new(),
        silent: Vec::new(),
    };
    let furthest = (0..NODES).max_by_key(|at| state.end(*at));
    let reached = furthest.map(|at| state.position(at)).filter(|_| lag_counts);
    let lag_bytes_max = if lag_counts { 0 } else { u64::MAX };
    let standings = rank(&ballot, state.lineage(), reached, lag_bytes_max);
    let standings = proven(&state.record.state(), &ballot, standings);
    standings.fit.iter().map(|vote| node(&vote.name)).collect()
}

/// The same, looked up: it depends on little of a state.
pub fn somebody_can_lead_as_before(state: &State, lag_counts: bool) -> bool {
    thread_local! {
        static KNOWN: RefCell<HashMap<(u64, Record), bool>> = RefCell::default();
    }
    let mut hasher = DefaultHasher::new();
    (&state.logs, &state.timelines, &state.branches).hash(&mut hasher);
    let record = Record { open: None, ..state.record.clone() };
    let key = (hasher.finish(), record);
    KNOWN.with_borrow_mut(|known| {
        *known.entry(key).or_insert_with(|| somebody_can_lead(state, lag_counts))
    })
}

/// Whoever hears the last leader, or enough voters, all on the recorded history, finds a candidate.
fn somebody_can_lead(state: &State, lag_counts: bool) -> bool {
    let lineage = state.lineage();
    let on_path = |at: usize| {
        let standing = lineage.standing(state.position(at));
        matches!(standing, Standing::OnPath { .. })
    };
    let recorded = state.record.voters();
    (1_u8..1 << NODES).all(|mask| {
        let heard: Vec<usize> = (0..NODES).filter(|at| mask & 1 << at != 0).collect();
        let voters =
            heard.iter().filter(|at| recorded.of.contains(&name(**at)) && on_path(**at)).count();
        let last_leader = heard.contains(&state.record.leader) && on_path(state.record.leader);
        let is_quorum = last_leader || (!recorded.of.is_empty() && voters >= recorded.need);
        !is_quorum || !fit(state, &heard, lag_counts).is_empty()
    })
}
