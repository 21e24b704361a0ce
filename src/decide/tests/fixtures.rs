//! Views to start from, and words to change them with.

use std::sync::Arc;
use std::time::Duration;

use super::super::view::{Failure, Journal, Memory};
use super::super::{Acceptance, Job, JobKind, Ladder, Me, Seat, Settings, Unfinished, View};
use crate::cluster::{
    Ballot, Baton, BatonState, Cluster, Control, ControlState, Downstream, Initialize, Lineage,
    Loss, Member, MemberState, Presence, PrimaryFacts, Promotion, PromotionState, Receiver,
    Recovered, Refusal, Request, Role, Slot, StandbyFacts, State, SyncNames, Versioned, Vote,
};
use crate::config::{DivergedData, Dynamic, PermanentSlot, SlotMatcher};
use crate::values::{
    Incarnation, LeaseDeadline, LeaseTimes, Lsn, MemberName, Monotonic, Revision, SystemId, Term,
    Timeline, WalPosition,
};

/// The identifier of the fixtures' data.
pub const SYSTEM_ID: SystemId = SystemId(7_000_000_000_000_000_007);

const NOW: Monotonic = Monotonic::from_boot(Duration::from_secs(100));

/// So many milliseconds after (or, negative, before) the view's moment.
pub fn after(millis: i64) -> LeaseDeadline {
    let by = Duration::from_millis(millis.unsigned_abs());
    LeaseDeadline::at(if millis < 0 { NOW - by } else { NOW + by })
}

fn position(timeline: u32, lsn: u64) -> WalPosition {
    WalPosition { timeline: Timeline(timeline), lsn: Lsn(lsn) }
}

fn member(name: &str, role: Role) -> Member {
    Member {
        name: name.into(),
        conn_url: Some(format!("postgres://{name}:5432/postgres")),
        api_url: Some(format!("http://{name}:8008/patroni")),
        state: MemberState::Running,
        role,
        version: None,
        xlog_location: None,
        receive_lsn: None,
        replay_lsn: None,
        replication_state: None,
        timeline: Some(Timeline(1)),
        awaits_checkpoint: false,
        tags: serde_json::Map::new(),
        other: serde_json::Map::new(),
    }
}

fn cluster() -> Cluster {
    let baton = Baton {
        term: Term(3),
        incarnation: Incarnation(1),
        holder: "a".into(),
        sequence: 1,
        nonce: 1,
        position: Some(position(1, 100)),
        ttl: Duration::from_secs(5),
        state: BatonState::Held,
    };
    let lineage = Lineage { promotions: vec![promotion("a", 1, 1, None, PromotionState::Done)] };
    let at = Revision(30);
    Cluster {
        baton: Some(Versioned { value: baton, revision: at }),
        initialize: Some(Versioned { value: Initialize::Done(SYSTEM_ID), revision: at }),
        config: Some(Versioned { value: serde_json::json!({}), revision: at }),
        lineage: Some(Versioned { value: lineage, revision: at }),
        ..Cluster::default()
    }
}

fn promotion(
    node: &str,
    term: u64,
    timeline: u32,
    parent: Option<(u32, u64)>,
    state: PromotionState,
) -> Promotion {
    Promotion {
        term: Term(term),
        timeline: Timeline(timeline),
        parent: parent.map(|(parent, _)| Timeline(parent)),
        switched_at: Lsn(parent.map_or(0, |(_, lsn)| lsn)),
        node: node.into(),
        state,
    }
}

