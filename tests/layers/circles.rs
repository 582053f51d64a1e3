//! No two files import each other, directly or by way of others. A module and its own children may: a parent
//! lists its children's names, and a child may use what its parent holds.

use super::{room, root, sources};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A module's path below the crate, such as `engine`, `shard`.
type Module = Vec<String>;

/// The code of a file: without comments, and without its tests.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    code.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

fn module(path: &Path) -> Module {
    let inner = path.strip_prefix(root()).unwrap().with_extension("");
    let mut parts: Module = inner.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    parts.pop_if(|last| last == "mod");
    parts
}

/// The paths of a `use` tree, each without its alias.
fn leaves(tree: &str) -> Vec<String> {
    let Some((before, inner)) = tree.trim().split_once('{') else {
        return vec![tree.split(" as ").next().unwrap().trim().to_owned()];
    };
    let (mut found, mut depth, mut begun) = (Vec::new(), 0, 0);
    let inner = inner.trim_end().strip_suffix('}').expect("a tree that is closed");
    for (at, sign) in inner.char_indices().chain([(inner.len(), ',')]) {
        match sign {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = inner[begun..at].trim();
                begun = at + 1;
                if !part.is_empty() {
                    found.extend(leaves(part).iter().map(|leaf| format!("{}{leaf}", before.trim())));
                }
            }
            _ => {}
        }
    }
    found
}

/// The trees of all `use` lines, and whether each is public.
fn imports(code: &str) -> Vec<(bool, String)> {
    let mut found = Vec::new();
    let mut lines = code.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let is_public = line.starts_with("pub use ") || line.starts_with("pub(") && line.contains(") use ");
        if !is_public && !line.starts_with("use ") {
            continue;
        }
        let mut tree = line.split_once("use ").expect("it is in the line").1.to_owned();
        while !tree.ends_with(';') {
            tree += lines.next().expect("an import ends");
        }
        found.push((is_public, tree.trim_end_matches(';').to_owned()));
    }
    found
}

/// Paths in the code that begin at the crate or at a parent, outside of `use` lines.
fn inline_paths(code: &str) -> Vec<String> {
    let is_path = |sign: char| sign.is_alphanumeric() || sign == '_' || sign == ':';
    code.split(|sign| !is_path(sign))
        .filter(|word| word.starts_with("super::") || word.starts_with("crate::"))
        .map(|word| word.trim_end_matches(':').to_owned())
        .collect()
}

struct Crate {
    modules: BTreeSet<Module>,
    /// Where a name that a module exports is defined.
    exported: BTreeMap<Module, Module>,
}

impl Crate {
    /// The path from the crate's root; `None` for one that begins in another crate.
    fn absolute(&self, here: &Module, path: &str) -> Option<Module> {
        let mut parts: Vec<&str> = path.split("::").collect();
        let mut base = match parts[0] {
            "crate" => Module::new(),
            "self" | "super" => here.clone(),
            first => {
                let mut child = here.clone();
                child.push(first.to_owned());
                if !self.modules.contains(&child) {
                    return None;
                }
                here.clone()
            }
        };
        if matches!(parts[0], "crate" | "self") {
            parts.remove(0);
        }
        while parts.first() == Some(&"super") {
            parts.remove(0);
            base.pop();
        }
        base.extend(parts.iter().map(|part| (*part).to_owned()));
        Some(base)
    }

    /// The file that defines what a path names.
    fn defined_in(&self, path: &Module, depth: usize) -> Option<Module> {
        for length in (1..=path.len()).rev() {
            let (head, rest) = path.split_at(length);
            if let Some(origin) = self.exported.get(head)
                && depth < 10
            {
                let whole: Module = origin.iter().chain(rest).cloned().collect();
                return self.defined_in(&whole, depth + 1);
            }
            if self.modules.contains(head) {
                return Some(head.to_vec());
            }
        }
        None
    }
}

/// The files that each file imports, by module; parents and children aside.
fn graph() -> BTreeMap<Module, BTreeSet<Module>> {
    let files: BTreeMap<Module, String> = sources(&root())
        .iter()
        .filter(|path| !matches!(room(path).as_str(), "lib" | "main") && !is_test(path))
        .map(|path| (module(path), code(path)))
        .collect();
    let mut all = Crate { modules: files.keys().cloned().collect(), exported: BTreeMap::new() };
    for (here, code) in &files {
        for leaf in imports(code).iter().filter(|(public, _)| *public).flat_map(|(_, tree)| leaves(tree)) {
            if let Some(origin) = all.absolute(here, &leaf) {
                let mut name = here.clone();
                name.push(origin.last().expect("a path has parts").clone());
                all.exported.insert(name, origin);
            }
        }
    }
    let edges = |here: &Module, code: &str| {
        let used =
            imports(code).into_iter().filter(|(public, _)| !public).flat_map(|(_, tree)| leaves(&tree));
        used.chain(inline_paths(code))
            .filter_map(|path| all.defined_in(&all.absolute(here, &path)?, 0))
            .filter(|other| !other.starts_with(here) && !here.starts_with(other))
            .collect::<BTreeSet<Module>>()
    };
    files.iter().map(|(here, code)| (here.clone(), edges(here, code))).collect()
}

fn is_test(path: &Path) -> bool {
    path.iter().any(|part| part.to_str().unwrap().trim_end_matches(".rs").ends_with("tests"))
}

/// Every file that can be reached from one by its imports.
fn reached<'a>(graph: &'a BTreeMap<Module, BTreeSet<Module>>, from: &'a Module) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(here) = next.pop() {
        for other in &graph[here] {
            if reached.insert(other) {
                next.push(other);
            }
        }
    }
    reached
}

#[test]
fn no_two_files_import_each_other() {
    let graph = graph();
    let edges: usize = graph.values().map(BTreeSet::len).sum();
    assert!(edges > graph.len(), "{edges} imports in {} files: are they still read?", graph.len());
    let in_circles: Vec<String> = graph
        .keys()
        .filter(|here| reached(&graph, here).contains(here))
        .map(|here| here.join("::"))
        .collect();
    assert!(in_circles.is_empty(), "files that import each other by some way:\n{}", in_circles.join("\n"));
}

#[test]
fn a_tree_is_taken_apart() {
    let tree = "crate::a::{self, b::{C, D as E}, f}";
    assert_eq!(leaves(tree), ["crate::a::self", "crate::a::b::C", "crate::a::b::D", "crate::a::f"]);
    let code = "use super::x;\npub(crate) use y::Z;\nfn f() { crate::a::b(); }\n";
    assert_eq!(imports(code), [(false, "super::x".to_owned()), (true, "y::Z".to_owned())]);
    assert_eq!(inline_paths("fn f() -> super::T { crate::a::b() }"), ["super::T", "crate::a::b"]);
}
