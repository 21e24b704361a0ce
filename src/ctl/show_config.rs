//! `show-config`: the dynamic configuration, as it is in the store.

use clap::Args;

use super::session::Session;
use super::{terminal, yaml_text};

/// The arguments of `show-config`.
#[derive(Debug, Args)]
pub struct ShowConfigArgs {
    /// Name of the cluster; else the `scope` of the configuration.
    pub cluster_name: Option<String>,
}

pub(super) async fn run(session: &Session, args: ShowConfigArgs) -> anyhow::Result<()> {
    let scope = session.scope(args.cluster_name.as_deref())?;
    let cluster = session.store(&scope)?.read().await?;
    match cluster.config {
        Some(config) => terminal::print(&format!("{}\n", yaml_text::block(&config.value))),
        None => Ok(()),
    }
}
