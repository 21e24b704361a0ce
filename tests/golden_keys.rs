//! The spellings of the keys, held still: what `tests/golden/keys` holds is read as the value meant,
//! and written back byte for byte where that is how it is written.

use std::collections::BTreeMap;

use bytes::Bytes;
use pgbaton::cluster::{
    Baton, BatonState, Cluster, Guard, HistoryEntry, Initialize, Lineage, Member, MemberState,
    Outcome, Presence, Promotion, PromotionState, ReplicationState, Request, Role, SyncState,
    Versioned,
};
use pgbaton::dcs::{RawSnapshot, RawValue, codec, decode};
use pgbaton::values::{
    Incarnation, Lsn, MemberName, Revision, SystemId, Term, Timeline, WalPosition,
};
use serde_json::json;

const READ_AT: Revision = Revision(41);

fn golden(file: &str) -> Bytes {
    let path = format!("{}/tests/golden/keys/{file}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}")).into()
}

fn read_bytes(key: &str, value: Bytes) -> Cluster {
    let raw = RawValue { value, mod_revision: READ_AT, lease: None };
    let keys = BTreeMap::from([(key.to_owned(), raw)]);
    let (cluster, warnings) = decode(&RawSnapshot { revision: READ_AT, keys });
    assert_eq!(warnings, Vec::<String>::new(), "{key}");
    cluster
}

fn read(key: &str, file: &str) -> Cluster {
    read_bytes(key, golden(file))
}

fn at<T>(value: T) -> Option<Versioned<T>> {
    Some(Versioned { value, revision: READ_AT })
}

fn name(text: &str) -> MemberName {
    text.into()
}

#[track_caller]
fn check_member(file: &str, expected: Member) {
    let members = read("members/db-b", file).members;
    assert_eq!(*members[&name("db-b")], expected);
    assert_eq!(codec::member(&expected), golden(file));
}

fn a_new_member() -> Member {
    Member {
        name: name("db-b"),
        conn_url: Some("postgres://10.1.0.7:5432/postgres".to_owned()),
        api_url: Some("http://10.1.0.7:8008/patroni".to_owned()),
        state: MemberState::CreatingReplica,
        role: Role::Uninitialized,
        version: Some("4.1.5".to_owned()),
        xlog_location: None,
        receive_lsn: None,
        replay_lsn: None,
        replication_state: None,
        timeline: None,
        awaits_checkpoint: false,
        tags: serde_json::Map::new(),
        other: serde_json::Map::new(),
    }
}

fn fields(value: serde_json::Value) -> serde_json::Map<String, serde_json::Value> {
    value.as_object().expect("an object").clone()
}

#[test]
fn a_members_record() {
    check_member("member_new", a_new_member());
    let position = Some(Lsn(83_886_432));
    check_member(
        "member",
        Member {
            state: MemberState::Running,
            role: Role::Replica,
            tags: fields(json!({"failover_priority": 2})),
            xlog_location: position,
            receive_lsn: position,
            replay_lsn: position,
            replication_state: Some(ReplicationState::Streaming),
            timeline: Some(Timeline(3)),
            ..a_new_member()
        },
    );
}

#[test]
fn a_members_record_with_every_field() {
    let restart = json!({
        "schedule": "2030-05-01T02:00:00+00:00",
        "postmaster_start_time": "2025-03-02 08:15:40.120000+00:00",
    });
    check_member(
        "member_full",
        Member {
            conn_url: Some("postgres://10.1.0.6:5432/postgres".to_owned()),
            api_url: Some("http://10.1.0.6:8008/patroni".to_owned()),
            state: MemberState::Running,
            role: Role::Primary,
            xlog_location: Some(Lsn(83_886_432)),
            timeline: Some(Timeline(4)),
            awaits_checkpoint: true,
            tags: fields(json!({"nofailover": true, "region": "caf\u{e9}"})),
            other: fields(json!({
                "proxy_url": "postgres://10.1.0.5:6432/postgres",
                "pending_restart": true,
                "pending_restart_reason":
                    {"max_connections": {"old_value": "100", "new_value": "200"}},
                "scheduled_restart": restart,
                "pause": true,
            })),
            ..a_new_member()
        },
    );
}

