//! What makes `decide` a function: no waiting, no clock, no log, no arm that swallows a new state.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::source::{Finding, Source};
use super::{holds_everywhere, lets_pass, sees};

/// Names that `decide` has no use for, wherever they stand in a path.
const IMPURE: &[&str] = &[
    "Instant",
    "SystemTime",
    "Timestamp",
    "Zoned",
    "tokio",
    "tracing",
    "println",
    "print",
    "eprintln",
    "eprint",
    "dbg",
    "thread_rng",
    "Mutex",
    "RwLock",
    "OnceLock",
    "Cell",
    "RefCell",
];

fn decides_purely(source: &Source) -> Vec<Finding> {
    if source.folder() != Some("decide") || source.is_test() {
        return Vec::new();
    }
    let named = source.named();
    let mut findings: Vec<Finding> = named
        .iter()
        .filter(|named| named.parts.iter().any(|part| IMPURE.contains(&part.as_str())))
        .map(|named| source.finding(named.line, format!("`{}`", named.parts.join("::"))))
        .collect();
    let mut waits = Waits(Vec::new());
    waits.visit_file(&source.shipped);
    findings.extend(waits.0.iter().map(|line| source.finding(*line, "a decision does not wait")));
    findings
}

struct Waits(Vec<usize>);

impl<'ast> Visit<'ast> for Waits {
    fn visit_expr_await(&mut self, wait: &'ast syn::ExprAwait) {
        self.0.push(wait.await_token.span.start().line);
        visit::visit_expr_await(self, wait);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if let Some(asynchronous) = &signature.asyncness {
            self.0.push(asynchronous.span.start().line);
        }
    }

    fn visit_expr_async(&mut self, block: &'ast syn::ExprAsync) {
        self.0.push(block.async_token.span.start().line);
    }
}

/// A new state must not compile until every row of the table has an answer.
fn every_row_is_spelled_out(source: &Source) -> Vec<Finding> {
    if source.path != "src/decide/mod.rs" {
        return Vec::new();
    }
    let mut arms = CatchAll(Vec::new());
    arms.visit_file(&source.shipped);
    arms.0.iter().map(|line| source.finding(*line, "an arm that takes everything")).collect()
}

struct CatchAll(Vec<usize>);

fn takes_everything(pattern: &syn::Pat) -> bool {
    match pattern {
        syn::Pat::Wild(_) => true,
        syn::Pat::Ident(name) => {
            let is_binding =
                name.ident.to_string().chars().next().is_some_and(|first| !first.is_uppercase());
            name.subpat.is_none() && is_binding
        }
        syn::Pat::Tuple(tuple) => tuple.elems.iter().any(takes_everything),
        syn::Pat::Or(either) => either.cases.iter().any(takes_everything),
        syn::Pat::Paren(inner) => takes_everything(&inner.pat),
        syn::Pat::Reference(inner) => takes_everything(&inner.pat),
        _ => false,
    }
}

impl<'ast> Visit<'ast> for CatchAll {
    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if takes_everything(&arm.pat) {
            self.0.push(arm.pat.span().start().line);
        }
        visit::visit_arm(self, arm);
    }
}

#[test]
fn decide_is_pure() {
    sees(decides_purely, "src/decide/x.rs", "async fn f() {}");
    sees(decides_purely, "src/decide/x.rs", "fn f() { let now = std::time::Instant::now(); }");
    sees(decides_purely, "src/decide/x.rs", "fn f() { tracing::info!(\"x\"); }");
    sees(decides_purely, "src/decide/x.rs", "fn f() { if true { println!(\"x\") } }");
    lets_pass(decides_purely, "src/decide/x.rs", "use std::time::Duration;");
    holds_everywhere(decides_purely);
}

#[test]
fn the_table_has_no_arm_for_the_rest() {
    let path = "src/decide/mod.rs";
    sees(every_row_is_spelled_out, path, "fn f(a: A) { match a { A::X => 1, _ => 2 } }");
    sees(every_row_is_spelled_out, path, "fn f(a: A) { match (a, b) { (A::X, _) => 1 } }");
    sees(every_row_is_spelled_out, path, "fn f(a: A) { match a { A::X => 1, rest => 2 } }");
    let spelled = "fn f(a: A) { match a { A::X(_) | A::Y { .. } => 1, A::Z(facts) => 2 } }";
    lets_pass(every_row_is_spelled_out, path, spelled);
    assert!(Source::all().iter().any(|source| source.path == path));
    holds_everywhere(every_row_is_spelled_out);
}
