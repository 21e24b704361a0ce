//! Making data, and coming up with the right configuration.

use std::fs;
use std::time::{Duration, Instant};

use pgbaton::cluster::Role;
use pgbaton::postgres::{ControlState, LocalServer, Server, StartAs, State};
use pgbaton::values::Timeline;

use super::pair;
use super::support::machine::{self, Postgres, Turn};
use super::support::postgres::{BOUND, Site, settings};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_server_answers_with_accounts_and_nothing_is_left_to_make() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let a = site.server("a", 1);
    assert_eq!(a.look().await.state, State::Empty);
    let system_id = a.server.initialize().await.unwrap();
    let State::Down(control) = a.look().await.state else { panic!("no data") };
    assert_eq!((control.system_id, control.state), (system_id, ControlState::ShutDown));
    assert!(control.can_rewind);
    a.server.start(&StartAs::Primary, BOUND).await.unwrap();
    a.server.create_accounts().await.unwrap();
    a.server.create_accounts().await.unwrap();

    let look = a.look().await;
    let State::Primary(facts) = look.state else { panic!("no primary") };
    assert_eq!(facts.system_id, system_id);
    assert_eq!(facts.position.timeline, Timeline::FIRST);
    assert!(look.version.unwrap() >= 130_000 && look.started_at_micros.unwrap() > 0);
    assert!(a.server.start(&StartAs::Primary, BOUND).await.is_err(), "it runs already");
    assert!(a.server.initialize().await.is_err(), "there is data");
    assert!(a.server.remove_data().await.is_err(), "a server runs on it");
    a.stop().await;
    a.server.remove_data().await.unwrap();
    assert_eq!(a.look().await.state, State::Empty);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_fails_leaves_nothing() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let (a, b) = (site.server("a", 1), site.server("b", 2));
    a.bootstrap().await;
    let mut upstream = a.upstream_of(&b).await;
    upstream.port += 1;
    let error = b.server.copy_from(&upstream, |_| ()).await.unwrap_err().to_string();
    assert!(error.contains("pg_basebackup failed"), "{error}");
    assert_eq!(b.look().await.state, State::Empty);
    let progress = std::sync::Mutex::new(Vec::new());
    upstream.port -= 1;
    b.server.copy_from(&upstream, |told| progress.lock().unwrap().push(told)).await.unwrap();
    let last = *progress.lock().unwrap().last().expect("progress is told");
    assert!(last.done_kilobytes > 1000 && Some(last.done_kilobytes) >= last.total_kilobytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_gets_no_less_than_its_primary_and_its_own_configuration() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let elsewhere = format!("  config_dir: {}", site.folder_of("b").join("conf").display());
    let (a, b) = (site.server("a", 1), site.server_with("b", 2, &elsewhere));
    machine::make_dir(&site.folder_of("b").join("conf"));
    let mut more = settings(&a.node);
    more.command_line.retain(|(name, _)| name != "max_connections");
    more.command_line.push(("max_connections".into(), "150".into()));
    a.server.configure(&more).await.unwrap();
    a.bootstrap().await;
    a.run("ALTER SYSTEM SET recovery_min_apply_delay = '1h'").await;
    a.run("ALTER SYSTEM SET work_mem = '9MB'").await;
    b.join(&a).await;
    a.run("CREATE TABLE t (n int)").await;
    b.catches_up_with(&a).await;
    assert_eq!(b.rows().await, 0, "the delay of another server is not in force");
    let raised = ("max_connections".to_owned(), "150".to_owned(), "100".to_owned());
    assert_eq!(b.look().await.pending_restart, [raised]);
    let client = b.client().await;
    let row = client
        .query_one("SELECT current_setting('config_file'), current_setting('work_mem')", &[])
        .await
        .unwrap();
    assert!(row.get::<_, String>(0).starts_with(&*b.node.postgresql.config_dir.to_string_lossy()));
    assert_eq!(row.get::<_, String>(1), "9MB");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_the_users_are_told_what_happened() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let told = site.folder_of("a").join("told");
    let lines = format!(
        "  callbacks: {{on_start: \"sh -c 'echo $0 $@ >> {told}'\", on_stop: \"sh -c 'echo $0 $@ >> {told}'\"}}",
        told = told.display()
    );
    let mut a = site.server_with("a", 1, &lines);
    let said = site.folder_of("a").join("said");
    let script = format!("echo \"$1\" > {}; cat \"$PGPASSFILE\" > /dev/null", said.display());
    let command = ["sh", "-c", script.as_str(), "post"].map(str::to_owned);
    a.node.bootstrap.as_mut().unwrap().post_bootstrap = Some(command.to_vec());
    a.server = LocalServer::new(&a.node, settings(&a.node)).unwrap();
    a.bootstrap().await;
    let conninfo = fs::read_to_string(&said).unwrap();
    assert!(conninfo.contains(&format!("port={} dbname=postgres", a.address.port())), "{conninfo}");
    a.stop().await;
    let started = Instant::now();
    let expected = "on_start primary test\non_stop primary test\n";
    while fs::read_to_string(&told).unwrap_or_default() != expected {
        let found = fs::read_to_string(&told);
        assert!(started.elapsed() < BOUND, "told: {found:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_in_another_part_is_told_once_as_a_change_of_role() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let told = site.folder_of("a").join("told");
    let command = format!("\"sh -c 'echo $0 $@ >> {}'\"", told.display());
    let lines = format!("  callbacks: {{on_start: {command}, on_role_change: {command}}}");
    let a = site.server_with("a", 1, &lines);
    a.bootstrap().await;
    a.stop().await;
    let standby = StartAs::Standby(None);
    // The agent sees a standby, and tells it, before the start has returned.
    let (started, ()) = tokio::join!(a.server.start(&standby, BOUND), async {
        a.server.role_changed(Role::Replica);
    });
    started.unwrap();
    a.server.role_changed(Role::Primary);
    let since = Instant::now();
    let read = || fs::read_to_string(&told).unwrap_or_default();
    while !read().contains("on_role_change primary test") {
        assert!(since.elapsed() < BOUND, "told: {:?}", read());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!read().contains("on_start replica"), "told: {:?}", read());
    a.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_are_made_once_and_only_idle_ones_are_dropped() {
    let _turn = Turn::wait();
    let site = Site::new(Postgres::Installed);
    let (a, b) = pair(&site).await;
    let names = ["b", "c", "d"].map(str::to_owned);
    a.server.arrange_slots(&names, &[]).await.unwrap();
    a.server.arrange_slots(&names, &[]).await.unwrap();
    a.server.arrange_slots(&[], &["b".to_owned(), "d".to_owned()]).await.unwrap();
    let State::Primary(facts) = a.look().await.state else { panic!("no primary") };
    assert_eq!(names_of(&facts.slots), ["b", "c"], "a standby streams from b");
    b.streams().await;
    // A standby that may lead soon has the members' slots before it is promoted.
    b.server.arrange_slots(&names, &[]).await.unwrap();
    let State::Standby(facts) = b.look().await.state else { panic!("no standby") };
    assert_eq!(names_of(&facts.slots), names);
}

fn names_of(slots: &[pgbaton::cluster::Slot]) -> Vec<&str> {
    slots.iter().map(|slot| slot.name.as_str()).collect()
}