/// A node with nothing running yet, in a cluster that `a` led last.
pub fn view(name: &str) -> View {
    let dynamic = Dynamic { ttl: Duration::from_secs(5), ..Dynamic::default() };
    View {
        now: NOW,
        me: Arc::new(Me {
            name: name.into(),
            incarnation: Incarnation(9),
            may_lead: true,
            priority: 1,
            barred: None,
            needs_watchdog: false,
            can_bootstrap: true,
        }),
        settings: Arc::new(Settings {
            times: LeaseTimes::for_ttl(dynamic.ttl),
            dynamic,
            start_within: Duration::from_secs(60),
            use_pg_rewind: true,
            use_slots: true,
            remote_apply: false,
            remove_diverged: false,
            remove_after_failed_rewind: false,
            diverged_data: DivergedData::Keep,
            keep_aside: 1,
            slots_may_keep: 8 << 30,
            has_archive: false,
        }),
        cluster: Some(Arc::new(cluster())),
        seat: Seat::Unknown,
        my_term: None,
        carried_by: Vec::new(),
        emptied: false,
        server: Arc::new(State::Silent),
        left_until: None,
        exposed: false,
        job: None,
        health: Arc::default(),
        upkeep_running: false,
        memory: Memory { vacant_since: Some(NOW), ..Memory::default() },
        journal: Journal::default(),
    }
}

impl View {
    fn with_cluster(mut self, change: impl FnOnce(&mut Cluster)) -> Self {
        let mut cluster = self.cluster().into_owned();
        change(&mut cluster);
        self.cluster = Some(Arc::new(cluster));
        self
    }

