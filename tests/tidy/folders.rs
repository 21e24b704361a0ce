//! Which folder may know which. The arrows of the map in `docs/ARCHITECTURE.md`.

use super::source::{Finding, Named, Source};
use super::{holds_everywhere, lets_pass, sees};

/// The crate's folders that a folder may use; itself is understood. What is not listed is wiring
/// (`main`, `lib`, `cli`, `daemon`, `agent`), which may use everything.
const MAY_USE: &[(&str, &[&str])] = &[
    ("values", &[]),
    ("mutants", &[]),
    ("cluster", &["values"]),
    ("config", &["values"]),
    ("decide", &["values", "cluster", "config", "mutants"]),
    ("wake", &["values", "cluster", "config"]),
    ("dcs", &["values", "cluster", "config", "mutants"]),
    ("postgres", &["values", "cluster", "config", "mutants", "fence"]),
    (
        // `publish` for its counters alone.
        "observe",
        &["values", "cluster", "config", "decide", "dcs", "postgres", "publish", "mutants"],
    ),
    (
        "act",
        &[
            "values", "cluster", "config", "decide", "dcs", "postgres", "observe", "publish",
            "wake", "mutants",
        ],
    ),
    ("publish", &["values", "cluster", "config", "decide", "postgres", "wake"]),
    ("fence", &["values", "mutants"]),
    (
        // `observe` for the port to the peers, which its client is.
        "api",
        &["values", "cluster", "config", "decide", "dcs", "postgres", "observe", "publish", "wake"],
    ),
    // `api` for its client alone.
    ("ctl", &["values", "cluster", "config", "dcs", "api"]),
    ("demo", &["values", "config"]),
    // A client like any other: it knows nothing of agents.
    ("traffic", &[]),
    // `api` for its client alone, `demo` for what a demo has written down.
    ("drill", &["config", "api", "demo", "traffic"]),
];

/// What the outside world looks like to those who must not know it exists.
const OUTSIDE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::io",
    "std::process",
    "std::env",
    "std::thread",
    "std::os",
    "tokio",
    "nix",
    "libc",
    "etcd_client",
    "tokio_postgres",
    "hyper",
    "axum",
    "rand",
];

/// The real store and the real server: a probe is answered from the status, and what is asked for goes
/// through the ports.
const NOT_FOR_THE_API: &[&str] = &[
    "crate::dcs::etcd",
    "crate::dcs::EtcdStore",
    "crate::dcs::Etcd",
    "crate::postgres::server",
    "crate::postgres::Server",
    "crate::postgres::LocalServer",
    "crate::postgres::local",
    "etcd_client",
    "tokio_postgres",
];

fn arrows(source: &Source) -> Vec<Finding> {
    let Some(folder) = source.folder().filter(|_| !source.is_test()) else { return Vec::new() };
    let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == folder) else {
        return Vec::new();
    };
    let beyond = |named: &Named| {
        let used = named.parts.get(1).filter(|_| named.parts[0] == "crate")?.clone();
        let is_folder = MAY_USE.iter().any(|(name, _)| *name == used);
        let is_wiring = ["agent", "daemon", "cli"].contains(&used.as_str());
        let is_allowed = used == folder || allowed.contains(&used.as_str());
        ((is_folder || is_wiring) && !is_allowed).then_some(used)
    };
    let named = source.named();
    let findings = named.iter().filter_map(|named| {
        let used = beyond(named)?;
        Some(source.finding(named.line, format!("`{folder}` may not use `{used}`")))
    });
    findings.collect()
}

fn no_outside_world(source: &Source) -> Vec<Finding> {
    let inner = ["values", "cluster", "decide", "wake"];
    if source.is_test() || !source.folder().is_some_and(|folder| inner.contains(&folder)) {
        return Vec::new();
    }
    // A wake is carried by a channel, which is all that `wake` may know of the runtime.
    let channels_only = source.folder() == Some("wake");
    let named = source.named();
    let outside = named.iter().filter(|named| {
        OUTSIDE.iter().any(|outside| named.is_below(outside))
            && !(channels_only && named.is_below("tokio::sync"))
    });
    outside
        .map(|named| {
            source.finding(named.line, format!("knows the outside: {}", named.parts.join("::")))
        })
        .collect()
}

fn probes_ask_nobody(source: &Source) -> Vec<Finding> {
    if source.folder() != Some("api") || source.is_test() {
        return Vec::new();
    }
    let named = source.named();
    let direct = named.iter().filter(|named| NOT_FOR_THE_API.iter().any(|it| named.is_below(it)));
    direct
        .map(|named| {
            let what = named.parts.join("::");
            source.finding(named.line, format!("the API answers from the status, not from {what}"))
        })
        .collect()
}

fn anyhow_only_at_the_edges(source: &Source) -> Vec<Finding> {
    let edges = ["main", "daemon", "ctl", "demo", "drill"];
    if source.is_test() || source.folder().is_some_and(|folder| edges.contains(&folder)) {
        return Vec::new();
    }
    let named = source.named();
    let used = named.iter().filter(|named| named.is_below("anyhow"));
    used.map(|named| source.finding(named.line, "`anyhow` is for the edges: use the port's error"))
        .collect()
}

