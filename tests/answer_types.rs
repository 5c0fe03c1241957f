//! Every place in an answer where a server can put a string, from the source of the types that read
//! answers: `tests/data/answer-places.json` of the probe, `operator-answer-places.json` of the commands
//! with the operator's credentials. The suites `tests/canary` and `tests/operator` put a secret, or
//! hostile text, into each of them, so a new field is a new case there.
//!
//! The types are private to their modules and borrow from the answer, so nothing can list them at run
//! time; their source can be read as the compiler reads it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of a test panic as the test does"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use syn::visit::{self, Visit};
use syn::{
    Attribute, Expr, ExprArray, ExprIndex, ExprLit, ExprMethodCall, Fields, File, GenericArgument,
    ItemEnum, ItemStruct, ItemUse, Lit, LitStr, PathArguments, Type, UseTree,
};

/// The modules that read answers. Only they use an HTTP client in a probe's run.
const READERS: [&str; 4] = ["src/agent.rs", "src/vantage.rs", "src/aws", "src/probe"];

/// The modules that read the answers of the operator's calls.
const OPERATOR_READERS: [&str; 3] = [
    "src/operator",
    "src/command/compare",
    "src/explain/tasks.rs",
];

/// Before the name of a member whose members are those of the type itself.
const FLATTENED: &str = "...";

/// Members are also read by name from `serde_json::Value`, with these methods.
const LOOKUPS: [&str; 4] = ["get", "get_all", "pointer", "contains_key"];

/// Files whose lists are error codes, which are values.
const LISTS_OF_CODES: [&str; 1] = ["aws/withheld"];

/// Types that hold what libraries read, with their files.
const OBSERVED: [(&str, &str); 2] = [
    ("src/observation/lookup.rs", "Lookup"),
    ("src/observation/certificate.rs", "Certificate"),
];

const FILE: &str = "tests/data/answer-places.json";
const OPERATOR_FILE: &str = "tests/data/operator-answer-places.json";

/// What can be put into an answer.
#[derive(Default, Serialize)]
struct Places {
    /// Headers that are read.
    headers: BTreeSet<String>,
    /// Members that are read by name, without a type.
    members: BTreeSet<String>,
    /// Texts of what is read by libraries: of DNS answers and of certificates.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    observed: BTreeMap<String, BTreeSet<String>>,
    /// `file::Type`: its members, each with the type of its value; a list's ends with `[]`.
    types: BTreeMap<String, BTreeMap<String, String>>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).unwrap();
    let mut files: Vec<PathBuf> = entries
        .flat_map(|entry| sources(&entry.unwrap().path()))
        .filter(|file| file.extension().is_some_and(|e| e == "rs") && !file.ends_with("tests.rs"))
        .collect();
    files.sort();
    files
}

/// Collects the places of one file.
struct Reader<'p> {
    file: String,
    places: &'p mut Places,
}

