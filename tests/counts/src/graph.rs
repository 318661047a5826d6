//! Which module of a package uses which, by the paths in its code.
//!
//! A path is resolved as the compiler does: by `crate`, `self`, `super`, by a module's own children and by
//! its imports, re-exports included. A method call on a value of another module's type names no path, so it
//! makes no arrow. Code for tests makes none either.

use std::collections::{BTreeMap, BTreeSet};

use crate::scope::{Module, Scope, scopes};
use crate::workspace::Package;

/// So many imports of imports are followed.
const MAX_HOPS: usize = 8;

/// An arrow from one module to another one that it uses.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Arrow {
    /// The module that uses.
    pub from: Module,
    /// The module that is used.
    pub to: Module,
}

/// The modules of one package.
#[derive(Default)]
pub struct Graph {
    /// All arrows inside of the package, each with the file and line of one use.
    pub arrows: BTreeMap<Arrow, (String, usize)>,
    /// The libraries of other packages that each module uses.
    pub libraries: BTreeMap<Module, BTreeSet<String>>,
    modules: BTreeSet<Module>,
}

/// A circle between modules, or between one and the module that holds it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Circle {
    /// The module that holds those of the circle.
    pub parent: Module,
    /// The names of the modules, ordered.
    pub members: Vec<String>,
}

impl Graph {
    /// Resolves the paths of a package; `libraries` are the names of all of the repository's libraries.
    pub fn of(package: &Package, libraries: &BTreeSet<String>) -> Self {
        let scopes = scopes(package);
        let resolver = Resolver { scopes: &scopes, own: &package.library, libraries };
        let mut graph = Self { modules: scopes.keys().cloned().collect(), ..Self::default() };
        for (from, scope) in &scopes {
            for (path, line) in &scope.paths {
                match resolver.resolve(from, path, MAX_HOPS) {
                    Some(Place::Module(to)) if to != *from => {
                        let arrow = Arrow { from: from.clone(), to };
                        graph.arrows.entry(arrow).or_insert((scope.path.clone(), *line));
                    }
                    Some(Place::Library(library)) => {
                        graph.libraries.entry(from.clone()).or_default().insert(library);
                    }
                    _ => {}
                }
            }
        }
        graph
    }

    /// The circles between modules that are side by side, each with all modules below it.
    pub fn circles(&self) -> Vec<Circle> {
        self.parents()
            .into_iter()
            .flat_map(|parent| {
                let arrows = self.arrows_below(&parent);
                circles(&arrows).into_iter().map(move |members| Circle { parent: parent.clone(), members })
            })
            .collect()
    }

    /// The modules that use an item of the module that holds them and that uses them: a circle, if a hidden
    /// one.
    pub fn hidden_circles(&self) -> Vec<Circle> {
        let mut found = BTreeSet::new();
        for Arrow { from, to: parent } in self.arrows.keys() {
            if from.len() <= parent.len() || !from.starts_with(parent) {
                continue;
            }
            let Some(child) = from.get(parent.len()) else { continue };
            let is_used = self.arrows.keys().any(|arrow| {
                arrow.from == *parent
                    && arrow.to.starts_with(parent)
                    && arrow.to.get(parent.len()) == Some(child)
            });
            if is_used {
                found.insert(Circle { parent: parent.clone(), members: vec![child.clone()] });
            }
        }
        found.into_iter().collect()
    }

    /// The arrows between the children of a module. An arrow from or to something below a child is the
    /// child's.
    pub fn arrows_below(&self, parent: &[String]) -> BTreeMap<(String, String), (String, usize)> {
        let mut arrows = BTreeMap::new();
        for (Arrow { from, to }, place) in &self.arrows {
            if !from.starts_with(parent) || !to.starts_with(parent) {
                continue;
            }
            if let (Some(from), Some(to)) = (from.get(parent.len()), to.get(parent.len())) {
                if from != to {
                    arrows.entry((from.clone(), to.clone())).or_insert_with(|| place.clone());
                }
            }
        }
        arrows
    }

    fn parents(&self) -> BTreeSet<Module> {
        self.modules.iter().filter_map(|module| Some(module.split_last()?.1.to_vec())).collect()
    }
}

/// Each largest set of nodes that reach one another, if it has two or more.
pub fn circles<T>(arrows: &BTreeMap<(String, String), T>) -> Vec<Vec<String>> {
    let reach = |start: &String| {
        let mut reached = BTreeSet::new();
        let mut left = vec![start];
        while let Some(node) = left.pop() {
            for (_, to) in arrows.keys().filter(|(from, _)| from == node) {
                if reached.insert(to.clone()) {
                    left.push(to);
                }
            }
        }
        reached
    };
    let reached: BTreeMap<&String, BTreeSet<String>> =
        arrows.keys().map(|(from, _)| (from, reach(from))).collect();
    let mut found = BTreeSet::new();
    for (node, others) in &reached {
        let back = |other: &&String| reached.get(other).is_some_and(|reached| reached.contains(*node));
        let circle: Vec<String> = others.iter().filter(back).cloned().collect();
        if circle.len() > 1 {
            found.insert(circle);
        }
    }
    found.into_iter().collect()
}

/// The target of a path.
#[derive(Debug, Eq, PartialEq)]
enum Place {
    Module(Module),
    Library(String),
}

struct Resolver<'a> {
    scopes: &'a BTreeMap<Module, Scope>,
    own: &'a str,
    libraries: &'a BTreeSet<String>,
}

