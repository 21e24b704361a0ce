//! Consumers of permanent logical slots: each goes on at the next leader, and misses nothing.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::faults::BOUND;
use crate::store::get;
use crate::support::cluster::{Cluster, Plan, START_BOUND};
use crate::support::machine::Postgres;
use crate::support::sql;
use crate::support::wait::wait_until;

/// What is new for the consumer, which confirms it by that: the one column of each row that was inserted.
fn consume(server: SocketAddr) -> BTreeSet<i64> {
    let changes = "SELECT convert_from(substring(data FROM 14), 'utf8')
        FROM pg_logical_slot_get_binary_changes('cdc', NULL, NULL, 'proto_version', '1', 'publication_names', 'p')
        WHERE get_byte(data, 0) = ascii('I')";
    let rows = sql::query(server, changes).expect("the slot can be read");
    rows.into_iter().flatten().map(|number| number.parse().expect("a number")).collect()
}

fn insert(server: SocketAddr, numbers: std::ops::RangeInclusive<i64>) {
    let (from, to) = (numbers.start(), numbers.end());
    sql::run(server, &format!("INSERT INTO changed SELECT generate_series({from}, {to})"));
}

/// Whether the consumer could go on at this standby: as its agent says, or as a server that syncs slots shows.
fn is_carried(cluster: &Cluster, node: usize) -> bool {
    let said = ["a logical slot is carried along", "a logical slot is not carried along"];
    let log = cluster.nodes[node].log();
    let [carried, not] = said.map(|said| log.rfind(said));
    let synced = "SELECT bool_or(synced AND NOT temporary) FROM pg_replication_slots WHERE slot_name = 'cdc'";
    carried > not || sql::value(cluster.nodes[node].postgresql(), synced).as_deref() == Ok("t")
}

fn has_slot(cluster: &Cluster, node: usize) -> bool {
    let slots =
        "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'cdc' AND NOT temporary";
    sql::value(cluster.nodes[node].postgresql(), slots).as_deref() == Ok("1")
}

/// A transaction that has changed something, and is open until it is told to commit.
struct Open {
    runtime: tokio::runtime::Runtime,
    client: tokio_postgres::Client,
}

impl Open {
    fn begin(server: SocketAddr) -> Open {
        let runtime = sql::runtime();
        let client = runtime.block_on(async {
            let client = sql::connect(&sql::superuser(server, BOUND)).await?;
            client.batch_execute("BEGIN; INSERT INTO changed VALUES (31)").await?;
            Ok::<_, tokio_postgres::Error>(client)
        });
        Open { runtime, client: client.expect("a session") }
    }

    fn commit(self) {
        self.runtime.block_on(self.client.batch_execute("COMMIT")).expect("it commits");
    }
}

fn with_slot(parameters: Value) -> Value {
    let slot = json!({ "type": "logical", "database": "postgres", "plugin": "pgoutput" });
    json!({ "postgresql": { "parameters": parameters }, "slots": { "cdc": slot } })
}

