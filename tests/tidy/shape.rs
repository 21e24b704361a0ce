//! Sizes: of a file without its tests, of a function, of a list of arguments; and the line that says what
//! a file is for.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::source::{Finding, Source, attributes_of, is_for_tests};
use super::{holds_everywhere, lets_pass, sees};

/// A file aims at 150 lines and ends here, its tests left out.
const FILE_LINES_MAX: usize = 400;
/// A function aims at 25 lines and ends here.
const FUNCTION_LINES_MAX: usize = 70;
/// What needs more passes a struct; `self` does not count.
const ARGUMENTS_MAX: usize = 5;

fn files_end_in_time(source: &Source) -> Vec<Finding> {
    if source.is_test() && source.path.starts_with("src/") {
        return Vec::new();
    }
    let tests: usize = source
        .whole
        .items
        .iter()
        .filter(|item| is_for_tests(attributes_of(item)))
        .map(|item| item.span().end().line - item.span().start().line + 1)
        .sum();
    let lines = source.text.lines().count() - tests;
    let too_long = lines > FILE_LINES_MAX;
    too_long
        .then(|| source.finding(1, format!("{lines} lines without tests")))
        .into_iter()
        .collect()
}

fn functions_end_in_time(source: &Source) -> Vec<Finding> {
    let mut functions = Functions(Vec::new());
    functions.visit_file(&source.whole);
    let long = functions.0.iter().filter(|function| function.lines > FUNCTION_LINES_MAX);
    long.map(|function| {
        let what = format!("`{}` has {} lines", function.name, function.lines);
        source.finding(function.line, what)
    })
    .collect()
}

fn arguments_are_few(source: &Source) -> Vec<Finding> {
    let mut functions = Functions(Vec::new());
    functions.visit_file(&source.whole);
    let greedy = functions.0.iter().filter(|function| function.arguments > ARGUMENTS_MAX);
    greedy
        .map(|function| {
            let what = format!("`{}` takes {} arguments", function.name, function.arguments);
            source.finding(function.line, what)
        })
        .collect()
}

struct Function {
    name: String,
    line: usize,
    lines: usize,
    arguments: usize,
}

struct Functions(Vec<Function>);

impl Functions {
    fn add(&mut self, signature: &syn::Signature, block: Option<&syn::Block>) {
        let line = signature.fn_token.span.start().line;
        let end = block.map_or(line, |block| block.brace_token.span.close().end().line);
        let arguments =
            signature.inputs.iter().filter(|input| matches!(input, syn::FnArg::Typed(_))).count();
        let name = signature.ident.to_string();
        self.0.push(Function { name, line, lines: end - line + 1, arguments });
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.add(&function.sig, Some(&function.block));
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.add(&function.sig, Some(&function.block));
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        self.add(&function.sig, function.default.as_ref());
        visit::visit_trait_item_fn(self, function);
    }
}

fn files_say_what_they_answer(source: &Source) -> Vec<Finding> {
    // A file of tests beside its subject answers what its subject answers.
    if source.path.starts_with("src/") && source.is_test() {
        return Vec::new();
    }
    let opens = source.text.starts_with("//!");
    (!opens).then(|| source.finding(1, "the file does not open with `//!`")).into_iter().collect()
}

#[test]
fn a_file_ends_at_400_lines() {
    let long = "fn f() {}\n".repeat(FILE_LINES_MAX + 1);
    sees(files_end_in_time, "src/act/x.rs", &long);
    let tests = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
    lets_pass(files_end_in_time, "src/act/x.rs", &tests);
    holds_everywhere(files_end_in_time);
}

#[test]
fn a_function_ends_at_70_lines() {
    let body = "let brace = \"}\";\n".repeat(FUNCTION_LINES_MAX);
    sees(functions_end_in_time, "src/act/x.rs", &format!("fn f() {{\n{body}}}\n"));
    sees(functions_end_in_time, "src/act/x.rs", &format!("impl A {{ fn f() {{\n{body}}} }}\n"));
    lets_pass(functions_end_in_time, "src/act/x.rs", "fn f() { let brace = \"{\"; }\nfn g() {}\n");
    holds_everywhere(functions_end_in_time);
}

#[test]
fn more_than_five_arguments_are_a_struct() {
    let six = "fn f(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8) {}";
    sees(arguments_are_few, "src/act/x.rs", six);
    let five = "impl A { fn f(&self, a: u8, b: u8, c: u8, d: u8, e: u8) {} }";
    lets_pass(arguments_are_few, "src/act/x.rs", five);
    holds_everywhere(arguments_are_few);
}

#[test]
fn a_file_opens_with_what_it_answers() {
    sees(files_say_what_they_answer, "src/act/x.rs", "use std::fmt;\n");
    lets_pass(files_say_what_they_answer, "src/act/x.rs", "//! Says it.\n");
    holds_everywhere(files_say_what_they_answer);
}
