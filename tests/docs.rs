//! The pages in Markdown: links lead somewhere, paths exist, and the words are plain.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Folders whose paths the pages name.
const FOLDERS: [&str; 7] = ["src", "tests", "benches", "deploy", "config", "data", "docs"];

/// Words and phrases that a reader has to read twice, and names of documents that are not here.
const BANNED: [&str; 12] = [
    " anew",
    " is told ",
    " are told ",
    "here is none",
    "here are none",
    "whence",
    "RECIPE",
    "DESIGN.md",
    "the study",
    "first design",
    "the recipe",
    "be it while",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All pages but the changelog, whose entries describe the past.
fn pages() -> Vec<PathBuf> {
    let folders = ["", "docs", "benches", "data", "deploy"];
    let mut pages: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(root().join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "md") && !path.ends_with("CHANGELOG.md"))
        .collect();
    pages.sort();
    assert!(pages.len() > 10, "{pages:?}");
    pages
}

/// A page's lines outside of code blocks, with their numbers.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut in_code = false;
    let lines = text.lines().enumerate().filter(move |(_, line)| {
        let fence = line.starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    });
    lines.map(|(number, line)| (number + 1, line)).collect()
}

/// A heading as the anchor that renderers make of it.
fn anchor(heading: &str) -> String {
    let kept = |c: char| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        c if c.is_alphanumeric() => Some(c.to_ascii_lowercase()),
        _ => None,
    };
    heading.chars().filter_map(kept).collect()
}

fn anchors(page: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(page).unwrap();
    let headings = prose(&text).into_iter().filter(|(_, line)| line.starts_with('#'));
    headings.map(|(_, line)| anchor(line.trim_start_matches('#').trim())).collect()
}

/// The targets of a line's links.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// What a line has in backticks.
fn code(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Runs a check over each line of each page; it writes what is wrong.
fn check(of_line: impl Fn(&Path, &str, &mut String)) {
    let mut faults = String::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for (number, line) in prose(&text) {
            let mut found = String::new();
            of_line(&page, line, &mut found);
            for fault in found.lines() {
                let _ = writeln!(faults, "{}:{number}: {fault}", page.display());
            }
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
}

#[test]
fn links_lead_somewhere() {
    check(|page, line, faults| {
        for link in links(line).filter(|link| !link.contains("://")) {
            let (file, part) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.to_owned() } else { page.parent().unwrap().join(file) };
            if !target.exists() {
                let _ = writeln!(faults, "no file {link}");
            } else if !part.is_empty() && !anchors(&target).iter().any(|a| a == part) {
                let _ = writeln!(faults, "no heading {link}");
            }
        }
    });
}

#[test]
fn paths_exist() {
    check(|_, line, faults| {
        for path in code(line) {
            let first = path.split('/').next().unwrap();
            let is_path =
                path.contains('/') && path.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c));
            let is_run = path == "tests/run";
            let file = match first {
                _ if !is_path || is_run || path.starts_with('/') => continue,
                _ if FOLDERS.contains(&first) => root().join(path),
                // A room, or a folder in one.
                _ if root().join("src").join(first).is_dir() => root().join("src").join(path),
                _ => continue,
            };
            if !file.exists() {
                let _ = writeln!(faults, "no path {path}");
            }
        }
    });
}

#[test]
fn words_are_plain() {
    check(|_, line, faults| {
        let banned = BANNED.iter().filter(|words| line.contains(**words));
        banned.for_each(|words| {
            let _ = writeln!(faults, "\"{}\"", words.trim());
        });
    });
}