/// Txns are built in one file, where only a member's own keys are written without a condition.
fn no_unconditional_write(source: &Source) -> Vec<Finding> {
    if source.is_test() {
        return Vec::new();
    }
    let mut literals = Literals { function: String::new(), found: Vec::new() };
    syn::visit::visit_file(&mut literals, &source.shipped);
    let in_its_place = source.path == "src/dcs/txns.rs";
    literals
        .found
        .iter()
        .filter(|(_, function, is_empty)| {
            !in_its_place || (*is_empty && !function.starts_with("own_"))
        })
        .map(|(line, function, _)| {
            let what = format!("`{function}` makes a transaction outside the guarded ones");
            source.finding(*line, what)
        })
        .collect()
}

struct Literals {
    function: String,
    /// Line, function, and whether it has no compares.
    found: Vec<(usize, String, bool)>,
}

impl<'ast> syn::visit::Visit<'ast> for Literals {
    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        self.function = signature.ident.to_string();
    }

    fn visit_expr_struct(&mut self, literal: &'ast syn::ExprStruct) {
        if let Some(last) = literal.path.segments.last().filter(|last| last.ident == "Txn") {
            let compares = literal.fields.iter().find(
                |field| matches!(&field.member, syn::Member::Named(name) if name == "compares"),
            );
            let is_empty = compares.is_none_or(|field| is_empty_list(&field.expr));
            self.found.push((last.ident.span().start().line, self.function.clone(), is_empty));
        }
        syn::visit::visit_expr_struct(self, literal);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let syn::Expr::Path(path) = &*call.func {
            let parts: Vec<String> =
                path.path.segments.iter().map(|part| part.ident.to_string()).collect();
            if parts == ["Txn", "default"] {
                let line = path.path.segments[0].ident.span().start().line;
                self.found.push((line, self.function.clone(), true));
            }
        }
        syn::visit::visit_expr_call(self, call);
    }
}

fn is_empty_list(value: &syn::Expr) -> bool {
    match value {
        syn::Expr::Call(call) => call.args.is_empty(),
        syn::Expr::Macro(list) => list.mac.tokens.is_empty(),
        _ => false,
    }
}

#[test]
fn imports_follow_the_arrows() {
    sees(arrows, "src/values/lsn.rs", "use crate::cluster::Baton;");
    sees(arrows, "src/decide/gates.rs", "fn f() { let a = crate::dcs::keys::LEADER; }");
    sees(arrows, "src/cluster/mod.rs", "use super::{values::Lsn, decide};");
    sees(arrows, "src/decide/x.rs", "fn f() { println!(\"{}\", crate::publish::Status::x()); }");
    lets_pass(arrows, "src/decide/x.rs", "use crate::values::Lsn; use super::view::View;");
    lets_pass(arrows, "src/values/x.rs", "#[cfg(test)] mod tests { use crate::config::Tags; }");
    holds_everywhere(arrows);
}

#[test]
fn facts_and_decisions_know_no_outside_world() {
    sees(no_outside_world, "src/values/lsn.rs", "use std::{fmt, fs};");
    sees(no_outside_world, "src/decide/x.rs", "fn f() { std::net::TcpStream::connect(1); }");
    sees(no_outside_world, "src/wake.rs", "use tokio::time::sleep;");
    lets_pass(no_outside_world, "src/wake.rs", "use tokio::sync::mpsc;");
    lets_pass(no_outside_world, "src/dcs/etcd/mod.rs", "use std::fs;");
    holds_everywhere(no_outside_world);
}

#[test]
fn no_probe_asks_the_store_or_the_server() {
    sees(probes_ask_nobody, "src/api/router.rs", "use crate::dcs::EtcdStore;");
    lets_pass(probes_ask_nobody, "src/api/router.rs", "use crate::dcs::Store;");
    holds_everywhere(probes_ask_nobody);
}

#[test]
fn errors_have_a_type_but_at_the_edges() {
    sees(anyhow_only_at_the_edges, "src/dcs/x.rs", "use anyhow::Result;");
    lets_pass(anyhow_only_at_the_edges, "src/ctl/list.rs", "use anyhow::Result;");
    holds_everywhere(anyhow_only_at_the_edges);
}

#[test]
fn no_write_is_unconditional_but_to_the_members_own_keys() {
    let elsewhere = "fn f() { let txn = Txn { compares: vec![a], ops }; }";
    sees(no_unconditional_write, "src/act/lease.rs", elsewhere);
    sees(no_unconditional_write, "src/act/lease.rs", "fn f() { Txn::default(); }");
    let bare = "pub fn taken() -> Txn { Txn { compares: Vec::new(), ops } }";
    sees(no_unconditional_write, "src/dcs/txns.rs", bare);
    let own = "pub fn own_member() -> Txn { Txn { compares: Vec::new(), ops } }";
    lets_pass(no_unconditional_write, "src/dcs/txns.rs", own);
    lets_pass(no_unconditional_write, "src/dcs/txns.rs", elsewhere);
    holds_everywhere(no_unconditional_write);
}
