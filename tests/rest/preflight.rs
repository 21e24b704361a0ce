//! Switchover and failover: what is refused before anything is written.

use pgbaton::cluster::{BatonState, Role};
use serde_json::json;

use crate::pair::{Pair, check};
use crate::support::memory_store::Fault;
use crate::support::rest::{standby, with_tags};

#[tokio::test]
async fn a_request_that_makes_no_sense_is_refused() {
    let pair = Pair::new().await;
    let at = "2030-05-01T02:00:00+00:00";
    for (path, body, code, text) in [
        (
            "/switchover",
            json!({"candidate": "b"}),
            400,
            "leader: a switchover must name the leader that is to step down",
        ),
        (
            "/switchover",
            json!({"leader": null, "candidate": "b"}),
            400,
            "leader: a switchover must name the leader that is to step down",
        ),
        (
            "/failover",
            json!({"leader": "a"}),
            400,
            "candidate: a failover must name who is to take over",
        ),
        (
            "/failover",
            json!({"candidate": ""}),
            400,
            "candidate: a failover must name who is to take over",
        ),
        (
            "/switchover",
            json!({"leader": "a", "candidate": "a"}),
            400,
            "leader and candidate are the same: name another candidate",
        ),
        (
            "/switchover",
            json!({"leader": "a", "candidate": "b", "member": "c"}),
            400,
            "candidate and member name two nodes: give one of them",
        ),
        ("/switchover", json!({"leader": ["a"]}), 400, "leader is a list: expected a text"),
        (
            "/switchover",
            json!({"leader": "a", "canditate": "b"}),
            400,
            "unknown key \"canditate\": expected leader, candidate, member, scheduled_at, \
             accept_loss, term",
        ),
        (
            "/failover",
            json!({"candidate": "b", "scheduled_at": at}),
            400,
            "scheduled_at: a failover cannot be scheduled",
        ),
        (
            "/switchover",
            json!({"leader": "a", "scheduled_at": at}),
            501,
            "scheduled_at: scheduled switchovers are not built yet; \
             ask again without it when it is time",
        ),
    ] {
        check(&pair.ask(path, &body).await, code, text);
    }
    assert_eq!(pair.a.store.text("failover"), None, "nothing was written");
}

#[tokio::test]
async fn a_request_that_does_not_fit_the_cluster_is_refused() {
    let pair = Pair::new().await;
    for (path, body, code, text) in [
        (
            "/switchover",
            json!({"leader": "a", "candidate": "nobody"}),
            400,
            "candidate: nobody is no member of this cluster; its members: a, b",
        ),
        (
            "/switchover",
            json!({"leader": "nobody"}),
            400,
            "leader: nobody is no member of this cluster; its members: a, b",
        ),
        ("/switchover", json!({"leader": "b"}), 412, "b does not lead the cluster: a does"),
        ("/failover", json!({"candidate": "a"}), 412, "a leads the cluster already"),
    ] {
        check(&pair.ask(path, &body).await, code, text);
    }
    assert_eq!(pair.a.store.text("failover"), None, "nothing was written");
}

#[tokio::test]
async fn a_cluster_that_is_not_ready_is_told_of() {
    let pair = Pair::new().await;
    pair.baton("a", 7, BatonState::Released);
    let body = json!({"leader": "a"});
    check(&pair.ask("/switchover", &body).await, 412, "a does not lead the cluster: nobody leads");

    let pair = Pair::new().await;
    pair.a.store.put("config", "{\"pause\":true}");
    check(
        &pair.ask("/switchover", &body).await,
        400,
        "candidate: the cluster is paused, so one must be named",
    );

    let pair = Pair::new().await;
    pair.a.store.put("config", "{\"synchronous_mode\":true}");
    check(&pair.ask("/switchover", &body).await, 412, "there is no synchronous standby");
    let named = json!({"leader": "a", "candidate": "b"});
    check(&pair.ask("/switchover", &named).await, 412, "b is not a synchronous standby");

    let pair = Pair::new().await;
    pair.member("b", Role::Replica, None);
    check(
        &pair.ask("/switchover", &body).await,
        412,
        "there is no other member that could take over",
    );
    check(
        &pair.ask("/switchover", &named).await,
        412,
        "no candidate can take over: b has not published an api_url",
    );
}

#[tokio::test]
async fn a_candidate_that_cannot_lead_is_refused_with_the_reason() {
    let body = json!({"leader": "a", "candidate": "b"});
    let pair = Pair::with(with_tags(standby(), &json!({"nofailover": true}))).await;
    check(
        &pair.ask("/switchover", &body).await,
        412,
        "no candidate can take over: b is tagged nofailover",
    );

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = nobody.local_addr().expect("an address").to_string();
    drop(nobody);
    pair.member("b", Role::Replica, Some(&address));
    let text =
        format!("no candidate can take over: b cannot be reached: no connection to {address}");
    check(&pair.ask("/switchover", &body).await, 412, &text);
}

