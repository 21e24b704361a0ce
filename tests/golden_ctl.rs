//! What `pgbaton ctl` prints, held still: `tests/golden/ctl` holds the tables that patronictl's users
//! and their scripts know, for clusters made by hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use pgbaton::cluster::{
    Cluster, HistoryEntry, Initialize, Loss, LossStep, Member, MemberState, ReplicationState,
    Request, Role, SyncState, Versioned,
};
use pgbaton::ctl::{
    Format, ListOptions, MemberEvent, render, render_events, render_history, render_topology,
};
use pgbaton::values::{Lsn, Revision, SystemId, Timeline};
use serde_json::{Value, json};

const SCOPE: &str = "orders";
const SYSTEM_ID: SystemId = SystemId(7_433_333_333_333_333_333);
const END: &str = "2/5E0001A8";

#[track_caller]
fn check(file: &str, printed: &str) {
    let path = format!("{}/tests/golden/ctl/{file}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, printed).expect("the golden files can be written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(printed, expected, "{file}, printed:\n{printed}");
}

fn at<T>(value: T) -> Option<Versioned<T>> {
    Some(Versioned { value, revision: Revision(41) })
}

fn lsn(text: &str) -> Option<Lsn> {
    Some(text.parse().expect("a position"))
}

fn member(name: &str, host: &str) -> Member {
    Member {
        name: name.into(),
        conn_url: Some(format!("postgres://{host}/postgres")),
        api_url: Some(format!("http://{host}:8008/patroni")),
        state: MemberState::Running,
        role: Role::Replica,
        version: Some("4.1.5".to_owned()),
        xlog_location: None,
        receive_lsn: None,
        replay_lsn: None,
        replication_state: None,
        timeline: Some(Timeline(4)),
        awaits_checkpoint: false,
        tags: serde_json::Map::new(),
        other: serde_json::Map::new(),
    }
}

fn standby(name: &str, host: &str, received: &str, replayed: &str) -> Member {
    Member {
        receive_lsn: lsn(received),
        replay_lsn: lsn(replayed),
        replication_state: Some(ReplicationState::Streaming),
        ..member(name, host)
    }
}

fn fields(value: Value) -> serde_json::Map<String, Value> {
    let Value::Object(fields) = value else { panic!("an object") };
    fields
}

/// `pg-a` leads; whoever else is there streams.
fn cluster(standbys: Vec<Member>) -> Cluster {
    let leader = Member { role: Role::Primary, ..member("pg-a", "192.0.2.11") };
    let members = std::iter::once(leader).chain(standbys);
    Cluster {
        leader: at("pg-a".into()),
        initialize: at(Initialize::Done(SYSTEM_ID)),
        optime: lsn(END),
        members: members.map(|member| (member.name.clone(), member.into())).collect(),
        ..Cluster::default()
    }
}

fn pg_b() -> Member {
    standby("pg-b", "192.0.2.12", END, END)
}

fn with_sync(mode: Value, names: &[&str], cluster: Cluster) -> Cluster {
    let standbys = names.iter().map(|name| (*name).into()).collect();
    let sync = SyncState { leader: Some("pg-a".into()), standbys, quorum: 0 };
    Cluster { config: at(json!({ "synchronous_mode": mode }).into()), sync: at(sync), ..cluster }
}

fn pretty(cluster: &Cluster) -> String {
    render(cluster, SCOPE, Format::Pretty, ListOptions::default())
}

#[test]
fn a_paused_cluster_with_a_scheduled_switchover() {
    let behind = Member {
        replication_state: Some(ReplicationState::InArchiveRecovery),
        ..standby("pg-c", "192.0.2.13", "2/50000000", "2/4F000000")
    };
    let mut cluster = with_sync(json!(true), &["PG-B"], cluster(vec![pg_b(), behind]));
    cluster.config = at(json!({"synchronous_mode": true, "pause": true}).into());
    cluster.request = at(Some(Request {
        leader: Some("pg-a".into()),
        candidate: Some("pg-b".into()),
        scheduled_at: Some("2031-03-02T03:00:00+00:00".to_owned()),
        accepts_loss: false,
    }));
    check("list.txt", &pretty(&cluster));
}

#[test]
fn restarts_and_tags_are_columns_where_there_are_any() {
    let scheduled = json!({"schedule": "2031-03-02T03:00:00+00:00", "postgres_version": "17.2",
                           "postmaster_start_time": "2031-01-01T00:00:00+00:00"});
    let b = Member {
        tags: fields(json!({"rack": "r7", "nofailover": true})),
        other: fields(json!({ "scheduled_restart": scheduled })),
        ..pg_b()
    };
    let mut cluster = cluster(vec![b]);
    let leader = cluster.members.get_mut(&"pg-a".into()).expect("the leader");
    Arc::make_mut(leader).other = fields(json!({
        "pending_restart": true,
        "pending_restart_reason": {
            "max_connections": {"old_value": "200", "new_value": "300"},
            "wal_log_hints": {"old_value": "off", "new_value": "on"},
        },
    }));
    check("list_extras.txt", &pretty(&cluster));
}

#[test]
fn a_cascade_is_a_tree() {
    let d = Member {
        tags: fields(json!({"replicatefrom": "pg-b"})),
        ..standby("pg-d", "192.0.2.14", END, "2/5E0000A0")
    };
    let cluster = with_sync(json!("quorum"), &["pg-b"], cluster(vec![pg_b(), d]));
    check("topology.txt", &render_topology(&cluster, SCOPE));
}

#[test]
fn programs_get_full_names_and_no_footers() {
    let b = Member { tags: fields(json!({"rack": "r7"})), ..pg_b() };
    let mut cluster = with_sync(json!(true), &["pg-b"], cluster(vec![b]));
    cluster.config = at(json!({"synchronous_mode": true, "pause": true}).into());
    for (format, file) in
        [(Format::Tsv, "list.tsv"), (Format::Json, "list.json"), (Format::Yaml, "list.yaml")]
    {
        check(file, &render(&cluster, SCOPE, format, ListOptions::default()));
    }
}

#[test]
fn who_is_not_chosen_as_a_leader_says_why() {
    let other = |value| fields(value);
    let b = Member { other: other(json!({"pgbaton_unfit": "its disk does not answer"})), ..pg_b() };
    check("list_unfit.txt", &pretty(&cluster(vec![b])));
}

#[test]
fn the_history_of_timelines() {
    let entry = |timeline, lsn| HistoryEntry {
        timeline,
        lsn: Lsn(lsn),
        reason: "no recovery target specified".to_owned(),
        timestamp: None,
        new_leader: None,
    };
    let first = HistoryEntry {
        timestamp: Some("2031-01-05T09:12:44.101010+00:00".to_owned()),
        new_leader: Some("pg-a".into()),
        ..entry(1, 50_331_800)
    };
    let history = at(vec![first, entry(2, 134_217_976)]);
    let cluster = Cluster { history, ..Cluster::default() };
    for (format, file) in [
        (Format::Pretty, "history.txt"),
        (Format::Tsv, "history.tsv"),
        (Format::Json, "history.json"),
        (Format::Yaml, "history.yaml"),
    ] {
        check(file, &render_history(&cluster, format));
    }
    let loss = Loss {
        at_micros: 1_925_457_164_101_010,
        timeline: Timeline(2),
        from: Some(Lsn(50_331_800)),
        to: Lsn(50_332_000),
        is_exact: true,
        step: LossStep::Rewind,
    };
    let second = Loss { from: None, is_exact: false, step: LossStep::SetAside, ..loss };
    let losses = [("pg-a".into(), vec![loss]), ("pg-b".into(), vec![second])].into();
    let with_losses = Cluster { losses, ..cluster };
    check("history_losses.txt", &render_history(&with_losses, Format::Pretty));
    let for_programs = render_history(&with_losses, Format::Json);
    assert_eq!(
        for_programs,
        render_history(&Cluster { losses: Default::default(), ..with_losses }, Format::Json)
    );
    check("history_empty.txt", &render_history(&Cluster::default(), Format::Pretty));
}

#[test]
fn an_unknown_cluster_is_an_empty_table() {
    check("unknown.txt", &pretty(&Cluster::default()));
    let claimed = Cluster { initialize: at(Initialize::Claimed), ..Cluster::default() };
    assert!(pretty(&claimed).starts_with("+ Cluster: orders (initializing) "));
    let json = render(&Cluster::default(), SCOPE, Format::Json, ListOptions::default());
    assert_eq!(json, "[]\n");
}

#[test]
fn ports_are_shown_for_all_or_for_none() {
    let shown = |hosts: [&str; 2]| {
        let members = ["pg-a", "pg-b"].iter().zip(hosts).map(|(name, host)| member(name, host));
        let members = members.map(|one| (one.name.clone(), one.into())).collect::<BTreeMap<_, _>>();
        let cluster = Cluster { members, ..Cluster::default() };
        let json = render(&cluster, SCOPE, Format::Json, ListOptions::default());
        let rows: Vec<Value> = serde_json::from_str(&json).expect("JSON");
        rows.iter().map(|row| row["Host"].as_str().expect("a host").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(shown(["192.0.2.1:5432", "192.0.2.2"]), ["192.0.2.1", "192.0.2.2"]);
    assert_eq!(shown(["192.0.2.1:5433", "192.0.2.2"]), ["192.0.2.1:5433", "192.0.2.2:5432"]);
    assert_eq!(shown(["192.0.2.1", "192.0.2.1"]), ["192.0.2.1:5432", "192.0.2.1:5432"]);
    assert_eq!(shown(["[2001:db8::1]:5432", "db-b"]), ["2001:db8::1", "db-b"]);
}

#[test]
fn an_agent_that_publishes_one_position_only() {
    let old = Member {
        xlog_location: lsn("2/5E000000"),
        replication_state: Some(ReplicationState::Streaming),
        ..member("pg-b", "192.0.2.12")
    };
    let archive = Member { replication_state: None, ..old.clone() };
    let archive = Member { name: "pg-c".into(), ..archive };
    let nothing = Member { xlog_location: None, ..archive.clone() };
    let nothing = Member { name: "pg-d".into(), timeline: None, ..nothing };
    check("list_older.txt", &pretty(&cluster(vec![old, archive, nothing])));
}

#[test]
fn a_standby_cluster_has_a_standby_leader() {
    let mut cluster = cluster(vec![pg_b()]);
    cluster.config = at(json!({"standby_cluster": {"host": "192.0.2.99"}}).into());
    let leader = cluster.members.get_mut(&"pg-a".into()).expect("the leader");
    Arc::make_mut(leader).replication_state = Some(ReplicationState::Streaming);
    check("list_standby_cluster.txt", &pretty(&cluster));
}

#[test]
fn without_a_leader_every_root_of_the_tree_is_a_branch() {
    let mut leaderless = cluster(vec![pg_b()]);
    leaderless.leader = None;
    check("topology_leaderless.txt", &render_topology(&leaderless, SCOPE));
    let to = |name: &str, from: &str| Member {
        tags: fields(json!({ "replicatefrom": from })),
        ..standby(name, "192.0.2.15", END, END)
    };
    let circle = cluster(vec![to("pg-b", "pg-c"), to("pg-c", "pg-b"), to("pg-d", "pg-d")]);
    let printed = render_topology(&circle, SCOPE);
    assert!(!printed.contains("pg-b  "), "members in a circle are left out:\n{printed}");
    assert!(printed.contains("| + pg-d "), "whoever names itself follows the leader:\n{printed}");
}

#[test]
fn a_long_reason_is_hidden_from_people_only() {
    let mut cluster = cluster(Vec::new());
    let leader = cluster.members.get_mut(&"pg-a".into()).expect("the leader");
    let libraries = "pg_stat_statements,auto_explain,pg_cron";
    let reason = json!({"old_value": "", "new_value": libraries});
    let reasons = json!({ "shared_preload_libraries": reason });
    Arc::make_mut(leader).other =
        fields(json!({"pending_restart": true, "pending_restart_reason": reasons}));
    let hidden = "shared_preload_libraries: [hidden - too long]";
    assert!(pretty(&cluster).contains(hidden));
    assert!(render_topology(&cluster, SCOPE).contains(hidden));
    let json = render(&cluster, SCOPE, Format::Json, ListOptions::default());
    assert!(json.contains(libraries), "{json}");
}

#[test]
fn extended_shows_every_column() {
    let extended = ListOptions { extended: true };
    let tsv = render(&cluster(vec![pg_b()]), SCOPE, Format::Tsv, extended);
    let heading = tsv.lines().next().expect("a heading");
    assert!(
        heading.ends_with("\tPending restart\tPending restart reason\tScheduled restart\tTags"),
        "{heading}"
    );
}

/// The primary's server dies: its agent gives the lease up, another member takes it.
fn failover() -> Vec<MemberEvent> {
    let one = |member: &str, event: Value| MemberEvent {
        member: member.to_owned(),
        event: fields(event),
    };
    vec![
        one(
            "pg-a",
            json!({"seq": 41, "at": "2031-03-02T03:00:00.000100Z", "at_micros": 1_930_186_800_000_100_i64,
            "kind": "server", "what": "down", "facts": {"timeline": 4, "left": "in production"}}),
        ),
        one(
            "pg-a",
            json!({"seq": 42, "at": "2031-03-02T03:00:00.000400Z", "at_micros": 1_930_186_800_000_400_i64,
            "kind": "decision", "what": "hand over", "detail": "the server has ended",
            "facts": {"seat": "mine", "lease_left_ms": 4100, "server": "down"},
            "effects": ["kill", "release"], "seconds": 86_400.5}),
        ),
        one(
            "pg-a",
            json!({"seq": 43, "at": "2031-03-02T03:00:00.009000Z", "at_micros": 1_930_186_800_009_000_i64,
            "kind": "lease", "what": "released", "facts": {"term": 8}}),
        ),
        one(
            "pg-b",
            json!({"seq": 17, "at": "2031-03-02T03:00:00.011000Z", "at_micros": 1_930_186_800_011_000_i64,
            "kind": "leader", "what": "released", "facts": {"holder": "pg-a", "term": 8}}),
        ),
        one(
            "pg-b",
            json!({"seq": 18, "at": "2031-03-02T03:00:00.052000Z", "at_micros": 1_930_186_800_052_000_i64,
            "kind": "step", "what": "collect votes", "seconds": 0.0304}),
        ),
        one(
            "pg-b",
            json!({"seq": 19, "at": "2031-03-02T03:00:00.121000Z", "at_micros": 1_930_186_800_121_000_i64,
            "kind": "promotion", "what": "promoted", "facts": {"timeline": 5, "term": 9}}),
        ),
        one(
            "pg-a",
            json!({"seq": 44, "at": "2031-03-02T03:00:02.500000Z", "at_micros": 1_930_186_802_500_000_i64,
            "kind": "step", "what": "rewind", "seconds": 1.25, "error": "could not connect", "times": 8}),
        ),
    ]
}

#[test]
fn a_failover_on_one_time_line() {
    check("events.txt", &render_events(&failover(), Format::Pretty, false));
    check("events_facts.txt", &render_events(&failover()[1..2], Format::Pretty, true));
    check("events.tsv", &render_events(&failover(), Format::Tsv, false));
    check("events.json", &render_events(&failover()[4..5], Format::Json, false));
    check("events.yaml", &render_events(&failover()[4..5], Format::Yaml, false));
    check("events_empty.txt", &render_events(&[], Format::Pretty, false));
}
