//! One source file: its place among the modules, its comments, and its code without the tests.

use std::collections::BTreeSet;

use anyhow::Result;
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{Attribute, Item};

use crate::comments::{Comment, Layout};

/// The compiled thing that a file is part of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// The package's library.
    Library,
    /// A program, by its file's or folder's name.
    Program(String),
    /// An integration test or a benchmark.
    Test,
}

/// A source file.
pub struct Source {
    /// Below the repository's root, such as `signer/src/serve/pace.rs`.
    pub path: String,
    /// The library, program or test that the file is part of.
    pub target: Target,
    /// The module's path in its target: `["serve", "pace"]`; empty for the root.
    pub module: Vec<String>,
    /// The full paths of the modules that this file declares for tests only.
    pub test_modules: Vec<Vec<String>>,
    /// True if all of the file is compiled for tests or benchmarks only.
    pub is_test: bool,
    /// Lines with a comment, in order.
    pub comments: Vec<Comment>,
    /// Numbers of all lines with code; the first line is 1.
    pub code: BTreeSet<usize>,
    /// Numbers of those lines that tests do not need; without the lines of `#[cfg(test)]` items.
    pub product: BTreeSet<usize>,
    /// The parsed file without items for tests.
    pub syntax: syn::File,
}

impl Source {
    /// Reads the text of a file of the package in `folder`. Fails if it is not Rust.
    pub fn parse(folder: &str, path: &str, text: &str) -> Result<Self> {
        let layout = Layout::read(text)?;
        let mut syntax = syn::parse_file(text)?;
        let (target, module) = place(path.strip_prefix(folder).unwrap_or(path).trim_start_matches('/'));
        let mut tests = WithoutTests::default();
        tests.visit_file_mut(&mut syntax);
        let test_modules =
            tests.modules.into_iter().map(|name| [module.clone(), vec![name]].concat()).collect();
        let product = layout.code.iter().copied().filter(|line| !tests.lines.contains(line)).collect();
        Ok(Self {
            path: path.into(),
            is_test: target == Target::Test,
            target,
            module,
            test_modules,
            comments: layout.comments,
            code: layout.code,
            product,
            syntax,
        })
    }
}

/// The target and the module of a path below the package's folder.
fn place(path: &str) -> (Target, Vec<String>) {
    let parts: Vec<&str> = path.trim_end_matches(".rs").split('/').collect();
    let (target, module) = match parts.as_slice() {
        ["src", "main"] => (Target::Program("main".into()), &[][..]),
        ["src", "bin", name, rest @ ..] | ["fuzz_targets", name, rest @ ..] => {
            (Target::Program((*name).into()), rest)
        }
        ["src", rest @ ..] => (Target::Library, rest),
        rest => (Target::Test, rest),
    };
    let module = match module {
        [above @ .., "mod" | "main" | "lib"] => above,
        all => all,
    };
    (target, module.iter().map(|&name| name.into()).collect())
}

/// Removes the items that are compiled for tests only, and notes where they were.
#[derive(Default)]
struct WithoutTests {
    lines: BTreeSet<usize>,
    /// Modules at the top of the file.
    modules: Vec<String>,
}

impl WithoutTests {
    /// True for an item that stays.
    fn keeps(&mut self, attributes: &[Attribute], item: &impl Spanned) -> bool {
        let is_test = attributes.iter().any(is_for_tests);
        if is_test {
            self.lines.extend(item.span().start().line..=item.span().end().line);
        }
        !is_test
    }
}

impl VisitMut for WithoutTests {
    fn visit_file_mut(&mut self, file: &mut syn::File) {
        file.items.retain(|item| {
            let keeps = self.keeps(attributes(item), item);
            if let (false, Item::Mod(module)) = (keeps, item) {
                self.modules.push(module.ident.to_string());
            }
            keeps
        });
        visit_mut::visit_file_mut(self, file);
    }

    fn visit_item_mod_mut(&mut self, module: &mut syn::ItemMod) {
        if let Some((_, items)) = &mut module.content {
            items.retain(|item| self.keeps(attributes(item), item));
        }
        visit_mut::visit_item_mod_mut(self, module);
    }

    fn visit_item_impl_mut(&mut self, block: &mut syn::ItemImpl) {
        block.items.retain(|item| match item {
            syn::ImplItem::Fn(function) => self.keeps(&function.attrs, item),
            syn::ImplItem::Const(constant) => self.keeps(&constant.attrs, item),
            _ => true,
        });
        visit_mut::visit_item_impl_mut(self, block);
    }
}

/// True for `#[cfg(test)]`, `#[cfg(all(test, …))]` and `#[test]`; false for `#[cfg(not(test))]`.
fn is_for_tests(attribute: &Attribute) -> bool {
    if attribute.path().is_ident("test") {
        return true;
    }
    let syn::Meta::List(list) = &attribute.meta else { return false };
    let words = list.tokens.to_string();
    list.path.is_ident("cfg")
        && !words.contains("not")
        && words.split(|c: char| !c.is_alphanumeric()).any(|word| word == "test")
}

/// The attributes of an item; none for kinds of items that are not in use here.
fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_module_of_a_path() {
        for (path, target, module) in [
            ("src/lib.rs", Target::Library, &[][..]),
            ("src/serve/mod.rs", Target::Library, &["serve"]),
            ("src/serve/pace.rs", Target::Library, &["serve", "pace"]),
            ("src/main.rs", Target::Program("main".into()), &[]),
            ("src/bin/demo/screen.rs", Target::Program("demo".into()), &["screen"]),
            ("src/bin/hunt.rs", Target::Program("hunt".into()), &[]),
            ("tests/frontend/mod.rs", Target::Test, &["tests", "frontend"]),
        ] {
            assert_eq!(place(path), (target, module.iter().map(|&name| name.into()).collect()), "{path}");
        }
    }

    #[test]
    fn separates_tests_from_the_rest() {
        let text = "use a::b;\n\n#[cfg(test)]\nmod inner;\n#[cfg(not(test))]\nmod outer;\n\
                    impl A {\n    #[cfg(test)]\n    fn b() {\n    }\n}\n#[cfg(test)]\nmod tests {\n}\n";
        let source = Source::parse("x", "x/src/a.rs", text).unwrap();
        assert_eq!(Vec::from_iter(source.code), [1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
        assert_eq!(Vec::from_iter(source.product), [1, 5, 6, 7, 11]);
        assert_eq!(source.test_modules, [["a", "inner"], ["a", "tests"]]);
        assert!(!source.is_test);
    }
}