#[test]
fn leader_is_a_plain_name() {
    assert_eq!(read_bytes("leader", "db-a".into()).leader, at(name("db-a")));
    assert_eq!(codec::leader(&name("db-a")), "db-a");
}

#[test]
fn initialize_is_empty_or_an_identifier() {
    let id = Initialize::Done(SystemId(7_301_234_567_890_123_456));
    for (text, state) in [("", Initialize::Claimed), ("7301234567890123456", id)] {
        assert_eq!(read_bytes("initialize", text.into()).initialize, at(state));
        assert_eq!(codec::initialize(state), text);
    }
}

#[test]
fn config_is_any_object() {
    let config = read("config", "config").config.expect("a config").value;
    assert_eq!(config["postgresql"]["parameters"]["random_page_cost"], json!(1.1));
    assert_eq!(codec::config(&config), golden("config"));
}

#[test]
fn status_tells_the_leaders_position_in_three_spellings() {
    let position = Some(Lsn(83_886_432));
    assert_eq!(read("status", "status").optime, position);
    assert_eq!(read("status", "status_optime").optime, position);
    assert_eq!(read_bytes("status", "83886432".into()).optime, position);
    assert_eq!(read_bytes("optime/leader", "83886432".into()).optime, position);
    assert_eq!(codec::status(Lsn(83_886_432), &Default::default(), &[]), golden("status_optime"));
    let slots = [("db_a", 83_886_432), ("db_b", 83_886_000)];
    let slots = slots.map(|(name, lsn)| (name.to_owned(), Lsn(lsn))).into();
    let retained = ["db_b".to_owned()];
    assert_eq!(codec::status(Lsn(83_886_432), &slots, &retained), golden("status"));
    let told = read("status", "status");
    assert_eq!((told.slot_positions, told.retained_slots.as_slice()), (slots, &retained[..]));
}

#[test]
fn sync_lists_its_standbys_sorted() {
    let state = |standbys: &[&str]| SyncState {
        leader: Some(name("db-a")),
        standbys: standbys.iter().copied().map(MemberName::from).collect(),
        quorum: 0,
    };
    assert_eq!(read("sync", "sync").sync, at(state(&["db-b", "db-c"])));
    assert_eq!(read("sync", "sync_alone").sync, at(state(&[])));
    assert_eq!(codec::sync(&state(&["db-c", "db-b"])), golden("sync"));
    assert_eq!(codec::sync(&state(&[])), golden("sync_alone"));
    assert_eq!(read_bytes("sync", "{}".into()).sync, at(SyncState::default()));
}

#[test]
fn failover_is_a_request_or_an_empty_object() {
    let request = |leader: Option<&str>, candidate: Option<&str>, when: Option<&str>| Request {
        leader: leader.map(MemberName::from),
        candidate: candidate.map(MemberName::from),
        scheduled_at: when.map(str::to_owned),
        accepts_loss: false,
    };
    let when = Some("2030-05-01T02:00:00+00:00");
    for (file, expected) in [
        ("failover_any", Some(request(Some("db-a"), None, None))),
        ("failover_to", Some(request(Some("db-a"), Some("db-b"), None))),
        ("failover_scheduled", Some(request(Some("db-a"), Some("db-b"), when))),
        ("failover_manual", Some(request(None, Some("db-b"), None))),
        (
            "failover_accepted_loss",
            Some(Request { accepts_loss: true, ..request(None, Some("db-b"), None) }),
        ),
        ("failover_none", None),
    ] {
        assert_eq!(read("failover", file).request, at(expected.clone()), "{file}");
        assert_eq!(codec::request(expected.as_ref()), golden(file), "{file}");
    }
    for (text, expected) in [
        ("db-a:db-b", Some(request(Some("db-a"), Some("db-b"), None))),
        (":db-b", Some(request(None, Some("db-b"), None))),
        ("db-a:", Some(request(Some("db-a"), None, None))),
        ("", None),
    ] {
        assert_eq!(read_bytes("failover", text.into()).request, at(expected), "{text}");
    }
}

