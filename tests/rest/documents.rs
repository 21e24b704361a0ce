//! The documents, word for word.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pgbaton::api::metrics_document;
use pgbaton::cluster::{
    Downstream, HistoryEntry, Look, Member, MemberState, ReplicationState, Request, Role, State,
    SyncState, Versioned,
};
use pgbaton::config::SynchronousMode;
use pgbaton::decide::JobKind;
use pgbaton::postgres::{
    Checkpoints, CopyProgress, DatabaseCounts, ProcessTimes, ServerCounts, StandbyLag, Statistics,
};
use pgbaton::publish::{Event, EventKind, Status, TakenStatistics, WatchdogSeen};
use pgbaton::values::{Lsn, Revision, Timeline, WatchdogMode};
use pgbaton::wake::Wake;
use serde_json::{Map, Value, json};

use crate::check_golden;
use crate::support::rest::{
    Api, NOW, TTL, WALL_MICROS, other, primary, standby, with_cluster, with_dynamic, with_tags,
};

async fn body(status: Status, path: &str) -> String {
    let answer = Api::of(status).await.ask("GET", path, None).await;
    assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
    assert_eq!(answer.header("x-frame-options"), Some("deny"), "{path}");
    answer.body
}

fn full_primary() -> Status {
    let mut status = with_dynamic(primary(), |dynamic| dynamic.pause = true);
    let look = Arc::make_mut(&mut status.look);
    look.pending_restart = vec![("max_connections".into(), "100".into(), "200".into())];
    let State::Primary(facts) = &mut look.state else { panic!("a primary") };
    facts.downstreams = vec![Downstream {
        name: "b".into(),
        user: "replicator".into(),
        client_address: Some("10.1.0.7".into()),
        state: "streaming".into(),
        flushed: Lsn(1),
        replayed: Lsn(1),
        sync_state: "async".into(),
        sync_priority: 0,
        slot: Some("b".into()),
    }];
    Status { job: Some((JobKind::HandOver, NOW)), stopping: true, ..status }
}

fn full_standby() -> Status {
    let status = with_tags(standby(), &json!({"failover_priority": 2, "dc": "Zürich"}));
    let status = with_dynamic(status, |one| one.synchronous_mode = SynchronousMode::On);
    with_cluster(status, |cluster| {
        let value = SyncState { leader: Some("b".into()), standbys: vec!["a".into()], quorum: 0 };
        cluster.sync = Some(Versioned { value, revision: Revision(9) });
    })
}

