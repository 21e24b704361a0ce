//! `pgbaton check`: everything that is wrong with a configuration, on this machine, and with the etcd
//! that it names. It changes nothing.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use crate::cli::CheckArgs;
use crate::config::{self, Finding, NodeConfig, Severity, check_host, check_ports};
use crate::ctl::etcd_options;
use crate::dcs::{EtcdStore, election_timeout_max};
use crate::values::LeaseTimes;

/// How long each member of etcd may take to answer.
const ETCD_BOUND: Duration = Duration::from_secs(2);
/// Parts of the names of keys whose values are nobody's business.
const SECRET: [&str; 4] = ["password", "passwd", "secret", "token"];

/// Prints the findings, one a line, and a summary. The exit code is 1 if any is an error.
pub fn run(args: &CheckArgs) -> ExitCode {
    let env = config::environment();
    let path = args.config.as_deref();
    let loaded = config::load(path, &env);
    let mut findings = loaded.findings;
    if let Some(node) = &loaded.config {
        findings.extend(check_host(node));
        if !args.ignore_listen_port {
            findings.extend(check_ports(node));
        }
        findings.extend(etcd_findings(node));
    }
    // What was merged may be wanted as a file, so the findings are not among it then.
    if args.print
        && let Some(mut merged) = config::merged(path, &env)
    {
        hide_secrets(&mut merged);
        let _ = std::io::stdout().write_all(crate::ctl::yaml_block(&merged).as_bytes());
    }
    let text = report(&findings);
    let _ = match args.print {
        true => std::io::stderr().write_all(text.as_bytes()),
        false => std::io::stdout().write_all(text.as_bytes()),
    };
    if findings.iter().any(Finding::is_error) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The findings, one a line, and the summary.
fn report(findings: &[Finding]) -> String {
    let mut text: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
    let errors = findings.iter().filter(|finding| finding.is_error()).count();
    let warnings = findings.len() - errors;
    let counted = |count: usize, word: &str| match count {
        0 => format!("no {word}s"),
        1 => format!("1 {word}"),
        _ => format!("{count} {word}s"),
    };
    let verdict = if errors > 0 { "cannot be used" } else { "can be used" };
    text.push_str(&format!(
        "{}, {}: the configuration {verdict}\n",
        counted(errors, "error"),
        counted(warnings, "warning")
    ));
    text
}

/// What etcd says of itself. That it cannot be reached from here and now is no error: the agent waits
/// for it.
fn etcd_findings(node: &NodeConfig) -> Vec<Finding> {
    let file = node.source.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let finding = |severity, message| Finding {
        severity,
        file: file.clone(),
        line: None,
        key: "etcd3".to_owned(),
        message,
    };
    let options = etcd_options(&node.etcd, node.key_prefix());
    let store = match EtcdStore::new(options) {
        Ok(store) => store,
        Err(error) => return vec![finding(Severity::Error, with_cause(&error))],
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return Vec::new() };
    let warning = |message| finding(Severity::Warning, message);
    runtime.block_on(async {
        match store.findings(ETCD_BOUND).await {
            Ok(found) => {
                let too_short = lease_is_too_short(node, &store).await;
                found.iter().map(ToString::to_string).chain(too_short).map(warning).collect()
            }
            Err(error) => vec![finding(Severity::Error, with_cause(&error))],
        }
    })
}

/// Whether a new cluster's `ttl` would be shorter than an election of etcd, by what it lets one see.
async fn lease_is_too_short(node: &NodeConfig, store: &EtcdStore) -> Option<String> {
    let ttl = node.bootstrap.as_ref()?.dcs.get("ttl")?.as_u64()?;
    let granted = store.probe_minimum_ttl(ETCD_BOUND).await.ok()?;
    let floor = LeaseTimes::floor(election_timeout_max(granted)).as_secs_f64().ceil();
    (Duration::from_secs(ttl).as_secs_f64() < floor).then(|| {
        format!(
            "etcd's election may take up to {:.1} s: a ttl of {ttl} s can end within one; \
             use {floor} or more, or a shorter election timeout",
            election_timeout_max(granted).as_secs_f64()
        )
    })
}

fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn hide_secrets(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                let name = key.to_lowercase();
                if SECRET.iter().any(|secret| name.contains(secret)) && !value.is_object() {
                    *value = "(hidden)".into();
                } else {
                    hide_secrets(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide_secrets),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_summary_counts_and_judges() {
        let finding = |severity| Finding {
            severity,
            file: "node.yml".to_owned(),
            line: Some(3),
            key: "ttl".to_owned(),
            message: "is odd".to_owned(),
        };
        let text = report(&[finding(Severity::Error), finding(Severity::Warning)]);
        let expected = "node.yml:3: error: ttl: is odd\nnode.yml:3: warning: ttl: is odd\n\
                        1 error, 1 warning: the configuration cannot be used\n";
        assert_eq!(text, expected);
        assert_eq!(report(&[]), "no errors, no warnings: the configuration can be used\n");
    }

    #[test]
    fn no_secret_is_printed() {
        let mut value = json!({
            "etcd3": {"password": "hunter2", "host": "a"},
            "list": [{"TOKEN": "hunter2"}],
            "passwords": {"inner": {"sslpassword": "hunter2"}},
        });
        hide_secrets(&mut value);
        assert!(!value.to_string().contains("hunter2"), "{value}");
        assert_eq!(value["etcd3"]["host"], "a");
    }
}