    fn with_settings(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    pub fn seat(mut self, seat: Seat) -> Self {
        self.seat = seat;
        self
    }

    pub fn leading(mut self, until: LeaseDeadline) -> Self {
        self.my_term = Some(Term(3));
        self.seat(Seat::Mine(until))
    }

    /// `leader` holds the baton, has just renewed it, and runs as a primary.
    pub fn held_by(self, leader: &str) -> Self {
        self.baton(BatonState::Held, leader)
            .member(leader, Role::Primary)
            .seat(Seat::Held { changed_at: NOW })
    }

    pub fn baton(self, state: BatonState, holder: &str) -> Self {
        self.with_cluster(|cluster| {
            let baton = &mut cluster.baton.as_mut().unwrap().value;
            baton.state = state;
            baton.holder = holder.into();
        })
    }

    /// The baton in the store is this very agent's, which holds it no more.
    pub fn lapsed(self) -> Self {
        let mine = self.me.incarnation;
        self.with_cluster(|cluster| cluster.baton.as_mut().unwrap().value.incarnation = mine)
    }

    pub fn published(self, lsn: u64) -> Self {
        self.with_cluster(|cluster| {
            cluster.baton.as_mut().unwrap().value.position = Some(position(1, lsn));
        })
    }

    pub fn member(self, name: &str, role: Role) -> Self {
        self.with_cluster(|cluster| {
            let name: MemberName = name.into();
            let presence = Presence { incarnation: Incarnation(2), promised: Term::ZERO };
            cluster.presences.insert(name.clone(), presence);
            cluster.members.insert(name.clone(), member(name.as_str(), role));
        })
    }

    pub fn promised_by(self, name: &str, term: u64) -> Self {
        self.member(name, Role::Replica).with_cluster(|cluster| {
            cluster.presences.get_mut(&MemberName::from(name)).unwrap().promised = Term(term);
        })
    }

    pub fn awaiting_checkpoint(self, name: &str) -> Self {
        self.with_cluster(|cluster| {
            cluster.members.get_mut(&MemberName::from(name)).unwrap().awaits_checkpoint = true;
        })
    }

    pub fn intended(self, node: &str, term: u64, timeline: u32) -> Self {
        let intent = promotion(node, term, timeline, Some((1, 100)), PromotionState::Intended);
        self.with_cluster(|cluster| {
            cluster.lineage.as_mut().unwrap().value.promotions.push(intent);
        })
    }

    pub fn done(self, node: &str, term: u64, timeline: u32, left_at: u64) -> Self {
        let done = promotion(node, term, timeline, Some((1, left_at)), PromotionState::Done);
        self.with_cluster(|cluster| {
            cluster.lineage.as_mut().unwrap().value.promotions.push(done);
            if let Some(leader) = cluster.members.get_mut(&MemberName::from(node)) {
                leader.timeline = Some(Timeline(timeline));
            }
        })
    }

    pub fn blank_cluster(mut self) -> Self {
        self.cluster = Some(Arc::new(Cluster::default()));
        self
    }

    pub fn claimed_by_me(self) -> Self {
        let me = self.me.incarnation;
        self.with_cluster(|cluster| cluster.claimant = Some(me))
    }

    pub fn initialize(self, value: Initialize) -> Self {
        self.with_cluster(|cluster| {
            cluster.initialize = Some(Versioned { value, revision: Revision(2) });
        })
    }

    pub fn asked(self, request: Request) -> Self {
        self.with_cluster(|cluster| {
            let value = Some(request);
            cluster.request = Some(Versioned { value, revision: Revision(31) });
        })
    }

    /// This node has known of the pending request for so many seconds.
    pub fn request_known_for(mut self, seconds: u64) -> Self {
        self.memory.request_since = Some((Revision(31), NOW - Duration::from_secs(seconds)));
        self
    }

    fn server(mut self, state: State) -> Self {
        self.server = Arc::new(state);
        self
    }

    pub fn empty(self) -> Self {
        self.server(State::Empty)
    }

    pub fn primary(self, timeline: u32, lsn: u64) -> Self {
        self.server(State::Primary(PrimaryFacts {
            system_id: SYSTEM_ID,
            position: position(timeline, lsn),
            checkpoint_timeline: Timeline(timeline),
            ancestors: Vec::new(),
            downstreams: Vec::new(),
            slots: Vec::new(),
            sync_names: Some(SyncNames::Nobody),
        }))
    }

    /// One more member that streams from this primary, flushed up to `lsn`.
    pub fn streaming(self, name: &str, lsn: u64) -> Self {
        let State::Primary(mut facts) = (*self.server).clone() else { panic!("no primary") };
        facts.downstreams.push(Downstream {
            name: name.to_owned(),
            user: "replicator".to_owned(),
            client_address: None,
            state: "streaming".to_owned(),
            flushed: Lsn(lsn),
            replayed: Lsn(lsn),
            sync_state: "async".to_owned(),
            sync_priority: 0,
        });
        self.server(State::Primary(facts)).member(name, Role::Replica)
    }

    pub fn standby(self, timeline: u32, lsn: u64) -> Self {
        self.server(State::Standby(StandbyFacts {
            system_id: SYSTEM_ID,
            timeline: Timeline(timeline),
            received: Some(Lsn(lsn)),
            replayed: Lsn(lsn),
            replayed_at_micros: None,
            replay_paused: false,
            receiver: None,
            ancestors: Vec::new(),
            upstream: None,
            downstreams: Vec::new(),
            slots: Vec::new(),
        }))
    }

    pub fn stopping(self) -> Self {
        self.server(State::Stopping)
    }

    fn standby_facts(self, change: impl FnOnce(&mut StandbyFacts)) -> Self {
        let State::Standby(mut facts) = (*self.server).clone() else { panic!("no standby") };
        change(&mut facts);
        self.server(State::Standby(facts))
    }

    pub fn following(self, leader: &str) -> Self {
        self.standby_facts(|facts| {
            facts.upstream = Some(format!("{leader}:5432"));
            facts.receiver = Some(Receiver { streaming: true, latest_end: None, written: None });
        })
    }

    /// Without a stream.
    pub fn cut_off(self) -> Self {
        self.standby_facts(|facts| facts.receiver = None)
    }

    pub fn slots(self, slots: &[&str]) -> Self {
        self.standby_facts(|facts| {
            facts.slots = slots.iter().map(|&slot| Slot::physical(slot)).collect()
        })
    }

    /// The server has these slots.
    pub fn with_slots(self, slots: Vec<Slot>) -> Self {
        let mut state = (*self.server).clone();
        match &mut state {
            State::Primary(facts) => facts.slots = slots,
            State::Standby(facts) => facts.slots = slots,
            _ => panic!("no server that runs"),
        }
        self.server(state)
    }

    /// A member was here so many seconds ago, and is not any more.
    pub fn member_slot_seen(mut self, name: &str, seconds: u64) -> Self {
        let mut cluster = Cluster::default();
        cluster.members.insert(name.into(), member(name, Role::Replica));
        let at = Monotonic::from_boot(Duration::from_secs(50_000));
        let now = at + Duration::from_secs(seconds);
        self.memory.slots.observe(at, &self.me.name, Some(&cluster));
        if let Seat::Mine(until) = self.seat {
            let left = until.left(self.now);
            self.seat = Seat::Mine(LeaseDeadline::at(now + left));
        }
        self.now = now;
        self
    }

    pub fn permanent(self, slot: PermanentSlot) -> Self {
        self.with_settings(|settings| settings.dynamic.slots.push(slot))
    }

    pub fn ignoring(self, matcher: SlotMatcher) -> Self {
        self.with_settings(|settings| settings.dynamic.ignore_slots.push(matcher))
    }

    /// The leader says that this slot's consumer is there.
    pub fn consumer(self, slot: &str, lsn: u64) -> Self {
        self.with_cluster(|cluster| {
            cluster.slot_positions.insert(slot.to_owned(), Lsn(lsn));
        })
    }

    pub fn ttl_of_holder(self, seconds: u64) -> Self {
        self.with_cluster(|cluster| {
            cluster.baton.as_mut().unwrap().value.ttl = Duration::from_secs(seconds);
        })
    }

    pub fn silent_for(self, seconds: u64) -> Self {
        self.seat(Seat::Held { changed_at: NOW - Duration::from_secs(seconds) })
    }

    pub fn down(self, state: ControlState, timeline: u32, end: u64) -> Self {
        self.server(State::Down(Control {
            state,
            system_id: SYSTEM_ID,
            timeline: Timeline(timeline),
            end: Lsn(end),
            ancestors: Vec::new(),
            can_rewind: true,
        }))
    }

    pub fn foreign_data(self) -> Self {
        let State::Down(mut control) = (*self.server).clone() else { panic!("not down") };
        control.system_id = SystemId(1);
        self.server(State::Down(control))
    }

    pub fn without_rewind(self) -> Self {
        self.with_settings(|settings| settings.use_pg_rewind = false)
    }

    pub fn diverged_data(self, what: DivergedData) -> Self {
        self.with_settings(|settings| settings.diverged_data = what)
    }

    pub fn remove_after_failed_rewind(self) -> Self {
        self.with_settings(|settings| settings.remove_after_failed_rewind = true)
    }

    pub fn with_archive(self) -> Self {
        self.with_settings(|settings| settings.has_archive = true)
    }

    /// What was tried on the way back.
    pub fn tried(mut self, change: impl FnOnce(&mut Ladder)) -> Self {
        change(&mut self.memory.ladder);
        self
    }

    /// The standby has stood here, without a stream, for so many seconds.
    pub fn stuck_for(mut self, seconds: u64, at: WalPosition) -> Self {
        self.memory.ladder.stuck = Some((at, NOW - Duration::from_secs(seconds)));
        self
    }

    pub fn lost(mut self, loss: Loss) -> Self {
        self.journal.losses.push(loss);
        self
    }

    pub fn primary_start_timeout(self, seconds: u64) -> Self {
        self.with_settings(|settings| {
            settings.dynamic.primary_start_timeout = Duration::from_secs(seconds);
        })
    }

    pub fn unserved_for(mut self, seconds: u64) -> Self {
        self.memory.unserved_since = Some(NOW - Duration::from_secs(seconds));
        self
    }

    pub fn barred(mut self, why: &str) -> Self {
        Arc::make_mut(&mut self.me).barred = Some(why.to_owned());
        self.nofailover()
    }

    pub fn nofailover(mut self) -> Self {
        Arc::make_mut(&mut self.me).may_lead = false;
        self
    }

    pub fn failsafe_mode(self) -> Self {
        self.with_settings(|settings| settings.dynamic.failsafe_mode = true)
    }

    /// The `failsafe` key lists these.
    pub fn listed(self, names: &[&str]) -> Self {
        let address = |name: &&str| ((*name).into(), format!("http://{name}:8008/patroni"));
        let value = names.iter().map(address).collect();
        self.with_cluster(|cluster| {
            cluster.failsafe = Some(Versioned { value, revision: Revision(30) });
        })
    }

    /// This node has accepted `a` under that term, for so many more milliseconds.
    pub fn accepted(mut self, term: u64, left: u64) -> Self {
        let until = NOW + Duration::from_millis(left);
        let lease = Some((Term(term), Incarnation(1)));
        self.memory.accepted = Some(Acceptance { name: "a".into(), lease, until });
        self
    }

    /// The agent was started so many milliseconds ago.
    pub fn started_before(mut self, millis: u64) -> Self {
        self.memory.started_at = Some(NOW - Duration::from_millis(millis));
        self
    }

    pub fn carried_by(mut self, names: &[&str]) -> Self {
        self.carried_by = names.iter().map(|name| (*name).into()).collect();
        self
    }

    pub fn exposed(mut self) -> Self {
        self.exposed = true;
        self
    }

    pub fn busy(mut self, kind: JobKind) -> Self {
        self.job = Some(Job { kind, since: NOW });
        self
    }

    pub fn unfinished(mut self, step: Unfinished) -> Self {
        self.journal.unfinished = Some(step);
        self
    }

    /// The store once showed a holder of that term.
    pub fn seen(mut self, term: u64) -> Self {
        self.journal.seen = Term(term);
        self
    }

    pub fn emptied(mut self) -> Self {
        self.emptied = true;
        self.blank_cluster()
    }

    pub fn recovered(self, term: u64) -> Self {
        self.with_cluster(|cluster| {
            let value = Recovered { term: Term(term), at: String::new(), by: String::new() };
            cluster.recovered = Some(Versioned { value, revision: Revision(31) });
        })
    }

    pub fn promised(mut self, term: u64) -> Self {
        self.journal.promised = Term(term);
        self
    }

    pub fn promise_asked(mut self, term: u64) -> Self {
        self.memory.promise_asked = Some(Term(term));
        self
    }

    pub fn stop_asked(mut self) -> Self {
        self.memory.stop_asked = true;
        self
    }

    pub fn failed(mut self, kind: JobKind, reason: &str) -> Self {
        let reason = reason.to_owned();
        self.memory.failure = Some(Failure { kind, at: NOW, reason, times: 1 });
        self
    }

    fn with_ballot(mut self, change: impl FnOnce(&mut Ballot)) -> Self {
        let mut ballot = (**self.memory.ballot.as_ref().expect("a ballot")).clone();
        change(&mut ballot);
        self.memory.ballot = Some(Arc::new(ballot));
        self
    }

    /// A first round at this view's moment, with these votes.
    pub fn ballot(mut self, votes: &[(&str, u32, u64)]) -> Self {
        let vote = |(name, timeline, lsn): &(&str, u32, u64)| Vote {
            name: (*name).into(),
            position: position(*timeline, *lsn),
            ancestors: Vec::new(),
            may_lead: true,
            priority: 1,
        };
        self.memory.ballot = Some(Arc::new(Ballot {
            term: Term(4),
            baton: Revision(30),
            asked_at: NOW,
            round: 1,
            votes: votes.iter().map(vote).collect(),
            refusals: Vec::new(),
            silent: Vec::new(),
        }));
        self
    }

    pub fn refused(self, name: &str, refusal: Refusal) -> Self {
        self.with_ballot(|ballot| ballot.refusals.push((name.into(), refusal)))
    }

    pub fn silent(self, name: &str) -> Self {
        self.with_ballot(|ballot| ballot.silent.push(name.into()))
    }

    pub fn round(self, round: u32) -> Self {
        self.with_ballot(|ballot| ballot.round = round)
    }
}
