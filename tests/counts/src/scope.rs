//! The paths in the code of each module, and the names that `use` brings into it.

use std::collections::BTreeMap;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Item, UseTree};

use crate::source::{Source, Target};
use crate::workspace::Package;

/// The path of a module in its package. A program's modules follow the program's name: `["main"]`,
/// `["bin/hunt"]`.
pub type Module = Vec<String>;

/// A module before its paths are resolved.
#[derive(Default)]
pub struct Scope {
    /// The file that the module is in.
    pub path: String,
    /// The paths that `use` brings into the module, by their names there.
    pub imports: BTreeMap<String, Vec<String>>,
    /// The paths in its code, and their lines.
    pub paths: Vec<(Vec<String>, usize)>,
}

/// All modules of a package, those for tests excepted.
pub fn scopes(package: &Package) -> BTreeMap<Module, Scope> {
    let mut scopes = BTreeMap::new();
    for source in package.sources.iter().filter(|source| !source.is_test) {
        let module = match &source.target {
            Target::Program(name) if name == "main" => [&["main".into()], source.module.as_slice()].concat(),
            Target::Program(name) => [&[format!("bin/{name}")], source.module.as_slice()].concat(),
            _ => source.module.clone(),
        };
        add_scopes(source, module, &source.syntax.items, &mut scopes);
    }
    scopes
}

/// Adds a module, and the modules that are inside of its braces.
fn add_scopes(source: &Source, module: Module, items: &[Item], scopes: &mut BTreeMap<Module, Scope>) {
    let mut scope = Scope { path: source.path.clone(), ..Scope::default() };
    for item in items {
        match item {
            Item::Use(item) => {
                let line = item.use_token.span.start().line;
                scope.add_imports(&item.tree, &mut Vec::new(), line);
            }
            Item::Mod(inner) => {
                if let Some((_, items)) = &inner.content {
                    let module = [module.as_slice(), &[inner.ident.to_string()]].concat();
                    add_scopes(source, module, items, scopes);
                }
            }
            other => scope.visit_item(other),
        }
    }
    scopes.insert(module, scope);
}

impl Scope {
    fn add_imports(&mut self, tree: &UseTree, before: &mut Vec<String>, line: usize) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.add_imports(&path.tree, before, line);
                before.pop();
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_imports(tree, before, line)),
            UseTree::Glob(_) => self.paths.push((before.clone(), line)),
            UseTree::Name(name) => {
                self.add_import(before, &name.ident.to_string(), &name.ident.to_string(), line);
            }
            UseTree::Rename(name) => {
                self.add_import(before, &name.ident.to_string(), &name.rename.to_string(), line);
            }
        }
    }

    fn add_import(&mut self, before: &[String], name: &str, local: &str, line: usize) {
        let mut path = before.to_vec();
        let mut local = local.to_owned();
        if name != "self" {
            path.push(name.into());
        } else if local == "self" {
            local = before.last().cloned().unwrap_or_default();
        }
        self.paths.push((path.clone(), line));
        self.imports.insert(local, path);
    }

    /// Adds the paths among the arguments of a macro, which a parser leaves as tokens.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        path.clear();
                    }
                    path.push(name.to_string());
                    colons = 0;
                    if path.len() > 1 {
                        self.paths.push((path.clone(), name.span().start().line));
                    }
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.add_tokens(group.stream());
                    colons = 0;
                    path.clear();
                }
                _ => {
                    colons = 0;
                    path.clear();
                }
            }
        }
    }
}

impl Visit<'_> for Scope {
    fn visit_path(&mut self, path: &syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let line = path.segments.first().map_or(0, |first| first.ident.span().start().line);
        if names.len() > 1 {
            self.paths.push((names, line));
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &syn::Macro) {
        self.add_tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    /// A `use` inside of a function.
    fn visit_item_use(&mut self, item: &syn::ItemUse) {
        self.add_imports(&item.tree, &mut Vec::new(), item.use_token.span.start().line);
    }

    fn visit_vis_restricted(&mut self, _: &syn::VisRestricted) {
        // `pub(super)` uses nothing.
    }
}
