//! Switchover and failover: what is answered when the leader has dealt with the request.

use pgbaton::cluster::{BatonState, Role};
use pgbaton::values::Revision;
use serde_json::json;

use crate::pair::{Pair, check};
use crate::support::memory_store::Fault;

#[tokio::test]
async fn a_handover_is_told_when_the_new_primary_serves() {
    for (path, body, text, written) in [
        (
            "/switchover",
            json!({"leader": "a"}),
            "Successfully switched over to \"b\"",
            r#"{"leader":"a"}"#,
        ),
        (
            "/switchover",
            json!({"leader": "a", "candidate": "b"}),
            "Successfully switched over to \"b\"",
            r#"{"leader":"a","member":"b"}"#,
        ),
        (
            "/failover",
            json!({"leader": "a", "member": "b"}),
            "Successfully switched over to \"b\"",
            r#"{"leader":"a","member":"b"}"#,
        ),
        (
            "/failover",
            json!({"candidate": "b"}),
            "Successfully failed over to \"b\"",
            r#"{"member":"b"}"#,
        ),
    ] {
        let pair = Pair::new().await;
        let answer = pair.ask_while(path, &body, |_| {
            assert_eq!(pair.a.store.text("failover").as_deref(), Some(written));
            pair.baton("b", 8, BatonState::Held);
            pair.member("b", Role::Primary, Some(&pair.b.address));
        });
        check(&answer.await, 200, text);
    }
}

#[tokio::test]
async fn the_new_leader_s_answer_is_enough() {
    let pair = Pair::new().await;
    let body = json!({"leader": "a"});
    let answer = pair.ask_while("/switchover", &body, |request| {
        pair.baton("b", 8, BatonState::Held);
        pair.answered(request, true, "b leads");
    });
    check(&answer.await, 200, "Successfully switched over to \"b\"");
}

#[tokio::test]
async fn somebody_else_than_the_candidate_may_win() {
    for (path, body, text) in [
        (
            "/switchover",
            json!({"leader": "a", "candidate": "b"}),
            "Switched over to \"c\" instead of \"b\"",
        ),
        ("/failover", json!({"candidate": "b"}), "Failed over to \"c\" instead of \"b\""),
    ] {
        let pair = Pair::new().await;
        let answer = pair.ask_while(path, &body, |_| {
            pair.baton("c", 8, BatonState::Held);
            pair.member("c", Role::Primary, None);
        });
        check(&answer.await, 200, text);
    }
}

#[tokio::test]
async fn the_leader_s_refusal_is_passed_on() {
    let pair = Pair::new().await;
    let body = json!({"leader": "a"});
    let answer = pair.ask_while("/switchover", &body, |request| {
        pair.answered(request, false, "b lags by 2000000 bytes, 1048576 are allowed");
    });
    let text = "Switchover failed: b lags by 2000000 bytes, 1048576 are allowed";
    check(&answer.await, 503, text);
    let body = json!({"candidate": "b"});
    let answer = pair.ask_while("/failover", &body, |_| {
        pair.a.store.put("failover", "{}");
    });
    check(
        &answer.await,
        503,
        "Failover failed: the request was withdrawn or replaced before it was carried out",
    );
}

#[tokio::test]
async fn an_answer_to_an_earlier_request_is_not_this_one_s() {
    let pair = Pair::new().await;
    pair.answered(Revision(1), false, "an old story");
    let body = json!({"leader": "a"});
    let answer = pair.ask_while("/switchover", &body, |_| {
        pair.baton("b", 8, BatonState::Held);
        pair.member("b", Role::Primary, None);
    });
    check(&answer.await, 200, "Successfully switched over to \"b\"");
}

#[tokio::test]
async fn a_write_that_may_have_been_made_is_looked_for() {
    let body = json!({"leader": "a"});
    let pair = Pair::new().await;
    pair.a.store.fail_next(Fault::AppliedUnanswered);
    let answer = pair.ask_while("/switchover", &body, |request| {
        pair.answered(request, false, "no");
    });
    check(&answer.await, 503, "Switchover failed: no");

    let pair = Pair::new().await;
    pair.a.store.fail_next(Fault::Lost);
    let answer = pair.ask("/switchover", &body).await;
    assert_eq!(answer.code, 503);
    assert!(answer.body.contains("may have been made all the same"), "{}", answer.body);

    let pair = Pair::new().await;
    pair.a.store.fail_next(Fault::Overtaken("failover"));
    let answer = pair.ask("/switchover", &body).await;
    check(&answer, 409, "somebody else changed the failover key at the same moment: try again");
}

#[tokio::test]
async fn a_request_that_nobody_deals_with_has_an_unknown_end() {
    let pair = Pair::new().await;
    let body = json!({"leader": "a"});
    // From then on only the bound is waited for.
    let answer = pair.ask_while("/switchover", &body, |_| tokio::time::pause());
    let text = "Switchover status unknown: nothing was decided within 20s";
    check(&answer.await, 503, text);
}

#[tokio::test]
async fn a_seat_that_was_only_offered_is_not_a_handover() {
    let pair = Pair::new().await;
    let body = json!({"leader": "a"});
    let answer = pair.ask_while("/switchover", &body, |_| {
        pair.baton("b", 8, BatonState::Offered);
        pair.member("b", Role::Primary, None);
        tokio::time::pause();
    });
    let text = "Switchover status unknown: nothing was decided within 20s";
    check(&answer.await, 503, text);
}

#[tokio::test]
async fn a_seat_that_was_taken_counts_at_the_end_of_the_wait() {
    let pair = Pair::new().await;
    let body = json!({"leader": "a"});
    let answer = pair.ask_while("/switchover", &body, |_| {
        pair.baton("b", 8, BatonState::Held);
        tokio::time::pause();
    });
    check(&answer.await, 200, "Successfully switched over to \"b\"");
}
