//! Which members a command means: by role and by name.

use anyhow::bail;
use clap::ValueEnum;

use super::members::{self, MemberRow};
use crate::cluster::{Cluster, Member};

/// A part that a member plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleArg {
    /// Whoever holds the leader key.
    Leader,
    /// The leader of a cluster that is no standby cluster.
    Primary,
    /// The leader of a standby cluster.
    StandbyLeader,
    /// Everybody else.
    Replica,
    /// The same as replica.
    Standby,
    /// Everybody.
    Any,
}

impl RoleArg {
    fn fits(self, row: &MemberRow) -> bool {
        match self {
            RoleArg::Leader => row.is_leader(),
            RoleArg::Primary => row.role == "Leader",
            RoleArg::StandbyLeader => row.role == "Standby Leader",
            RoleArg::Replica | RoleArg::Standby => !row.is_leader(),
            RoleArg::Any => true,
        }
    }

    pub(super) fn word(self) -> String {
        self.to_possible_value().map(|one| one.get_name().to_owned()).unwrap_or_default()
    }
}

/// The members of a role, by name.
pub(super) fn of_role(cluster: &Cluster, role: RoleArg) -> Vec<&Member> {
    let rows = members::rows(cluster);
    let pairs = cluster.each_member().zip(&rows);
    pairs.filter(|(_, row)| role.fits(row)).map(|(member, _)| member).collect()
}

/// The members of a role that are among those named; nobody named means all. Unknown names are left
/// out as long as one is known.
pub(super) fn select<'a>(
    cluster: &'a Cluster,
    role: RoleArg,
    names: &[String],
) -> anyhow::Result<Vec<&'a Member>> {
    let mut selected = of_role(cluster, role);
    let kind = match role {
        RoleArg::Any => "member".to_owned(),
        _ => format!("{} member", role.word()),
    };
    if selected.is_empty() {
        bail!("the cluster has no {kind}");
    }
    if !names.is_empty() {
        selected.retain(|member| names.iter().any(|name| name == member.name.as_str()));
    }
    if selected.is_empty() {
        bail!("no {kind} is among {}", names.join(", "));
    }
    Ok(selected)
}
