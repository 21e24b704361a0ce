//! Taking the baton again in a store that was emptied under the running primary.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::context::Context;
use super::effects::EffectError;
use super::lease::LeaseError;
use super::ports::Ports;
use crate::cluster::{FailsafeAsk, Listed, NotAccepted};
use crate::observe::{Peer, Peers};
use crate::values::Term;

/// Asks every member that can be reached whether it knows of a later leader; if none does, the baton of
/// the new term is taken. What else is missing is then written back like anything that is missing.
pub async fn refound<P: Ports>(
    context: &Context<P>,
    term: Term,
    members: &Listed,
) -> Result<(), EffectError> {
    let me = context.me();
    let held = context.lease_sight.borrow().held.ok_or(LeaseError::NotHeld)?;
    let times = context.settings().times;
    let ask = FailsafeAsk {
        name: me.name.clone(),
        conn_url: String::from("-"),
        api_url: members.get(&me.name).cloned().unwrap_or_else(|| String::from("-")),
        lease: Some((held.term, me.incarnation)),
        ttl: times.ttl,
    };
    let others = members.iter().filter(|(name, _)| **name != me.name);
    let mut questions: FuturesUnordered<_> = others
        .map(|(name, api_url)| {
            let peer = Peer { name: name.clone(), api_url: api_url.clone() };
            let ask = &ask;
            async move {
                let answer = context.peers.failsafe(&peer, ask, times.one_try / 2).await;
                (peer.name, answer)
            }
        })
        .collect();
    while let Some((name, answer)) = questions.next().await {
        match answer {
            Ok(Ok(()) | Err(NotAccepted::SwitchedOff)) => {}
            Ok(Err(NotAccepted::Leads)) => return Err(objection(&name.to_string(), "it leads")),
            Ok(Err(NotAccepted::MustNot(why))) => return Err(objection(&name.to_string(), &why)),
            // Who cannot be reached is not asked.
            Err(error) => tracing::info!(error = &error as &dyn std::error::Error, "no objection"),
        }
    }
    let commits_wait = context.settings().dynamic.manages_synchronous_standbys();
    Ok(context.lease.refound(term, commits_wait).await.map(drop)?)
}

fn objection(name: &str, why: &str) -> EffectError {
    EffectError::Refused(format!("{name} knows better: {why}; a person has to look"))
}
