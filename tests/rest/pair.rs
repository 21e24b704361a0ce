//! Two agents of which one is asked to hand over, and the store between them.

use std::sync::Arc;

use pgbaton::cluster::{Baton, BatonState, Member, MemberState, Outcome, Presence, Role};
use pgbaton::dcs::codec;
use pgbaton::publish::Status;
use pgbaton::values::{Incarnation, Revision, Term};
use serde_json::{Map, Value};

use crate::support::rest::{Answer, Api, NOW, primary, standby};

/// A cluster of `a`, which leads and is asked, and `b`, which answers at its own address.
pub struct Pair {
    /// Leads, and is asked.
    pub a: Api,
    /// Its standby.
    pub b: Api,
}

impl Pair {
    pub async fn new() -> Self {
        Self::with(standby()).await
    }

    pub async fn with(other: Status) -> Self {
        let pair = Self { a: Api::of(primary()).await, b: Api::of(other).await };
        pair.member("a", Role::Primary, Some(&pair.a.address));
        pair.member("b", Role::Replica, Some(&pair.b.address));
        pair.baton("a", 7, BatonState::Held);
        pair.a.store.put("config", "{\"ttl\":5}");
        pair.publish();
        pair
    }

    pub fn member(&self, name: &str, role: Role, address: Option<&str>) {
        let member = Member {
            name: name.into(),
            conn_url: None,
            api_url: address.map(|address| format!("http://{address}/patroni")),
            state: MemberState::Running,
            role,
            version: None,
            xlog_location: None,
            receive_lsn: None,
            replay_lsn: None,
            replication_state: None,
            timeline: None,
            awaits_checkpoint: false,
            tags: Map::new(),
            other: Map::new(),
        };
        self.a.store.put(&format!("members/{name}"), codec::member(&member));
    }

    pub fn baton(&self, holder: &str, term: u64, state: BatonState) {
        let baton = Baton {
            term: Term(term),
            incarnation: Incarnation(term),
            holder: holder.into(),
            sequence: 1,
            nonce: 1,
            position: None,
            ttl: std::time::Duration::ZERO,
            state,
        };
        self.a.store.put("baton", codec::baton(&baton));
        self.a.store.put("leader", holder.to_owned());
        let presence = Presence { incarnation: baton.incarnation, promised: baton.term };
        self.a.store.put(&format!("agents/{holder}"), codec::presence(&presence));
    }

    /// Publishes what the store holds now, as `a`'s loop does.
    pub fn publish(&self) {
        let cluster = Some((Arc::new(self.a.store.cluster()), NOW));
        self.a.published.set(Status { cluster, ..primary() });
    }

    pub async fn ask(&self, path: &str, body: &Value) -> Answer {
        self.a.ask("POST", path, Some(&body.to_string())).await
    }

    /// Asks, and lets `leader` deal with the request once it is written.
    pub async fn ask_while(
        &self,
        path: &str,
        body: &Value,
        leader: impl FnOnce(Revision),
    ) -> Answer {
        let before = self.a.store.text("failover");
        let deal_with_it = async {
            self.a.store.changed_from("failover", before.as_deref()).await;
            let request = self.a.store.cluster().request.expect("it was written");
            leader(request.revision);
            self.publish();
        };
        tokio::join!(self.ask(path, body), deal_with_it).0
    }

    pub fn answered(&self, request: Revision, done: bool, reason: &str) {
        let outcome = Outcome { request, done, reason: reason.to_owned() };
        self.a.store.put("outcome", codec::outcome(&outcome));
        self.a.store.put("failover", "{}");
    }
}

#[track_caller]
pub fn check(answer: &Answer, code: u16, text: &str) {
    assert_eq!((answer.code, answer.body.as_str()), (code, text));
}
