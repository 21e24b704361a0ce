//! `dsn`: host and port of one member, for `psql`.

use anyhow::bail;
use clap::Args;

use super::selection::{self, RoleArg};
use super::session::Session;
use super::{members, terminal};

const HELP: &str = "\
Examples:
  psql \"$(pgbaton ctl -c node.yml dsn) dbname=postgres\"
  pgbaton ctl -c node.yml dsn -r replica";

/// The arguments of `dsn`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct DsnArgs {
    /// Name of the cluster; else the `scope` of the configuration.
    pub cluster_name: Option<String>,
    /// The first member that plays this part; the leader where nothing is given.
    #[arg(short, long, value_enum)]
    pub role: Option<RoleArg>,
    /// The member of this name.
    #[arg(short, long, value_name = "NAME")]
    pub member: Option<String>,
}

pub(super) async fn run(session: &Session, args: DsnArgs) -> anyhow::Result<()> {
    if args.role.is_some() && args.member.is_some() {
        bail!("--role and --member are two ways to name one member: give one of them");
    }
    let scope = session.scope(args.cluster_name.as_deref())?;
    let cluster = session.store(&scope)?.read().await?;
    let (candidates, what) = match &args.member {
        Some(name) => {
            let member = cluster.member(&name.as_str().into());
            (member.into_iter().collect(), format!("member {name}"))
        }
        None => {
            let role = args.role.unwrap_or(RoleArg::Leader);
            (selection::of_role(&cluster, role), format!("{} member", role.word()))
        }
    };
    match candidates.into_iter().find_map(members::address_of) {
        Some((host, port)) => terminal::print(&format!("host={host} port={port}\n")),
        None => bail!("the cluster has no {what} with an address"),
    }
}
