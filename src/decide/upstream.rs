//! Where a standby is to get its log from.

use crate::cluster::{MemberState, Role, Upstream};

use super::view::View;

/// The leader as an upstream; `None` while it has not published where its server is.
pub fn of_leader(view: &View) -> Option<Upstream> {
    let cluster = view.cluster.as_ref()?;
    let holder = &cluster.baton.as_ref()?.value.holder;
    let url = cluster.members.get(holder)?.conn_url.as_deref()?;
    let (host, port) = host_and_port(url)?;
    let slot = view.settings.use_slots.then(|| view.me.name.slot_name());
    Some(Upstream { name: holder.clone(), host, port, slot })
}

/// Whether a leader says that it runs as a primary, and is not this node itself.
pub fn serves(view: &View, leader: &Upstream) -> bool {
    let runs =
        view.cluster().members.get(&leader.name).is_some_and(|member| {
            member.state == MemberState::Running && member.role == Role::Primary
        });
    runs && leader.name != view.me.name
}

/// `host:port`, as a standby's facts name its upstream.
pub fn address(upstream: &Upstream) -> String {
    format!("{}:{}", upstream.host, upstream.port)
}

/// The host and port of a `postgres://host:port/database` URL; brackets of an IPv6 host are dropped.
pub fn host_and_port(url: &str) -> Option<(String, u16)> {
    let rest = url.split_once("://")?.1;
    let authority = rest.split(['/', '?']).next()?;
    let authority = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, 5432),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_url_gives_host_and_port() {
        for (url, expected) in [
            ("postgres://10.1.0.7:5433/postgres", Some(("10.1.0.7", 5433))),
            ("postgres://db-a/postgres", Some(("db-a", 5432))),
            ("postgres://[::1]:5434/postgres", Some(("::1", 5434))),
            ("postgres://[::1]/postgres", Some(("::1", 5432))),
            ("postgres://:5432/", None),
            ("nonsense", None),
            ("postgres://a:notaport/", None),
        ] {
            let expected = expected.map(|(host, port)| (host.to_owned(), port));
            assert_eq!(host_and_port(url), expected, "{url}");
        }
    }
}
