//! `edit-config`: a change of the dynamic configuration, shown before it is made.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;

use super::session::Session;
use super::{editor, terminal, yaml_text};
use crate::config::{Dynamic, Floors, merge_patch, parse_yaml, set_path};
use crate::dcs::{codec, keys, txns};

const HELP: &str = "\
Without any of -s, -p, --apply and --replace, $EDITOR (else editor, else vi) is started on the
document. The change is shown as a diff and made once it was confirmed, unless somebody else was
quicker.

Examples:
  pgbaton ctl -c node.yml edit-config -s ttl=5 -s maximum_lag_on_failover=16777216
  pgbaton ctl -c node.yml edit-config -p work_mem=16MB -p log_statement=null
  pgbaton ctl -c node.yml edit-config --apply change.yml --force
  echo 'pause: null' | pgbaton ctl -c node.yml edit-config --apply - --force";

/// The arguments of `edit-config`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct EditConfigArgs {
    /// Name of the cluster; else the `scope` of the configuration.
    pub cluster_name: Option<String>,
    /// Print neither the diff nor that nothing changed.
    #[arg(short, long)]
    pub quiet: bool,
    /// Set a value, given as YAML; `null` removes the key. May be repeated.
    #[arg(short, long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Set a PostgreSQL parameter: the same as -s postgresql.parameters.NAME=VALUE.
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub pg: Vec<String>,
    /// Merge a YAML file into the document; `null` removes a key, `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub apply: Option<PathBuf>,
    /// Replace the whole document by a YAML file; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub replace: Option<PathBuf>,
    /// Ask nothing.
    #[arg(long)]
    pub force: bool,
}

pub(super) async fn run(session: &Session, args: EditConfigArgs) -> anyhow::Result<()> {
    let scope = session.scope(args.cluster_name.as_deref())?;
    let store = session.store(&scope)?;
    let Some(config) = store.read().await?.config else {
        bail!("cluster {scope} has no dynamic configuration yet: it is written at the bootstrap");
    };
    let before = yaml_text::block(&config.value);
    let changed = changed(&config.value, &args, &before).await?;
    let after = yaml_text::block(&changed);
    if before == after {
        return if args.quiet {
            Ok(())
        } else {
            terminal::print("The configuration was not changed\n")
        };
    }
    if !args.quiet {
        editor::page(&diff(&before, &after))?;
    }
    say_what_is_adjusted(&changed)?;
    if !args.force && !is_confirmed(&args).await? {
        return Ok(());
    }
    let reply = store
        .commit(txns::replaced(keys::CONFIG, config.revision, codec::config(&changed)))
        .await?;
    if !reply.succeeded {
        bail!("the configuration was changed by somebody else meanwhile: nothing was written");
    }
    terminal::print("Configuration changed\n")
}

/// The document after the changes that were asked for.
async fn changed(document: &Value, args: &EditConfigArgs, text: &str) -> anyhow::Result<Value> {
    let is_told = args.replace.is_some()
        || args.apply.is_some()
        || !args.set.is_empty()
        || !args.pg.is_empty();
    if !is_told {
        return mapping(&editor::edit(text).await?, "the edited text");
    }
    let mut document = document.clone();
    if let Some(file) = &args.replace {
        document = mapping(&read(file)?, &file.display().to_string())?;
    }
    if let Some(file) = &args.apply {
        merge_patch(&mut document, &mapping(&read(file)?, &file.display().to_string())?);
    }
    for (option, prefix, settings) in
        [("--set", "", &args.set), ("--pg", "postgresql.parameters.", &args.pg)]
    {
        for setting in settings {
            set(&mut document, prefix, setting).with_context(|| format!("{option} {setting}"))?;
        }
    }
    Ok(document)
}

fn set(document: &mut Value, prefix: &str, setting: &str) -> anyhow::Result<()> {
    let Some((path, value)) = setting.split_once('=') else {
        bail!("expected NAME=VALUE");
    };
    let value = parse_yaml(value).map_err(anyhow::Error::msg).context("the value is no YAML")?;
    Ok(set_path(document, &format!("{prefix}{}", path.trim()), value)?)
}

/// The mapping that a YAML text is.
fn mapping(text: &str, what: &str) -> anyhow::Result<Value> {
    let value = parse_yaml(text)
        .map_err(anyhow::Error::msg)
        .with_context(|| format!("{what} is no YAML"))?;
    match value {
        Value::Object(_) => Ok(value),
        _ => bail!("{what} is not a mapping of keys to values"),
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        return std::io::read_to_string(std::io::stdin()).context("standard input");
    }
    std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))
}

/// A unified diff with three lines around each change and headers without names.
fn diff(before: &str, after: &str) -> String {
    let diff = similar::TextDiff::from_lines(before, after);
    diff.unified_diff().context_radius(3).header("", "").to_string()
}

/// What agents will not take as it is written is said before it is written.
fn say_what_is_adjusted(document: &Value) -> anyhow::Result<()> {
    let (_, adjustments) = Dynamic::from_document(document, Floors::Own)
        .context("the agents would refuse this document")?;
    adjustments.iter().for_each(|adjustment| eprintln!("Warning: {adjustment}"));
    Ok(())
}

async fn is_confirmed(args: &EditConfigArgs) -> anyhow::Result<bool> {
    let is_stdin = |file: &Option<PathBuf>| file.as_deref() == Some(Path::new("-"));
    if is_stdin(&args.apply) || is_stdin(&args.replace) {
        let message = "Nothing was changed: use --force, as standard input cannot answer\n";
        terminal::print(message)?;
        return Ok(false);
    }
    terminal::confirm("Apply these changes?").await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_diff_has_headers_without_names() {
        let before = json!({"loop_wait": 10, "postgresql": {"use_pg_rewind": true}, "ttl": 30});
        let mut after = before.clone();
        set(&mut after, "", "loop_wait=5").unwrap();
        set(&mut after, "postgresql.parameters.", "work_mem=16MB").unwrap();
        let expected = "\
--- 
+++ 
@@ -1,4 +1,6 @@
-loop_wait: 10
+loop_wait: 5
 postgresql:
+  parameters:
+    work_mem: 16MB
   use_pg_rewind: true
 ttl: 30
";
        assert_eq!(diff(&yaml_text::block(&before), &yaml_text::block(&after)), expected);
    }

    #[test]
    fn a_setting_is_a_path_and_a_yaml_value() {
        let mut document = json!({"a": {"b": 1}});
        set(&mut document, "", "a.b=null").unwrap();
        set(&mut document, "", "c=on").unwrap();
        set(&mut document, "", "d=[1, x]").unwrap();
        set(&mut document, "postgresql.parameters.", "pg_stat.x=a=b").unwrap();
        let expected = json!({
            "c": true, "d": [1, "x"], "postgresql": {"parameters": {"pg_stat.x": "a=b"}}
        });
        assert_eq!(document, expected);
        for wrong in ["a", "=1", "a..b=1", "c.d=1", "a=[1"] {
            assert!(set(&mut document, "", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_a_mapping_is_a_document() {
        for text in ["", "- a", "a", "a: b: c"] {
            assert!(mapping(text, "it").is_err(), "{text}");
        }
    }
}
