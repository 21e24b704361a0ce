//! The conversation with whoever started the command: what is printed, what is asked, and the ways to
//! end without more words.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use jiff::Zoned;

/// An end that needs no further message.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    /// Nobody answers any more: end of input or Ctrl-C at a prompt.
    #[error("Aborted!")]
    Aborted,
    /// What was asked for was refused or failed, and the reason was printed.
    #[error("refused")]
    Refused,
}

/// Prints on standard output as it is.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())?;
    Ok(())
}

/// Clears the screen where there is one.
pub(super) fn clear() -> anyhow::Result<()> {
    if io::stdout().is_terminal() { print("\x1b[2J\x1b[H") } else { Ok(()) }
}

/// Whether people read what is printed.
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// The local time in a `strftime` format.
pub(super) fn local_time(format: &str) -> String {
    Zoned::now().strftime(format).to_string()
}

/// Asks for a text; an empty answer is the default, and asked for again where there is none.
pub(super) async fn ask(label: &str, default: Option<&str>) -> anyhow::Result<String> {
    loop {
        match default {
            Some(default) => print(&format!("{label} [{default}]: "))?,
            None => print(&format!("{label}: "))?,
        }
        let answer = read_line().await?;
        match (answer.as_str(), default) {
            ("", Some(default)) => return Ok(default.to_owned()),
            ("", None) => {}
            (answer, _) => return Ok(answer.to_owned()),
        }
    }
}

/// Asks a question to be answered with yes or no; an empty answer is no.
pub(super) async fn confirm(question: &str) -> anyhow::Result<bool> {
    loop {
        print(&format!("{question} [y/N]: "))?;
        match read_line().await?.to_lowercase().as_str() {
            "y" | "yes" => return Ok(true),
            "" | "n" | "no" => return Ok(false),
            _ => print("Error: expected y or n\n")?,
        }
    }
}

/// One line of standard input. Reading blocks, so a thread of its own does it.
async fn read_line() -> anyhow::Result<String> {
    let read = || {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|bytes| (bytes, line))
    };
    let read = tokio::task::spawn_blocking(read).await.context("reading standard input")?;
    let (bytes, line) = read.context("standard input cannot be read")?;
    if bytes == 0 {
        print("\n")?;
        return Err(End::Aborted.into());
    }
    Ok(line.trim().to_owned())
}
