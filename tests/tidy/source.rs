//! A source file as the rules look at it: its syntax with and without tests, and every path it names,
//! made absolute. Knows no rule.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// One violation.
pub struct Finding {
    path: String,
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// A path such as `crate::dcs::Store`, and the line it stands on.
pub struct Named {
    /// Its parts; the first is `crate`, `std` or the name of a crate where that could be resolved.
    pub parts: Vec<String>,
    /// Counted from one.
    pub line: usize,
}

impl Named {
    /// Whether the path is `prefix` or lies below it.
    pub fn is_below(&self, prefix: &str) -> bool {
        let mut parts = self.parts.iter();
        prefix.split("::").all(|wanted| parts.next().is_some_and(|part| part == wanted))
    }
}

/// One file.
pub struct Source {
    /// Relative to the crate's root, such as `src/decide/mod.rs`.
    pub path: String,
    /// As it is.
    pub text: String,
    /// Parsed, with its tests.
    pub whole: syn::File,
    /// Parsed, without whatever is `#[cfg(test)]`.
    pub shipped: syn::File,
}

impl Source {
    /// Every Rust file of the crate: sources, tests and benchmarks.
    pub fn all() -> Vec<Source> {
        let root = root();
        let mut paths = Vec::new();
        for folder in ["src", "tests", "benches"] {
            collect(&root.join(folder), &mut paths);
        }
        paths.sort();
        paths
            .iter()
            .map(|path| {
                let text = fs::read_to_string(path).expect("a source file is readable");
                let inside = path.strip_prefix(&root).expect("it lies below the root");
                Source::parse(&inside.to_string_lossy(), &text)
            })
            .collect()
    }

    /// One file from its text.
    pub fn parse(path: &str, text: &str) -> Source {
        let whole = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut shipped = whole.clone();
        shipped.items = without_tests(shipped.items);
        Source { path: path.to_owned(), text: text.to_owned(), whole, shipped }
    }

    /// A violation in this file.
    pub fn finding(&self, line: usize, what: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, what: what.into() }
    }

    /// The folder below `src`, or the file's name there: `decide`, `daemon`.
    pub fn folder(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        Some(inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs"))
    }

    /// Whether all of the file is tests.
    pub fn is_test(&self) -> bool {
        !self.path.starts_with("src/")
            || self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
            || self.path.ends_with("_tests.rs")
    }

    /// Every path that the shipped part names, imports expanded, also inside macros.
    pub fn named(&self) -> Vec<Named> {
        let mut names = Names { module: self.module(), found: Vec::new() };
        names.visit_file(&self.shipped);
        names.found
    }

    /// Every macro that is called in the file, tests included, with its line.
    pub fn macros(&self) -> Vec<Named> {
        let mut called = Macros(Vec::new());
        called.visit_file(&self.whole);
        called.0
    }

    fn module(&self) -> Vec<String> {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path).trim_end_matches(".rs");
        let mut module = vec!["crate".to_owned()];
        module.extend(
            inside
                .split('/')
                .filter(|part| !matches!(*part, "mod" | "lib" | "main"))
                .map(str::to_owned),
        );
        module
    }
}

/// The crate's root.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// Whether one of the attributes is `#[cfg(test)]`.
pub fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"))
    })
}

/// The attributes of an item, whatever it is.
pub fn attributes_of(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn without_tests(items: Vec<syn::Item>) -> Vec<syn::Item> {
    let shipped = items.into_iter().filter(|item| !is_for_tests(attributes_of(item)));
    shipped
        .map(|mut item| {
            match &mut item {
                syn::Item::Mod(module) => {
                    if let Some((_, inner)) = &mut module.content {
                        *inner = without_tests(std::mem::take(inner));
                    }
                }
                syn::Item::Impl(block) => block.items.retain(
                    |inner| !matches!(inner, syn::ImplItem::Fn(f) if is_for_tests(&f.attrs)),
                ),
                _ => {}
            }
            item
        })
        .collect()
}

struct Names {
    module: Vec<String>,
    found: Vec<Named>,
}

impl Names {
    fn add(&mut self, parts: Vec<String>, line: usize) {
        let mut resolved = Vec::new();
        let mut rest = parts.as_slice();
        match rest.first().map(String::as_str) {
            Some("self") => {
                resolved = self.module.clone();
                rest = &rest[1..];
            }
            Some("super") => {
                resolved = self.module.clone();
                while rest.first().is_some_and(|part| part == "super") {
                    resolved.pop();
                    rest = &rest[1..];
                }
            }
            _ => {}
        }
        resolved.extend_from_slice(rest);
        self.found.push(Named { parts: resolved, line });
    }

    fn add_tree(&mut self, tree: &syn::UseTree, before: &[String]) {
        let mut parts = before.to_vec();
        match tree {
            syn::UseTree::Path(path) => {
                parts.push(path.ident.to_string());
                self.add_tree(&path.tree, &parts);
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_tree(tree, before);
                }
            }
            syn::UseTree::Name(name) => {
                parts.push(name.ident.to_string());
                self.add(parts, name.ident.span().start().line);
            }
            syn::UseTree::Rename(rename) => {
                parts.push(rename.ident.to_string());
                self.add(parts, rename.ident.span().start().line);
            }
            syn::UseTree::Glob(glob) => self.add(parts, glob.star_token.spans[0].start().line),
        }
    }

    /// Paths in a macro's arguments, which are not parsed.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut parts: Vec<String> = Vec::new();
        let mut line = 0;
        let mut after_colons = false;
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    colons += 1;
                    after_colons = colons == 2;
                    continue;
                }
                TokenTree::Ident(ident) => {
                    if !after_colons && !parts.is_empty() {
                        self.add(std::mem::take(&mut parts), line);
                    }
                    line = ident.span().start().line;
                    parts.push(ident.to_string());
                }
                other => {
                    if !parts.is_empty() {
                        self.add(std::mem::take(&mut parts), line);
                    }
                    if let TokenTree::Group(group) = other {
                        self.add_tokens(group.stream());
                    }
                }
            }
            (colons, after_colons) = (0, false);
        }
        if !parts.is_empty() {
            self.add(parts, line);
        }
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_tree(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let line = path.segments.first().map_or(0, |first| first.ident.span().start().line);
        self.add(parts, line);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.add_tokens(call.tokens.clone());
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }
}

struct Macros(Vec<Named>);

impl Macros {
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut before: Option<proc_macro2::Ident> = None;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => before = Some(ident),
                TokenTree::Punct(punct) if punct.as_char() == '!' => {
                    if let Some(name) = before.take() {
                        let line = name.span().start().line;
                        self.0.push(Named { parts: vec![name.to_string()], line });
                    }
                }
                TokenTree::Group(group) => {
                    before = None;
                    self.add_tokens(group.stream());
                }
                _ => before = None,
            }
        }
    }
}

impl<'ast> Visit<'ast> for Macros {
    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if let Some(last) = call.path.segments.last() {
            let line = last.ident.span().start().line;
            self.0.push(Named { parts: vec![last.ident.to_string()], line });
        }
        self.add_tokens(call.tokens.clone());
    }
}
