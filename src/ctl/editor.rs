//! Other programs on the terminal: an editor for a text, a pager for a long one.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};

use super::terminal;

/// Whether another program has the terminal: then Ctrl-C is its own business.
static IS_AWAY: AtomicBool = AtomicBool::new(false);

pub(super) fn is_away() -> bool {
    IS_AWAY.load(Ordering::Relaxed)
}

/// Lets people edit a text, and returns what they made of it.
pub(super) async fn edit(text: &str) -> anyhow::Result<String> {
    let mut file = tempfile::Builder::new().prefix("pgbaton-").suffix(".yaml").tempfile()?;
    file.write_all(text.as_bytes())?;
    let path = file.path().to_owned();
    let edited = tokio::task::spawn_blocking(move || run_editor(&path)).await?;
    edited?;
    std::fs::read_to_string(file.path()).context("the edited text cannot be read")
}

fn run_editor(path: &Path) -> anyhow::Result<()> {
    let named = std::env::var("EDITOR").ok().filter(|editor| !editor.trim().is_empty());
    let candidates = named.map_or_else(|| vec!["editor".into(), "vi".into()], |named| vec![named]);
    for candidate in &candidates {
        let Some(mut command) = command_of(candidate)? else { continue };
        IS_AWAY.store(true, Ordering::Relaxed);
        let status = command.arg(path).status();
        IS_AWAY.store(false, Ordering::Relaxed);
        match status {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => bail!("{candidate} failed ({status}): nothing was changed"),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("{candidate} cannot be run")),
        }
    }
    bail!("no editor is there ({}): set EDITOR", candidates.join(", "))
}

/// Prints a text, through a pager where people read it and there is one.
pub(super) fn page(text: &str) -> anyhow::Result<()> {
    if terminal::is_terminal() {
        let named = std::env::var("PAGER").ok().filter(|pager| !pager.trim().is_empty());
        for candidate in [named.as_deref().unwrap_or("less -FRX"), "more"] {
            let Some(mut command) = command_of(candidate)? else { continue };
            let Ok(mut pager) = command.stdin(Stdio::piped()).spawn() else { continue };
            IS_AWAY.store(true, Ordering::Relaxed);
            // A pager that was left early does not want the rest.
            let _ = pager.stdin.take().map(|mut input| input.write_all(text.as_bytes()));
            let ended = pager.wait();
            IS_AWAY.store(false, Ordering::Relaxed);
            if ended.is_ok_and(|status| status.success()) {
                return Ok(());
            }
        }
    }
    terminal::print(text)
}

/// The command that a text such as `less -R` is.
fn command_of(text: &str) -> anyhow::Result<Option<Command>> {
    let words = shell_words::split(text).with_context(|| format!("{text} is no command"))?;
    let Some((program, arguments)) = words.split_first() else { return Ok(None) };
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(Some(command))
}
