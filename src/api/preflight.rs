//! What can be said of a switchover or failover before anything is written: whether the request makes
//! sense, and who could take over.

use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::body;
use super::reply::Refused;
use super::shown::is_same_name;
use crate::cluster::{BatonState, Cluster, Member, Request};
use crate::config::{Dynamic, Floors, SynchronousMode};
use crate::values::{MemberName, Term};

/// Which of the two is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A leader that is there hands over.
    Switchover,
    /// Somebody takes over, whether or not there is a leader.
    Failover,
}

impl Action {
    /// Its name, at the start of a sentence.
    pub const fn noun(self) -> &'static str {
        match self {
            Action::Switchover => "Switchover",
            Action::Failover => "Failover",
        }
    }

    /// What was done, before "over".
    pub const fn past_tense(self) -> &'static str {
        match self {
            Action::Switchover => "switched",
            Action::Failover => "failed",
        }
    }
}

/// Reads the body. A failover that names the leader is a switchover from then on.
///
/// # Errors
/// With 400, naming what is wrong; with 501 for a scheduled one.
pub fn read(action: Action, fields: &Map<String, Value>) -> Result<(Action, Request), Refused> {
    body::only(fields, &["leader", "candidate", "member", "scheduled_at", "accept_loss", "term"])?;
    let leader = body::text(fields, "leader")?;
    let (candidate, member) = (body::text(fields, "candidate")?, body::text(fields, "member")?);
    if candidate.is_some() && member.is_some() && candidate != member {
        return Err(body::bad("candidate and member name two nodes: give one of them"));
    }
    let candidate = candidate.or(member);
    match action {
        Action::Switchover if leader.is_none() => {
            return Err(body::bad(
                "leader: a switchover must name the leader that is to step down",
            ));
        }
        Action::Failover if candidate.is_none() => {
            return Err(body::bad("candidate: a failover must name who is to take over"));
        }
        Action::Switchover | Action::Failover => {}
    }
    if body::text(fields, "scheduled_at")?.is_some() {
        return Err(match action {
            Action::Failover => body::bad("scheduled_at: a failover cannot be scheduled"),
            Action::Switchover => {
                let why = "scheduled_at: scheduled switchovers are not built yet; \
                           ask again without it when it is time";
                Refused::new(StatusCode::NOT_IMPLEMENTED, why)
            }
        });
    }
    if leader.is_some() && leader == candidate {
        return Err(body::bad("leader and candidate are the same: name another candidate"));
    }
    let action = if leader.is_some() { Action::Switchover } else { Action::Failover };
    let accepts_loss = body::flag(fields, "accept_loss")?;
    if accepts_loss && action == Action::Switchover {
        return Err(body::bad("accept_loss: a switchover loses nothing; it is for a failover"));
    }
    let (leader, candidate) = (leader.map(MemberName::from), candidate.map(MemberName::from));
    Ok((action, Request { leader, candidate, scheduled_at: None, accepts_loss }))
}

/// The term that whoever asks was shown, if the body tells.
///
/// # Errors
/// With 400, when it is no whole number.
pub fn shown_term(fields: &Map<String, Value>) -> Result<Option<Term>, Refused> {
    match fields.get("term") {
        None | Some(Value::Null) => Ok(None),
        Some(term) => match term.as_u64() {
            Some(term) => Ok(Some(Term(term))),
            None => Err(body::bad("term: expected the whole number of the baton's term")),
        },
    }
}