#[test]
fn history_has_three_or_five_fields_an_entry() {
    let newest = |timeline: u32, lsn: u64, reason: &str| HistoryEntry {
        timeline,
        lsn: Lsn(lsn),
        reason: reason.to_owned(),
        timestamp: Some("2025-03-02T08:15:40.120000+00:00".to_owned()),
        new_leader: Some(name("db-b")),
    };
    let first = newest(1, 67_108_864, "no recovery target specified");
    let short = HistoryEntry { timestamp: None, new_leader: None, ..first.clone() };
    let second = newest(2, 83_886_080, "before 2000-01-01 05:00:00+05");
    for (file, expected) in [("history", vec![first]), ("history_short", vec![short, second])] {
        assert_eq!(read("history", file).history, at(expected.clone()), "{file}");
        assert_eq!(codec::history(&expected), golden(file), "{file}");
    }
    assert_eq!(read_bytes("history", "[]".into()).history, at(Vec::new()));
}

#[test]
fn failsafe_maps_names_to_rest_urls() {
    let members = BTreeMap::from([
        (name("db-a"), "http://10.1.0.6:8008/patroni".to_owned()),
        (name("db-b"), "http://10.1.0.7:8008/patroni".to_owned()),
    ]);
    let read = read("failsafe", "failsafe").failsafe.map(|list| list.value);
    assert_eq!(read, Some(members.clone()));
    assert_eq!(codec::failsafe(&members), golden("failsafe"));
}

#[test]
fn the_baton_and_its_guard() {
    let held = Baton {
        term: Term(3),
        incarnation: Incarnation(0x00ab_cdef_0123_4567),
        holder: name("pg-a"),
        sequence: 12,
        nonce: u64::MAX,
        position: Some(WalPosition { timeline: Timeline(1), lsn: Lsn(123) }),
        ttl: std::time::Duration::from_secs(5),
        state: BatonState::Held,
    };
    let offered = Baton {
        term: Term(4),
        incarnation: Incarnation(0xff),
        holder: name("pg-b"),
        sequence: 0,
        nonce: 1,
        position: None,
        ttl: std::time::Duration::ZERO,
        state: BatonState::Offered,
    };
    let guard: Guard = held.guard();
    assert_eq!(read("baton_guard", "baton_guard").guard, at(guard));
    assert_eq!(codec::guard(&guard), golden("baton_guard"));
    for (file, baton) in [("baton", held), ("baton_offered", offered)] {
        assert_eq!(read("baton", file).baton, at(baton.clone()), "{file}");
        assert_eq!(codec::baton(&baton), golden(file), "{file}");
    }
}

#[test]
fn presence_lineage_and_outcome() {
    let presence = Presence { incarnation: Incarnation(0x00ab_cdef_0123_4567), promised: Term(4) };
    assert_eq!(read("agents/pg-a", "presence").presences[&name("pg-a")], presence);
    assert_eq!(codec::presence(&presence), golden("presence"));

    let first = Promotion {
        term: Term(1),
        timeline: Timeline(1),
        parent: None,
        switched_at: Lsn(0),
        node: name("pg-a"),
        state: PromotionState::Done,
    };
    let second = Promotion {
        term: Term(3),
        timeline: Timeline(2),
        parent: Some(Timeline(1)),
        switched_at: Lsn(67_108_864),
        node: name("pg-b"),
        state: PromotionState::Intended,
    };
    let lineage = Lineage { promotions: vec![first, second] };
    assert_eq!(read("lineage", "lineage").lineage, at(lineage.clone()));
    assert_eq!(codec::lineage(&lineage), golden("lineage"));

    let reason = "pg-b is not reachable".to_owned();
    let outcome = Outcome { request: Revision(41), done: false, reason };
    assert_eq!(read("outcome", "outcome").outcome, Some(outcome.clone()));
    assert_eq!(codec::outcome(&outcome), golden("outcome"));
}