impl Reader<'_> {
    fn add_text(&mut self, text: &str) {
        // A JSON pointer is several members.
        for name in text.split('/') {
            let is_header = name.contains('-')
                && name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            let is_member =
                name.len() > 2 && name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
            if is_header {
                self.places.headers.insert(name.to_owned());
            } else if is_member {
                self.places.members.insert(name.to_owned());
            }
        }
    }

    fn add_literal(&mut self, expr: &Expr) {
        match expr {
            Expr::Lit(ExprLit {
                lit: Lit::Str(text),
                ..
            }) => self.add_text(&text.value()),
            Expr::Tuple(tuple) => tuple
                .elems
                .iter()
                .take(1)
                .for_each(|first| self.add_literal(first)),
            _ => {}
        }
    }

    fn add_type(&mut self, name: &syn::Ident, members: BTreeMap<String, String>) {
        let name = format!("{}::{name}", self.file);
        self.places.types.insert(name, members);
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.ident != "tests" {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_struct(&mut self, item: &'ast ItemStruct) {
        if !derives_deserialize(&item.attrs) {
            return;
        }
        let mut members = BTreeMap::new();
        if let Fields::Named(fields) = &item.fields {
            for field in &fields.named {
                let own = field.ident.as_ref().unwrap().to_string();
                let kind = value_type(&field.ty);
                let name = serde_option(&field.attrs, "rename")
                    .unwrap_or_else(|| renamed(own.trim_start_matches("r#"), &item.attrs));
                if has_serde_flag(&field.attrs, "flatten") {
                    members.insert(format!("{FLATTENED}{own}"), kind);
                    continue;
                }
                let alias = serde_option(&field.attrs, "alias");
                members.extend(alias.map(|alias| (alias, kind.clone())));
                members.insert(name, kind);
            }
        }
        self.add_type(&item.ident, members);
    }

    fn visit_item_enum(&mut self, item: &'ast ItemEnum) {
        if !derives_deserialize(&item.attrs) {
            return;
        }
        let members = item.variants.iter().filter_map(|variant| {
            let value = variant.fields.iter().next()?;
            Some((variant.ident.to_string(), value_type(&value.ty)))
        });
        self.add_type(&item.ident, members.collect());
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        fn constants(tree: &UseTree, inside_header: bool, found: &mut BTreeSet<String>) {
            match tree {
                UseTree::Path(path) => {
                    constants(&path.tree, inside_header || path.ident == "header", found);
                }
                UseTree::Group(group) => {
                    group
                        .items
                        .iter()
                        .for_each(|tree| constants(tree, inside_header, found));
                }
                UseTree::Name(name) if inside_header => {
                    let name = name.ident.to_string();
                    if name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') {
                        found.insert(name.to_lowercase().replace('_', "-"));
                    }
                }
                _ => {}
            }
        }
        constants(&item.tree, false, &mut self.places.headers);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        if LOOKUPS.iter().any(|lookup| call.method == lookup) {
            call.args
                .iter()
                .for_each(|argument| self.add_literal(argument));
        }
        visit::visit_expr_method_call(self, call);
    }

    /// A header's name may go through a function.
    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        for argument in &call.args {
            if let Expr::Lit(ExprLit {
                lit: Lit::Str(text),
                ..
            }) = argument
                && text.value().contains('-')
            {
                self.add_text(&text.value());
            }
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_index(&mut self, index: &'ast ExprIndex) {
        self.add_literal(&index.index);
        visit::visit_expr_index(self, index);
    }

    /// Names that are tried one after the other are in a list.
    fn visit_expr_array(&mut self, list: &'ast ExprArray) {
        if !LISTS_OF_CODES.contains(&self.file.as_str()) {
            list.elems.iter().for_each(|item| self.add_literal(item));
        }
        visit::visit_expr_array(self, list);
    }
}

fn derives_deserialize(attributes: &[Attribute]) -> bool {
    let mut found = false;
    for attribute in attributes.iter().filter(|a| a.path().is_ident("derive")) {
        attribute
            .parse_nested_meta(|meta| {
                found |= meta.path.is_ident("Deserialize");
                Ok(())
            })
            .unwrap();
    }
    found
}

/// Whether there is `#[serde(name)]`.
fn has_serde_flag(attributes: &[Attribute], name: &str) -> bool {
    let mut found = false;
    for attribute in attributes.iter().filter(|a| a.path().is_ident("serde")) {
        attribute
            .parse_nested_meta(|meta| {
                found |= meta.path.is_ident(name);
                if meta.input.peek(syn::Token![=]) {
                    let _: Expr = meta.value()?.parse()?;
                }
                Ok(())
            })
            .unwrap();
    }
    found
}

/// Returns the value of `#[serde(name = "…")]`.
fn serde_option(attributes: &[Attribute], name: &str) -> Option<String> {
    let mut found = None;
    for attribute in attributes.iter().filter(|a| a.path().is_ident("serde")) {
        attribute
            .parse_nested_meta(|meta| {
                if meta.input.peek(syn::Token![=]) {
                    let value: LitStr = meta.value()?.parse()?;
                    if meta.path.is_ident(name) {
                        found = Some(value.value());
                    }
                }
                Ok(())
            })
            .unwrap();
    }
    found
}

fn renamed(field: &str, attributes: &[Attribute]) -> String {
    let words = field.split('_').filter(|word| !word.is_empty());
    let capitalized = |word: &str| word[..1].to_uppercase() + &word[1..];
    match serde_option(attributes, "rename_all").as_deref() {
        None => field.to_owned(),
        Some("PascalCase") => words.map(capitalized).collect(),
        Some("camelCase") => {
            let pascal: String = words.map(capitalized).collect();
            pascal[..1].to_lowercase() + &pascal[1..]
        }
        Some("kebab-case") => words.collect::<Vec<_>>().join("-"),
        Some(other) => unimplemented!("rename_all = {other:?}: add it here"),
    }
}

/// Returns the name of the innermost type, with `[]` for a list.
fn value_type(kind: &Type) -> String {
    match kind {
        Type::Reference(reference) => value_type(&reference.elem),
        Type::Path(path) => {
            let last = path.path.segments.last().unwrap();
            let inner =
                match &last.arguments {
                    PathArguments::AngleBracketed(arguments) => arguments
                        .args
                        .iter()
                        .rev()
                        .find_map(|argument| match argument {
                            GenericArgument::Type(inner) => Some(value_type(inner)),
                            _ => None,
                        }),
                    _ => None,
                };
            match (last.ident.to_string().as_str(), inner) {
                ("Vec", Some(inner)) => inner + "[]",
                (_, Some(inner)) => inner,
                (name, None) => name.to_owned(),
            }
        }
        _ => unimplemented!("a member of another kind of type: add it here"),
    }
}

/// Returns the members of a struct that are texts.
fn texts_of(file: &str, name: &str) -> BTreeSet<String> {
    let code: File = syn::parse_file(&fs::read_to_string(root().join(file)).unwrap()).unwrap();
    let item = code.items.iter().find_map(|item| match item {
        syn::Item::Struct(item) if item.ident == name => Some(item),
        _ => None,
    });
    let fields = item.unwrap().fields.iter();
    let texts = fields.filter(|field| {
        let kind = value_type(&field.ty);
        matches!(kind.trim_end_matches("[]"), "String" | "SafeText")
    });
    texts
        .map(|field| field.ident.as_ref().unwrap().to_string())
        .collect()
}

fn places(readers: &[&str]) -> Places {
    let mut places = Places::default();
    for path in readers
        .iter()
        .flat_map(|reader| sources(&root().join(reader)))
    {
        let code: File = syn::parse_file(&fs::read_to_string(&path).unwrap()).unwrap();
        let inside = path.strip_prefix(root().join("src")).unwrap();
        let file = inside.with_extension("").to_str().unwrap().to_owned();
        Reader {
            file,
            places: &mut places,
        }
        .visit_file(&code);
    }
    places
}

#[test]
fn places_are_those_of_the_types_that_read_answers() {
    let mut found = places(&READERS);
    found.observed = OBSERVED
        .map(|(file, name)| (name.to_owned(), texts_of(file, name)))
        .into();
    let has = |kind: &str, member: &str| {
        found
            .types
            .get(kind)
            .is_some_and(|members| members.contains_key(member))
    };
    // Each way to name a member is understood.
    assert!(has("aws/credentials::CredentialsResponse", "RoleArn"));
    assert!(has(
        "probe/checks/registry_auth::TokenResponse",
        "access_token"
    ));
    assert!(has("vantage::Network", "IPv4SubnetCIDRBlock"));
    assert!(found.headers.contains("www-authenticate") && found.headers.contains("x-amz-id-2"));
    assert!(found.headers.contains("docker-ratelimit-source"));
    assert!(found.members.contains("errorMessage"));
    assert!(found.observed["Lookup"].contains("aliases"));

    check(FILE, &found, "canary");
}

#[test]
fn places_of_the_operator_are_those_of_its_types() {
    let found = places(&OPERATOR_READERS);
    let has = |kind: &str, member: &str| {
        found
            .types
            .get(kind)
            .is_some_and(|members| members.contains_key(member))
    };
    assert!(has("operator/ecs::Task", "stopCode"));
    assert!(has("operator/launch/interface::GroupIdentifier", "groupId"));
    assert!(has("command/compare/logs::LogEvent", "message"));
    check(OPERATOR_FILE, &found, "operator");
}

fn check(file: &str, found: &Places, step: &str) {
    let text = serde_json::to_string_pretty(&found).unwrap() + "\n";
    let path = root().join(file);
    if fs::read_to_string(&path).unwrap_or_default() != text {
        fs::write(&path, text).unwrap();
        panic!(
            "{file} was out of date and has been written again; run tests/run {step}, then commit it"
        );
    }
}