/// The members of which at least one must be fit.
///
/// # Errors
/// 400 for a name that is no member's, 409 while another request is pending, 412 where the cluster is
/// not as the request takes it to be.
pub fn candidates<'a>(
    action: Action,
    request: &Request,
    cluster: &'a Cluster,
) -> Result<Vec<&'a Member>, Refused> {
    let config = cluster.config.as_ref().map(|config| &config.value);
    let dynamic = config.and_then(|config| Dynamic::from_document(config, Floors::Own).ok());
    let dynamic = dynamic.map(|(dynamic, _)| dynamic).unwrap_or_default();
    if dynamic.pause && request.candidate.is_none() {
        return Err(body::bad("candidate: the cluster is paused, so one must be named"));
    }
    names_are_known(request, cluster)?;
    nothing_is_pending(request, cluster)?;
    if let Some(leader) = cluster.present_leader().filter(|_| request.accepts_loss) {
        let why = "a failover loses nothing then; ask without accept_loss, or again when its agent is gone";
        return Err(precondition(format!("{leader} leads, as far as the store tells: {why}")));
    }
    // A holder that is gone is as good a candidate as any, where a person says that it is.
    let holder = match request.accepts_loss {
        true => None,
        false => holder(cluster),
    };
    if let Some(leader) = &request.leader
        && holder.as_ref() != Some(leader)
    {
        let who = holder.map_or("nobody leads".to_owned(), |holder| format!("{holder} does"));
        return Err(precondition(format!("{leader} does not lead the cluster: {who}")));
    }
    if request.candidate.is_some() && request.candidate == holder {
        let candidate = holder.as_ref().map_or("", MemberName::as_str);
        return Err(precondition(format!("{candidate} leads the cluster already")));
    }
    let must_be_listed = dynamic.synchronous_mode == SynchronousMode::On
        && (action == Action::Switchover || request.candidate.is_none());
    let may = |member: &&Member| !must_be_listed || is_listed(member, cluster);
    let others = cluster.each_member().filter(|one| Some(&one.name) != holder.as_ref());
    let found: Vec<&Member> = match &request.candidate {
        Some(name) => others.filter(|one| one.name == *name).filter(may).collect(),
        None => others.filter(|one| one.api_url.is_some()).filter(may).collect(),
    };
    if found.is_empty() {
        return Err(precondition(match &request.candidate {
            Some(name) if must_be_listed => format!("{name} is not a synchronous standby"),
            Some(name) => format!("{name} is not there: its agent does not run"),
            None if must_be_listed => "there is no synchronous standby".to_owned(),
            None => "there is no other member that could take over".to_owned(),
        }));
    }
    Ok(found)
}

fn names_are_known(request: &Request, cluster: &Cluster) -> Result<(), Refused> {
    let holder = holder(cluster);
    for (field, name) in [("leader", &request.leader), ("candidate", &request.candidate)] {
        if let Some(name) = name
            && !cluster.members.contains_key(name)
            && holder.as_ref() != Some(name)
        {
            let members: Vec<&str> = cluster.members.keys().map(MemberName::as_str).collect();
            let known = if members.is_empty() { "none".to_owned() } else { members.join(", ") };
            let why = format!("{field}: {name} is no member of this cluster; its members: {known}");
            return Err(body::bad(why));
        }
    }
    Ok(())
}

fn nothing_is_pending(request: &Request, cluster: &Cluster) -> Result<(), Refused> {
    let Some(pending) = cluster.pending_request() else { return Ok(()) };
    // While nobody leads there is nobody to refuse what cannot be done, and it stays.
    let is_due = pending.scheduled_at.is_none();
    if request.accepts_loss && is_due && cluster.present_leader().is_none() {
        return Ok(());
    }
    let from = pending.leader.as_ref().map_or(String::new(), |leader| format!(" from {leader}"));
    let to = pending.candidate.as_ref().map_or(String::new(), |name| format!(" to {name}"));
    let kind = if pending.is_switchover() { "switchover" } else { "failover" };
    let why = match &pending.scheduled_at {
        Some(at) => format!(
            "a {kind}{from}{to} is scheduled for {at}: withdraw it first (DELETE /switchover)"
        ),
        None => format!("a {kind}{from}{to} is under way: wait for its outcome"),
    };
    Err(Refused::new(StatusCode::CONFLICT, why))
}

fn is_listed(member: &Member, cluster: &Cluster) -> bool {
    cluster.sync.as_ref().is_some_and(|sync| {
        let names = &sync.value.standbys;
        sync.value.leader.is_some() && names.iter().any(|name| is_same_name(name, &member.name))
    })
}

/// Who leads: the baton's holder, else (in a cluster of Patroni's agents) who the `leader` key names.
pub fn holder(cluster: &Cluster) -> Option<MemberName> {
    match &cluster.baton {
        Some(baton) if baton.value.state == BatonState::Released => None,
        Some(baton) => Some(baton.value.holder.clone()),
        None => cluster.leader.as_ref().map(|leader| leader.value.clone()),
    }
}

/// A refusal because the cluster is not as it would have to be.
pub fn precondition(why: impl Into<String>) -> Refused {
    Refused::new(StatusCode::PRECONDITION_FAILED, why)
}