impl Resolver<'_> {
    /// Follows a path from a module; `None` leads out of the repository, or nowhere that is known.
    fn resolve(&self, from: &Module, path: &[String], hops: usize) -> Option<Place> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(self.descend(program(from), rest, hops)),
            "self" => Some(self.descend(from.clone(), rest, hops)),
            "super" => self.climb(from, rest, hops),
            name if name == self.own => Some(self.descend(Module::new(), rest, hops)),
            name if self.is_module(from, name) => Some(self.descend(from.clone(), path, hops)),
            name if self.libraries.contains(name) => Some(Place::Library(name.into())),
            name => {
                let import = self.scopes.get(from)?.imports.get(name)?;
                // An import of the name itself would lead here for ever.
                let whole: Vec<String> = import.iter().chain(rest).cloned().collect();
                (hops > 0 && whole != path).then(|| self.resolve(from, &whole, hops - 1))?
            }
        }
    }

    fn climb(&self, from: &Module, rest: &[String], hops: usize) -> Option<Place> {
        let (_, above) = from.split_last()?;
        match rest.split_first() {
            Some((first, rest)) if first == "super" => self.climb(&above.to_vec(), rest, hops),
            _ => Some(self.descend(above.to_vec(), rest, hops)),
        }
    }

    /// Goes down from a module as far as the path names modules, and through re-exports that stay below it.
    fn descend(&self, mut module: Module, path: &[String], hops: usize) -> Place {
        let mut rest = path;
        while let Some((name, after)) = rest.split_first().filter(|(name, _)| self.is_module(&module, name)) {
            module.push(name.clone());
            rest = after;
        }
        let import = rest.first().and_then(|name| self.scopes.get(&module)?.imports.get(name));
        if let Some(import) = import.filter(|_| hops > 0) {
            if let Some(Place::Module(target)) = self.resolve(&module, import, hops - 1) {
                if target.starts_with(&module) {
                    return Place::Module(target);
                }
            }
        }
        Place::Module(module)
    }

    fn is_module(&self, parent: &Module, name: &str) -> bool {
        self.scopes.contains_key(&[parent.as_slice(), &[name.into()]].concat())
    }
}

/// The root of the program that a module is part of; empty for the library.
fn program(module: &Module) -> Module {
    let is_program = |name: &&String| name.as_str() == "main" || name.starts_with("bin/");
    module.first().filter(is_program).map(|name| vec![name.clone()]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    fn graph(files: &[(&str, &str)]) -> Graph {
        let sources =
            files.iter().map(|(path, text)| Source::parse("x", &format!("x/{path}"), text).unwrap());
        let package = Package { folder: "x".into(), library: "own".into(), sources: sources.collect() };
        Graph::of(&package, &BTreeSet::from(["own".into(), "other".into()]))
    }

    fn arrows(graph: &Graph) -> Vec<String> {
        let arrows = graph.arrows.keys();
        arrows.map(|arrow| format!("{} > {}", arrow.from.join("::"), arrow.to.join("::"))).collect()
    }

    #[test]
    fn resolves_each_kind_of_path() {
        let graph = graph(&[
            ("src/lib.rs", "mod a; mod b; mod c; pub fn now() {}"),
            (
                "src/a.rs",
                "use crate::b::{self, inner::Deep, Item};\nfn f() { c::g(); crate::now() }\nuse super::c;",
            ),
            ("src/b/mod.rs", "mod inner; pub use inner::Shown; pub struct Item;"),
            ("src/b/inner.rs", "pub struct Shown; fn f() { println!(\"{}\", crate::c::NAME) }"),
            ("src/c.rs", "use crate::b::Shown; fn f() -> other::Thing {}"),
            ("src/main.rs", "use own::a::A; fn main() { own::now() }"),
        ]);
        assert_eq!(
            arrows(&graph),
            [
                "a > ",
                "a > b",
                "a > b::inner",
                "a > c",
                "b > b::inner",
                "b::inner > c",
                "c > b::inner",
                "main > ",
                "main > a"
            ]
        );
        assert_eq!(graph.libraries, BTreeMap::from([(vec!["c".into()], BTreeSet::from(["other".into()]))]));
    }

    #[test]
    fn leaves_tests_out() {
        let graph = graph(&[
            ("src/lib.rs", "mod a; mod b;"),
            ("src/a.rs", "#[cfg(test)] mod tests { use crate::b::B; }"),
            ("src/b.rs", "pub struct B;"),
        ]);
        assert_eq!(arrows(&graph), Vec::<String>::new());
    }

    #[test]
    fn finds_circles_of_each_kind() {
        let graph = graph(&[
            ("src/lib.rs", "mod a; mod b; mod c;"),
            ("src/a.rs", "use crate::b::inner::Deep;"),
            ("src/b/mod.rs", "mod inner; use inner::Deep; pub struct Own;"),
            ("src/b/inner.rs", "use super::Own; use crate::c::C;"),
            ("src/c.rs", "use crate::a::A;"),
        ]);
        let circle = |parent: &[&str], members: &[&str]| Circle {
            parent: parent.iter().map(|&name| name.into()).collect(),
            members: members.iter().map(|&name| name.into()).collect(),
        };
        assert_eq!(graph.circles(), [circle(&[], &["a", "b", "c"])]);
        assert_eq!(graph.hidden_circles(), [circle(&["b"], &["inner"])]);
    }
}