#[tokio::test]
async fn a_loss_is_accepted_where_nobody_leads() {
    let pair = Pair::new().await;
    for (path, body, code, text) in [
        (
            "/failover",
            json!({"candidate": "b", "accept_loss": "yes"}),
            400,
            "accept_loss is a text: expected true or false",
        ),
        (
            "/switchover",
            json!({"leader": "a", "accept_loss": true}),
            400,
            "accept_loss: a switchover loses nothing; it is for a failover",
        ),
        (
            "/failover",
            json!({"candidate": "b", "accept_loss": true}),
            412,
            "a leads, as far as the store tells: a failover loses nothing then; ask without \
             accept_loss, or again when its agent is gone",
        ),
    ] {
        check(&pair.ask(path, &body).await, code, text);
    }
    assert_eq!(pair.a.store.text("failover"), None, "nothing was written");

    pair.a.store.remove("agents/a");
    // What nobody was there to refuse is in nobody's way.
    pair.a.store.put("failover", r#"{"member":"b"}"#);
    let body = json!({"candidate": "b", "accept_loss": true});
    let answer = pair.ask_while("/failover", &body, |_| {
        let asked = pair.a.store.text("failover");
        assert_eq!(asked.as_deref(), Some(r#"{"member":"b","accept_loss":true}"#));
        pair.baton("b", 8, BatonState::Held);
        pair.member("b", Role::Primary, None);
    });
    check(&answer.await, 200, "Successfully failed over to \"b\"");
}

#[tokio::test]
async fn the_former_holder_may_be_named_and_leads_in_a_later_term() {
    let pair = Pair::new().await;
    pair.a.store.remove("agents/a");
    let stale = json!({"candidate": "a", "accept_loss": true, "term": 6});
    let text = "somebody has led since: term 6 was shown, term 7 is reached; look again";
    check(&pair.ask("/failover", &stale).await, 412, text);
    let wrong = json!({"candidate": "a", "accept_loss": true, "term": "7"});
    let text = "term: expected the whole number of the baton's term";
    check(&pair.ask("/failover", &wrong).await, 400, text);
    assert_eq!(pair.a.store.text("failover"), None, "nothing was written");
    let body = json!({"candidate": "a", "accept_loss": true, "term": 7});
    let answer = pair.ask_while("/failover", &body, |_| pair.baton("a", 8, BatonState::Held));
    check(&answer.await, 200, "Successfully failed over to \"a\"");
}

#[tokio::test]
async fn while_nobody_leads_what_nobody_acts_on_is_withdrawn() {
    let pair = Pair::new().await;
    pair.a.store.remove("agents/a");
    let body = json!({"candidate": "b"});
    // From then on only the bound is waited for.
    let answer = pair.ask_while("/failover", &body, |_| tokio::time::pause()).await;
    check(&answer, 503, "Failover failed: nobody leads, and this node says: lead");
    assert_eq!(pair.a.store.text("failover").as_deref(), Some("{}"));

    pair.a.store.put("failover", r#"{"member":"b","accept_loss":true}"#);
    check(&pair.a.ask("DELETE", "/switchover", None).await, 200, "the request is withdrawn");
    assert_eq!(pair.a.store.text("failover").as_deref(), Some("{}"));
}

#[tokio::test]
async fn a_second_request_waits_for_the_first() {
    let pair = Pair::new().await;
    let body = json!({"leader": "a"});
    for (pending, text) in [
        (
            r#"{"leader":"a","member":"b"}"#,
            "a switchover from a to b is under way: wait for its outcome",
        ),
        (r#"{"member":"b"}"#, "a failover to b is under way: wait for its outcome"),
        (
            r#"{"leader":"a","scheduled_at":"2030-05-01T02:00:00+00:00"}"#,
            "a switchover from a is scheduled for 2030-05-01T02:00:00+00:00: \
             withdraw it first (DELETE /switchover)",
        ),
    ] {
        pair.a.store.put("failover", pending);
        check(&pair.ask("/switchover", &body).await, 409, text);
        assert_eq!(pair.a.store.text("failover").as_deref(), Some(pending));
    }
}

#[tokio::test]
async fn only_a_scheduled_switchover_can_be_withdrawn() {
    let pair = Pair::new().await;
    let delete = || pair.a.ask("DELETE", "/switchover", None);
    check(&delete().await, 404, "no switchover is scheduled");
    pair.a.store.put("failover", r#"{"leader":"a"}"#);
    check(&delete().await, 404, "no switchover is scheduled");
    let scheduled = r#"{"leader":"a","scheduled_at":"2030-05-01T02:00:00+00:00"}"#;
    pair.a.store.put("failover", scheduled);
    pair.a.store.fail_next(Fault::Overtaken("failover"));
    let text = "somebody else changed the failover key at the same moment: try again";
    check(&delete().await, 409, text);
    pair.a.store.put("failover", scheduled);
    check(&delete().await, 200, "scheduled switchover deleted");
    assert_eq!(pair.a.store.text("failover").as_deref(), Some("{}"));
}