fn go_on_at_the_next_leader(postgres: Postgres) {
    let dcs = with_slot(json!({ "wal_level": "logical" }));
    let mut cluster = Cluster::start(Plan { postgres, dcs, ..Plan::default() });
    let first = cluster.wait_until_whole(START_BOUND);
    let server = cluster.nodes[first].postgresql();
    sql::run(server, "CREATE TABLE changed (id int)");
    sql::run(server, "CREATE PUBLICATION p FOR TABLE changed");
    let others = cluster.others(first);
    // A copy of the data has no log of before, so that the consumer has to be past that.
    wait_until("both standbys carry the slot along", START_BOUND, || {
        sql::run(server, "CHECKPOINT");
        consume(server);
        others.iter().all(|node| is_carried(&cluster, *node))
    });
    insert(server, 1..=10);
    assert!(consume(server).is_superset(&(1..=10).collect()));
    insert(server, 11..=20);
    let caught_up =
        "SELECT bool_and(replay_lsn >= pg_current_wal_flush_lsn()) FROM pg_stat_replication";
    wait_until("the standbys have it", BOUND, || {
        sql::value(server, caught_up).as_deref() == Ok("t")
    });
    cluster.nodes[first].kill_host();
    let second = cluster.wait_for_another_leader(first, BOUND);
    let server = cluster.nodes[second].postgresql();
    insert(server, 21..=30);
    let read = consume(server);
    assert!(read.is_superset(&(11..=30).collect()), "{postgres:?}: {read:?}");

    let is_copied = postgres != Postgres::V18;
    // One that runs while the slot is copied: what is not read from its beginning is not read at all.
    let open = is_copied.then(|| Open::begin(server));
    cluster.nodes[first].start();
    if let Some(open) = open {
        wait_until("the slot is copied to the former leader", START_BOUND, || {
            has_slot(&cluster, first)
        });
        open.commit();
    } else {
        insert(server, 31..=31);
    }
    wait_until("the former leader carries it along", START_BOUND, || {
        if !is_copied {
            // A server that syncs slots waits until its primary's consumer is past where it could begin itself.
            sql::run(server, "CHECKPOINT");
            consume(server);
        }
        is_carried(&cluster, first)
    });
    let name = cluster.nodes[first].name.clone();
    let switched = cluster.nodes[second].ctl(&["switchover", "--candidate", &name, "--force"]);
    assert!(switched.status.success(), "{}", String::from_utf8_lossy(&switched.stderr));
    assert_eq!(cluster.wait_for_leader(BOUND), first);
    let server = cluster.nodes[first].postgresql();
    insert(server, 32..=40);
    let read = consume(server);
    let expected = if is_copied { 31..=40 } else { 32..=40 };
    assert!(read.is_superset(&expected.collect()), "{postgres:?}: {read:?}");
    println!("{postgres:?}: the consumer of a logical slot went on over a crash and a switchover");
}

#[test]
fn with_postgresql_15_a_consumer_goes_on() {
    go_on_at_the_next_leader(Postgres::Installed);
}

#[test]
fn with_postgresql_16_a_consumer_goes_on() {
    go_on_at_the_next_leader(Postgres::V16);
}

#[test]
fn with_postgresql_18_a_consumer_goes_on() {
    go_on_at_the_next_leader(Postgres::V18);
}

/// Where standbys do not tell the leader what their slots need, none is carried along.
#[test]
fn a_consumer_whose_slot_is_gone_finds_none_that_skips_what_it_has_missed() {
    let dcs = with_slot(json!({ "wal_level": "logical", "hot_standby_feedback": "off" }));
    let mut cluster = Cluster::start(Plan { nodes: 2, dcs, ..Plan::default() });
    let first = cluster.wait_until_whole(START_BOUND);
    wait_until("the leader has made it", BOUND, || has_slot(&cluster, first));
    let is_told = |cluster: &Cluster, name: &str| {
        get(cluster, "status").is_some_and(|status| status.contains(&format!("\"{name}\"")))
    };
    wait_until("the others know how far its consumer is", BOUND, || is_told(&cluster, "cdc"));
    cluster.nodes[first].kill_host();
    let second = cluster.wait_for_another_leader(first, BOUND);
    let gone = "it is gone (with an earlier leader, or dropped), and not made anew";
    cluster.nodes[second].wait_for_log(gone, BOUND);
    let own = cluster.nodes[second].name.replace('-', "_");
    wait_until("it leads and writes its status", BOUND, || is_told(&cluster, &own));
    assert!(!has_slot(&cluster, second) && is_told(&cluster, "cdc"));
    let server = cluster.nodes[second].postgresql();
    sql::run(server, "SELECT pg_create_logical_replication_slot('cdc', 'pgoutput')");
    assert!(has_slot(&cluster, second), "a person may make it");
}