#[tokio::test]
async fn the_status_of_a_primary_a_standby_and_neither() {
    check_golden("status_primary.json", &body(full_primary(), "/patroni").await);
    check_golden("status_standby.json", &body(full_standby(), "/patroni").await);
    let look = Look { started_at_micros: None, version: None, ..(*standby().look).clone() };
    let look = Arc::new(Look { state: State::Empty, ..look });
    let copying = Status {
        state: MemberState::CreatingReplica,
        role: Role::Uninitialized,
        look,
        system_id: None,
        cluster: None,
        job: Some((JobKind::Copy, NOW)),
        copy: Some(CopyProgress { done_kilobytes: 5, total_kilobytes: Some(10) }),
        ..standby()
    };
    check_golden("status_copying.json", &body(copying, "/patroni").await);
    let silent = body(other(State::Silent, MemberState::Running), "/patroni").await;
    assert!(silent.starts_with(r#"{"state": "unknown", "role": "replica", "dcs_last_seen""#));
}

#[tokio::test]
async fn a_health_check_answers_with_the_status_whatever_its_code() {
    let api = Api::of(full_standby()).await;
    let status = api.ask("GET", "/patroni/x", None).await;
    assert_eq!(status.code, 200);
    for (path, code) in [("/replica", 200), ("/primary", 503), ("/nothing", 503)] {
        let answer = api.ask("GET", path, None).await;
        assert_eq!((answer.code, &answer.body), (code, &status.body), "{path}");
    }
}

#[tokio::test]
async fn what_the_store_no_longer_shows_is_said_to_be_unlocked() {
    let api = Api::of(primary()).await;
    let unlocked = "\"cluster_unlocked\": true";
    assert!(!api.ask("GET", "/primary", None).await.body.contains(unlocked));
    api.clock.turn_to(TTL);
    assert!(api.ask("GET", "/primary", None).await.body.contains(unlocked));
    assert!(api.ask("GET", "/patroni", None).await.body.contains("\"writable\": false"));
}

fn member(name: &str, role: Role) -> Member {
    Member {
        name: name.into(),
        conn_url: Some(format!("postgres://10.1.0.{}:5433/postgres", name.len())),
        api_url: Some(format!("http://10.1.0.{}:8008/patroni", name.len())),
        state: MemberState::Running,
        role,
        version: Some("4.1.5".into()),
        xlog_location: Some(Lsn(83_886_432)),
        receive_lsn: None,
        replay_lsn: None,
        replication_state: None,
        timeline: Some(Timeline(3)),
        awaits_checkpoint: false,
        tags: Map::new(),
        other: Map::new(),
    }
}

fn full_cluster() -> Status {
    let status = with_dynamic(primary(), |dynamic| {
        dynamic.pause = true;
        dynamic.synchronous_mode = SynchronousMode::Quorum;
    });
    let other = json!({"pending_restart": true, "scheduled_restart": {"schedule": "x"}});
    let replica = Member {
        receive_lsn: Some(Lsn(83_886_432)),
        replay_lsn: Some(Lsn(0x2_0000_0064)),
        replication_state: Some(ReplicationState::Streaming),
        tags: json!({"clonefrom": true}).as_object().cloned().expect("tags"),
        other: other.as_object().cloned().expect("fields"),
        ..member("cc", Role::Replica)
    };
    let bare = Member {
        conn_url: None,
        api_url: None,
        timeline: None,
        xlog_location: None,
        state: MemberState::Unknown,
        ..member("ddd", Role::Uninitialized)
    };
    with_cluster(status, |cluster| {
        cluster.optime = Some(Lsn(83_886_532));
        for one in [member("b", Role::Primary), replica, bare] {
            cluster.members.insert(one.name.clone(), one.into());
        }
        let request = Request {
            leader: Some("b".into()),
            candidate: Some("cc".into()),
            scheduled_at: Some("2030-05-01T02:00:00+00:00".into()),
            accepts_loss: false,
        };
        cluster.request = Some(Versioned { value: Some(request), revision: Revision(7) });
        let value = SyncState { leader: Some("b".into()), standbys: vec!["CC".into()], quorum: 1 };
        cluster.sync = Some(Versioned { value, revision: Revision(9) });
    })
}

#[tokio::test]
async fn the_cluster_with_all_that_a_member_can_say() {
    check_golden("cluster.json", &body(full_cluster(), "/cluster").await);
    let alone = with_cluster(primary(), |cluster| {
        cluster.members.insert("b".into(), member("b", Role::Primary).into());
    });
    check_golden("cluster_alone.json", &body(alone, "/cluster").await);
}

#[tokio::test]
async fn history_config_and_failsafe_as_they_were_last_read() {
    let status = with_cluster(standby(), |cluster| {
        let entry = |timeline, timestamp: Option<&str>| HistoryEntry {
            timeline,
            lsn: Lsn(67_108_864),
            reason: "no recovery target specified".into(),
            timestamp: timestamp.map(str::to_owned),
            new_leader: timestamp.map(|_| "db-b".into()),
        };
        let value = vec![entry(1, None), entry(2, Some("2025-03-02T08:15:40.120000+00:00"))];
        cluster.history = Some(Versioned { value, revision: Revision(3) });
        let value = json!({"ttl": 5, "postgresql": {"parameters": {"work_mem": "4MB"}}});
        cluster.config = Some(Versioned { value: value.into(), revision: Revision(4) });
        let url = "http://10.1.0.6:8008/patroni".to_owned();
        let value = BTreeMap::from([("db-a".into(), url)]);
        cluster.failsafe = Some(Versioned { value, revision: Revision(5) });
    });
    let api = Api::of(status).await;
    // Stale, but these change seldom, and nobody routes by them.
    api.clock.turn_to(TTL * 10);
    for path in ["history", "config", "failsafe"] {
        let answer = api.ask("GET", &format!("/{path}"), None).await;
        assert_eq!(answer.code, 200, "{path}");
        check_golden(&format!("{path}.json"), &answer.body);
    }
    let answer = api.ask("GET", "/cluster", None).await;
    assert_eq!(answer.code, 503);
    assert!(answer.body.starts_with("the store has not answered"), "{}", answer.body);
}

#[tokio::test]
async fn what_is_missing_is_said_to_be_missing() {
    for (status, path, code, text) in [
        (standby(), "/config", 502, "the cluster has no config key"),
        (standby(), "/failsafe", 502, "the cluster has no failsafe key"),
        (standby(), "/history", 200, "[]"),
        (Status { cluster: None, ..standby() }, "/config", 503, "the store has not been read yet"),
        (Status { cluster: None, ..standby() }, "/history", 503, "the store has not been read yet"),
        (Status { cluster: None, ..standby() }, "/cluster", 503, "the store has not answered"),
    ] {
        let answer = Api::of(status).await.ask("GET", path, None).await;
        assert_eq!(answer.code, code, "{path}");
        assert!(answer.body.starts_with(text), "{path}: {}", answer.body);
    }
}

#[tokio::test]
async fn patronis_metrics_come_first_in_patronis_order() {
    for (file, status) in [
        ("metrics_primary.txt", full_primary()),
        ("metrics_standby.txt", full_standby()),
        ("metrics_silent.txt", other(State::Silent, MemberState::Running)),
    ] {
        let api = Api::of(status).await;
        api.clock.turn_to(Duration::from_millis(250));
        let answer = api.ask("GET", "/metrics", None).await;
        assert_eq!((answer.code, answer.header("content-type")), (200, Some("text/plain")));
        let counted = answer.body.find("# HELP pgbaton_lease_renewals_total").expect("ours follow");
        let told = answer.body[..counted].replace(env!("CARGO_PKG_VERSION"), "VERSION");
        check_golden(file, told.trim_end());
        assert!(answer.body.ends_with('\n'));
    }
}

#[tokio::test]
async fn a_watchdog_that_is_required_and_unusable_is_told_in_patroni_s_word() {
    let seen = |mode, trouble: Option<&str>| Status {
        watchdog: WatchdogSeen { mode, is_armed: false, trouble: trouble.map(str::to_owned) },
        ..standby()
    };
    let why = Some("/dev/watchdog: No such file or directory");
    for (mode, trouble, failed, shown) in [
        (WatchdogMode::Off, None, Value::Null, Value::Null),
        (
            WatchdogMode::Automatic,
            why,
            Value::Null,
            json!({"mode": "automatic", "armed": false, "trouble": why}),
        ),
        (
            WatchdogMode::Required,
            why,
            json!(true),
            json!({"mode": "required", "armed": false, "trouble": why}),
        ),
        (WatchdogMode::Required, None, Value::Null, json!({"mode": "required", "armed": false})),
    ] {
        let document: Value =
            serde_json::from_str(&body(seen(mode, trouble), "/patroni").await).expect("JSON");
        assert_eq!(document["watchdog_failed"], failed, "{mode:?}");
        assert_eq!(document["pgbaton"]["watchdog"], shown, "{mode:?}");
    }
}

#[tokio::test]
async fn what_is_counted_is_in_the_metrics() {
    let api = Api::of(primary()).await;
    api.metrics.wake(Wake::Tick);
    api.metrics.demotion("fence: the lease ran out");
    let text = api.ask("GET", "/metrics", None).await.body;
    for line in [
        r#"pgbaton_wakes_total{scope="shop",name="a",cause="tick"} 1"#,
        r#"pgbaton_demotions_total{scope="shop",name="a",reason="fence: the lease ran out"} 1"#,
        r#"pgbaton_lease_left_seconds{scope="shop",name="a"} 4.845"#,
    ] {
        assert!(text.lines().any(|one| one == line), "{line} is missing in\n{text}");
    }
}

#[tokio::test]
async fn what_the_server_told_is_shown_until_it_is_old() {
    let api = Api::of(primary()).await;
    assert!(api.ask("GET", "/metrics", None).await.body.contains("\npgbaton_pg_up{"));
    let (asked_at, took) = (NOW, Duration::from_millis(3));
    api.statistics.put(TakenStatistics { statistics: told(), asked_at, took });
    api.clock.turn_to(Duration::from_secs(4));
    let text = api.ask("GET", "/metrics", None).await.body;
    let from = text.find("# HELP pgbaton_pg_up").expect("they are there");
    let to = text.find("# HELP pgbaton_guardian_kills").expect("what is counted follows");
    check_golden("metrics_server.txt", text[from..to].trim_end());
    api.clock.turn_to(Duration::from_secs(22));
    let text = api.ask("GET", "/metrics", None).await.body;
    assert!(text.contains("pgbaton_pg_up{scope=\"shop\",name=\"a\"} 0\n"), "{text}");
    assert!(!text.contains("pgbaton_pg_connections"), "{text}");
    api.statistics.set_interval(Duration::ZERO);
    assert!(!api.ask("GET", "/metrics", None).await.body.contains("pgbaton_pg_"));
}

fn told() -> Statistics {
    let counts = |pairs: &[(&str, u64)]| {
        pairs.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect()
    };
    let standby = StandbyLag {
        name: "b \"1\"".to_owned(),
        state: "streaming".to_owned(),
        sync_state: "async".to_owned(),
        bytes: [Some(0), Some(0), Some(8192), None],
        seconds: [0.001, 0.002, 0.25],
    };
    let (commits, rollbacks) = (1200, 7);
    let (name, deadlocks, read) = ("postgres".to_owned(), 2, 64);
    let database =
        DatabaseCounts { name, commits, rollbacks, deadlocks, read, ..Default::default() };
    Statistics {
        server: ServerCounts {
            wal_bytes: 90_000_000,
            connections: counts(&[("active", 2), ("idle in transaction", 1)]),
            connections_max: 100,
            longest_transaction: Some(12.5),
            locks: counts(&[("AccessShareLock", 3)]),
            locks_waiting: 1,
            wal_files: 5,
            wal_files_bytes: 83_886_080,
            standbys: vec![standby],
            replay_delay: None,
        },
        databases: vec![database],
        checkpoints: Checkpoints {
            timed: 10,
            requested: 3,
            write_millis: 27_500.0,
            sync_millis: 120.0,
            buffers: 4000,
        },
        sizes: counts(&[("postgres", 7_500_000)]),
        processes: ProcessTimes {
            processes: 9,
            user: Duration::from_millis(1500),
            system: Duration::from_millis(700),
        },
    }
}

#[test]
fn the_document_of_the_metrics_is_current() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/METRICS.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, metrics_document()).expect("docs can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, metrics_document(), "UPDATE_GOLDEN=1 writes docs/METRICS.md anew");
}

#[tokio::test]
async fn the_events_are_shown_as_the_query_asks() {
    let api = Api::of(primary()).await;
    let decision = Event::new(WALL_MICROS, EventKind::Decision, "follow").detail("b");
    let mut decision = decision.took(Duration::from_millis(1500)).fact("seat", "held");
    decision.effects = vec!["follow".to_owned()];
    api.events.note(decision);
    let step = Event::new(WALL_MICROS + 1_000_000, EventKind::Step, "promote");
    api.events.note(step.took(Duration::from_millis(40)).failed(Some("it did not".to_owned())));
    let lease = Event::new(WALL_MICROS + 2_000_000, EventKind::Lease, "taken").fact("term", 7);
    api.events.note(lease);
    let follow = json!({
        "seq": 1, "at": "2025-03-02T08:15:44.120000Z", "at_micros": WALL_MICROS,
        "kind": "decision", "what": "follow", "detail": "b", "facts": {"seat": "held"},
        "effects": ["follow"], "seconds": 1.5,
    });
    let promote = json!({
        "seq": 2, "at": "2025-03-02T08:15:45.120000Z", "at_micros": WALL_MICROS + 1_000_000,
        "kind": "step", "what": "promote", "seconds": 0.04, "error": "it did not",
    });
    let taken = json!({
        "seq": 3, "at": "2025-03-02T08:15:46.120000Z", "at_micros": WALL_MICROS + 2_000_000,
        "kind": "lease", "what": "taken", "facts": {"term": 7},
    });
    for (query, expected) in [
        ("", json!([follow, promote, taken])),
        ("?kind=lease,decision", json!([follow, taken])),
        ("?limit=1", json!([taken])),
        ("?after=1&limit=5", json!([promote, taken])),
        ("?since=2025-03-02T08:15:45.12Z", json!([promote, taken])),
        ("?since=1740903346", json!([taken])),
    ] {
        let answer = api.ask("GET", &format!("/pgbaton/events{query}"), None).await;
        assert_eq!(answer.code, 200, "{query}");
        let document: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(document["events"], expected, "{query}");
        assert_eq!(document["name"], "a");
        assert_eq!(document["unwritten"], 0);
    }
    let refused = api.ask("GET", "/pgbaton/events?kind=leases", None).await;
    assert_eq!(refused.code, 400);
    assert!(refused.body.contains("promotion"), "{}", refused.body);
}
