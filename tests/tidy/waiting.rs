//! What is not finished, and what waits for a length of time: neither may stand in a test or beside one.

use syn::visit::{self, Visit};

use super::source::{Finding, Source};
use super::{holds_everywhere, lets_pass, sees};

fn nothing_is_left_to_do(source: &Source) -> Vec<Finding> {
    let macros = source.macros();
    let unfinished = ["todo", "unimplemented", "dbg"];
    let called = macros.iter().filter(|call| unfinished.contains(&call.parts[0].as_str()));
    called.map(|call| source.finding(call.line, format!("`{}!`", call.parts[0]))).collect()
}

fn no_test_is_ignored(source: &Source) -> Vec<Finding> {
    let mut ignored = Ignored(Vec::new());
    ignored.visit_file(&source.whole);
    ignored.0.iter().map(|line| source.finding(*line, "an ignored test")).collect()
}

struct Ignored(Vec<usize>);

impl<'ast> Visit<'ast> for Ignored {
    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if attribute.path().is_ident("ignore") {
            self.0.push(attribute.pound_token.spans[0].start().line);
        }
    }
}

/// A sleep in a loop polls for a condition; one outside of it waits for a length of time. On a paused
/// clock it moves virtual time, which is what such a test is for.
fn tests_wait_for_conditions(source: &Source) -> Vec<Finding> {
    // On virtual time a length of time is a fact of the simulated world, and costs nothing.
    if source.path.starts_with("tests/sim/") {
        return Vec::new();
    }
    let mut sleeps =
        Sleeps { in_test: source.is_test(), in_loop: 0, paused: false, found: Vec::new() };
    sleeps.visit_file(&source.whole);
    let what = "waits for a length of time: wait for a condition within a bound";
    sleeps.found.iter().map(|line| source.finding(*line, what)).collect()
}

struct Sleeps {
    in_test: bool,
    in_loop: usize,
    paused: bool,
    found: Vec<usize>,
}

impl Sleeps {
    fn inside_a_loop(&mut self, visit: impl FnOnce(&mut Self)) {
        self.in_loop += 1;
        visit(self);
        self.in_loop -= 1;
    }
}

fn is_paused(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => list.tokens.to_string().contains("start_paused"),
        _ => false,
    })
}

impl<'ast> Visit<'ast> for Sleeps {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let before = self.in_test;
        self.in_test |= super::source::is_for_tests(&module.attrs);
        visit::visit_item_mod(self, module);
        self.in_test = before;
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        let before = (self.paused, self.in_loop);
        (self.paused, self.in_loop) = (is_paused(&function.attrs), 0);
        visit::visit_item_fn(self, function);
        (self.paused, self.in_loop) = before;
    }

    fn visit_expr_loop(&mut self, body: &'ast syn::ExprLoop) {
        self.inside_a_loop(|this| visit::visit_expr_loop(this, body));
    }

    fn visit_expr_while(&mut self, body: &'ast syn::ExprWhile) {
        self.inside_a_loop(|this| visit::visit_expr_while(this, body));
    }

    fn visit_expr_for_loop(&mut self, body: &'ast syn::ExprForLoop) {
        self.inside_a_loop(|this| visit::visit_expr_for_loop(this, body));
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let syn::Expr::Path(path) = &*call.func
            && let Some(last) = path.path.segments.last()
            && last.ident == "sleep"
            && self.in_test
            && self.in_loop == 0
            && !self.paused
        {
            self.found.push(last.ident.span().start().line);
        }
        visit::visit_expr_call(self, call);
    }
}

#[test]
fn nothing_is_a_stub() {
    sees(nothing_is_left_to_do, "src/act/x.rs", "fn f() { todo!() }");
    sees(nothing_is_left_to_do, "src/act/x.rs", "fn f() { println!(\"{}\", dbg!(1)); }");
    lets_pass(nothing_is_left_to_do, "src/act/x.rs", "fn f() { println!(\"todo!()\"); }");
    holds_everywhere(nothing_is_left_to_do);
}

#[test]
fn every_test_runs() {
    sees(no_test_is_ignored, "tests/x.rs", "#[test] #[ignore] fn f() {}");
    sees(no_test_is_ignored, "tests/x.rs", "#[test] #[ignore = \"slow\"] fn f() {}");
    holds_everywhere(no_test_is_ignored);
}

#[test]
fn a_test_waits_for_a_condition() {
    let fixed = "fn f() { std::thread::sleep(Duration::from_secs(1)); }";
    sees(tests_wait_for_conditions, "tests/x.rs", fixed);
    sees(tests_wait_for_conditions, "src/x.rs", &format!("#[cfg(test)] mod tests {{ {fixed} }}"));
    lets_pass(tests_wait_for_conditions, "src/x.rs", fixed);
    let polled = "fn f() { while !ready() { std::thread::sleep(STEP); } }";
    lets_pass(tests_wait_for_conditions, "tests/x.rs", polled);
    lets_pass(tests_wait_for_conditions, "tests/sim/x.rs", fixed);
    let paused =
        "#[tokio::test(start_paused = true)] async fn f() { tokio::time::sleep(T).await; }";
    lets_pass(tests_wait_for_conditions, "tests/x.rs", paused);
    holds_everywhere(tests_wait_for_conditions);
}
