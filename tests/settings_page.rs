//! `docs/guide/settings.md` is made from the settings' own source: every key with its type, default and an example.
//!
//! The test fails if the page is not what the source says; `WGRAD_WRITE_DOCS=1 cargo test --test settings_page` writes it
//! anew. Every example is read by the settings' own parser.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use syn::{Attribute, Expr, Fields, File, Item, ItemEnum, ItemStruct, Lit, Meta, Type};
use wgrad::train::Config;

/// The values of keys in examples, where the default would not do.
const EXAMPLES: &[(&str, &str)] = &[
    ("checkpoint", "{ keep = 3 }"),
    ("data", "{ path = \"data/houses\" }"),
    ("early_stopping", "{ patience = 5 }"),
    ("layers", "[{ type = \"linear\", out_features = 10 }]"),
    ("loss", "{ type = \"mse\" }"),
    ("model", "{ layers = [{ type = \"linear\", out_features = 10 }] }"),
    ("optimizer", "{ type = \"adam\", lr = 0.001 }"),
    ("param_groups", "[{ parameters = [\"*.bias\"], lr_factor = 2.0 }]"),
    ("schedule", "{ type = \"cosine\" }"),
    ("schedules", "[{ type = \"constant\" }, { type = \"cosine\" }]"),
    ("a", "0.01"),
    ("accumulate", "4"),
    ("augment", "{ shift = 4, scale = 0.2, noise = 0.1 }"),
    ("context", "128"),
    ("num_positions", "64"),
    ("tokens", "\"char\""),
    ("shift", "4"),
    ("noise", "0.1"),
    ("betas", "[0.9, 0.95]"),
    ("categories", "[\"town\", \"colour\"]"),
    ("clip_grad_norm", "1.0"),
    ("clip_grad_value", "0.5"),
    ("comment", "\"#\""),
    ("delimiter", "\";\""),
    ("divisor_override", "4"),
    ("ema_decay", "0.999"),
    ("embedding_dim", "32"),
    ("every_epochs", "5"),
    ("every_minutes", "10.0"),
    ("every_steps", "1000"),
    ("freeze", "[\"0.*\", \"*.bias\"]"),
    ("gamma", "0.5"),
    ("header", "true"),
    ("hidden_size", "64"),
    ("ignore", "[\"id\"]"),
    ("in_channels", "1"),
    ("in_features", "40"),
    ("init_partial", "true"),
    ("input", "[1, 28, 28]"),
    ("kernel_size", "3"),
    ("length", "5"),
    ("lr", "0.01"),
    ("milestones", "[10, 20]"),
    ("monitor", "\"val_error\""),
    ("name", "\"mine\""),
    ("normalized_shape", "[64]"),
    ("num_embeddings", "1000"),
    ("num_features", "16"),
    ("num_groups", "4"),
    ("num_heads", "4"),
    ("num_samples", "4000"),
    ("out_channels", "16"),
    ("out_features", "64"),
    ("output_size", "1"),
    ("p", "0.5"),
    ("padding_idx", "0"),
    ("parameters", "[\"*.bias\"]"),
    ("patience", "5"),
    ("path", "\"data/houses.csv\""),
    ("pos_weight", "[3.0]"),
    ("preset", "\"paper\""),
    ("resident", "false"),
    ("scale", "0.00392156862745098"),
    ("seed", "7"),
    ("standardize", "true"),
    ("standardize_targets", "true"),
    ("step_size", "10"),
    ("stratify", "false"),
    ("stride", "2"),
    ("t_0", "10"),
    ("t_max", "50"),
    ("target", "\"price\""),
    ("task", "\"regression\""),
    ("test_split", "0.1"),
    ("top_k", "5"),
    ("total_iters", "50"),
    ("total_steps", "50"),
    ("val_split", "0.2"),
    ("warmup", "{ length = 5 }"),
    ("weight", "[1.0, 2.0]"),
    ("weight_decay", "0.0001"),
    ("eps", "1e-6"),
    ("min_delta", "0.001"),
    ("val", "0.1"),
    ("sparsity", "0.1"),
];

/// A key of a table of settings.
struct Key {
    name: String,
    doc: String,
    kind: String,
    default: String,
    /// Not a key of its own: its type's keys belong to the same table.
    example: Option<String>,
}

struct Source {
    structs: BTreeMap<String, ItemStruct>,
    enums: BTreeMap<String, ItemEnum>,
    /// The bodies of functions that give defaults, by file and name.
    functions: BTreeMap<(String, String), String>,
    /// The fields of `impl Default`.
    defaults: BTreeMap<String, BTreeMap<String, String>>,
    file_of: BTreeMap<String, String>,
}

fn tokens(value: &impl quote::ToTokens) -> String {
    value.to_token_stream().to_string()
}

impl Source {
    fn read() -> Source {
        let mut source = Source {
            structs: BTreeMap::new(),
            enums: BTreeMap::new(),
            functions: BTreeMap::new(),
            defaults: BTreeMap::new(),
            file_of: BTreeMap::new(),
        };
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/train");
        let mut files: Vec<_> = fs::read_dir(root.join("config")).unwrap().map(|e| e.unwrap().path()).collect();
        files.extend([
            root.join("task.rs"),
            root.join("metrics.rs"),
            root.join("../data/mnist1d/config.rs"),
            root.join("../data/text.rs"),
        ]);
        files.sort();
        for path in files {
            let file: File = syn::parse_file(&fs::read_to_string(&path).unwrap()).unwrap();
            let name = path.display().to_string();
            for item in file.items {
                source.take(&name, item);
            }
        }
        source
    }

    fn take(&mut self, file: &str, item: Item) {
        match item {
            Item::Struct(item) => {
                self.file_of.insert(item.ident.to_string(), file.into());
                self.structs.insert(item.ident.to_string(), item);
            }
            Item::Enum(item) => {
                self.file_of.insert(item.ident.to_string(), file.into());
                self.enums.insert(item.ident.to_string(), item);
            }
            Item::Fn(item) => {
                if let Some(syn::Stmt::Expr(expr, None)) = item.block.stmts.first() {
                    self.functions.insert((file.into(), item.sig.ident.to_string()), tokens(expr));
                }
            }
            Item::Impl(item) if item.trait_.as_ref().is_some_and(|t| t.1.is_ident("Default")) => {
                let Type::Path(of) = &*item.self_ty else { return };
                for inner in &item.items {
                    let syn::ImplItem::Fn(function) = inner else { continue };
                    let Some(syn::Stmt::Expr(Expr::Struct(value), None)) = function.block.stmts.last() else {
                        continue;
                    };
                    let fields = value.fields.iter().map(|f| (tokens(&f.member), tokens(&f.expr))).collect();
                    self.defaults.insert(tokens(of), fields);
                }
            }
            _ => {}
        }
    }

    /// A type in a reader's words.
    fn kind(&self, ty: &Type) -> String {
        let text = tokens(ty).replace(' ', "");
        self.kind_of(&text)
    }

    fn kind_of(&self, text: &str) -> String {
        let inner = |prefix: &str| text.strip_prefix(prefix).and_then(|rest| rest.strip_suffix('>'));
        if let Some(inner) = inner("Option<") {
            return self.kind_of(inner);
        }
        if let Some(inner) = inner("Vec<") {
            return format!("list of: {}", self.kind_of(inner));
        }
        if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.split(';').next()) {
            return format!("two of: {}", self.kind_of(inner));
        }
        match text {
            "bool" => "`true` or `false`".into(),
            "f64" => "number".into(),
            "u32" | "u64" | "usize" => "whole number".into(),
            "isize" => "whole number, may be negative".into(),
            "String" => "text".into(),
            "char" => "one character".into(),
            "PathBuf" => "path".into(),
            "Monitor" => "`train_` or `val_` with a metric".into(),
            "Standardize" => "`true`, `false`, `\"feature\"` or `\"channel\"`".into(),
            "KernelSize" => "whole number, or two".into(),
            "InitConfig" => "an [initialiser](#initialisers)".into(),
            "LayerConfig" => "[layer](#layers)".into(),
            "LossConfig" => "a [loss](#loss)".into(),
            "OptimizerConfig" => "an [optimiser](#optimizer)".into(),
            "ScheduleConfig" => "[schedule](#schedule)".into(),
            "Mnist1dPreset" => "`\"udl\"` or `\"paper\"`".into(),
            _ => match self.enums.get(text) {
                Some(item) => {
                    let names: Vec<String> =
                        item.variants.iter().map(|v| format!("`\"{}\"`", snake(&v.ident.to_string()))).collect();
                    names.join(", ")
                }
                None => format!("a table, see [{0}](#{0})", section_of(text)),
            },
        }
    }

    fn default_of(&self, owner: &str, field: &syn::Field, whole: bool) -> String {
        let name = field.ident.as_ref().unwrap().to_string();
        let ty = tokens(&field.ty).replace(' ', "");
        let mut text = None;
        for meta in serde(&field.attrs) {
            if let Some(function) = meta.strip_prefix("default = ") {
                let key = (self.file_of[owner].clone(), function.trim_matches('"').to_string());
                text = Some(self.functions.get(&key).unwrap_or_else(|| panic!("{owner}.{name}: no {key:?}")).clone());
            } else if meta == "default" {
                text = Some(String::new());
            }
        }
        let listed = || self.defaults.get(owner).and_then(|fields| fields.get(&name)).cloned();
        let Some(text) = text.or_else(|| whole.then(|| listed().unwrap_or_default())) else {
            return "required".into();
        };
        self.literal(&text, &ty)
    }

    /// A default as TOML.
    fn literal(&self, text: &str, ty: &str) -> String {
        let text = text.replace(" . into ()", "").replace("KernelSize :: All (", "").replace("- 1.0", "-1.0");
        let text = text.trim().trim_end_matches(')').trim();
        let simple = |text: &str| {
            text.parse::<f64>().is_ok()
                || text == "true"
                || text == "false"
                || text.starts_with('"')
                || text.starts_with('[')
        };
        if simple(text) {
            return format!("`{text}`");
        }
        if text == "- 1" {
            return "`-1`".into();
        }
        let is = |prefix: &str| ty.starts_with(prefix);
        match ty {
            _ if is("Option<") || (is("Vec<") && ty != "Vec<LayerConfig>") => "none".into(),
            "bool" => "`false`".into(),
            "f64" => "`0.0`".into(),
            "usize" | "u32" => "`0`".into(),
            "KernelSize" => "`0`".into(),
            "Standardize" => "`false`".into(),
            "InitConfig" => "`\"default\"`".into(),
            "Monitor" => "`\"val_loss\"`".into(),
            _ => match self
                .enums
                .get(ty)
                .map(|item| item.variants.iter().find(|v| v.attrs.iter().any(|a| a.path().is_ident("default"))))
            {
                Some(Some(variant)) => format!("`\"{}\"`", snake(&variant.ident.to_string())),
                _ => "see there".into(),
            },
        }
    }

    fn keys(&self, owner: &str, fields: &Fields, whole: bool) -> Vec<Key> {
        let Fields::Named(fields) = fields else { return Vec::new() };
        fields
            .named
            .iter()
            .map(|field| {
                let rename = serde(&field.attrs)
                    .into_iter()
                    .find_map(|m| m.strip_prefix("rename = ").map(|n| n.trim_matches('"').to_string()));
                let name = rename.unwrap_or_else(|| field.ident.as_ref().unwrap().to_string());
                let default = self.default_of(owner, field, whole);
                let listed = EXAMPLES.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string());
                let own = default.strip_prefix('`').map(|d| d.trim_end_matches('`').to_string());
                let kind = self.kind(&field.ty);
                // The exponent of a loss is a whole number, a dropout's probability is not.
                let listed = listed.filter(|_| !(name == "p" && kind == "whole number"));
                let is_init = kind.contains("initialiser") || kind.contains("](#");
                let listed =
                    if name == "init" && owner == "Config" { Some("\"weights.safetensors\"".into()) } else { listed };
                let example = if is_init && own.is_some() { own } else { listed.or(own) };
                Key { doc: doc(&field.attrs), kind, default, example, name }
            })
            .collect()
    }
}

fn serde(attrs: &[Attribute]) -> Vec<String> {
    let mut found = Vec::new();
    for attr in attrs.iter().filter(|a| a.path().is_ident("serde")) {
        let Meta::List(list) = &attr.meta else { continue };
        found.extend(list.tokens.to_string().split(',').map(|part| part.trim().to_string()));
    }
    found
}

fn doc(attrs: &[Attribute]) -> String {
    let lines = attrs.iter().filter(|a| a.path().is_ident("doc")).filter_map(|attr| {
        let Meta::NameValue(value) = &attr.meta else { return None };
        let Expr::Lit(lit) = &value.value else { return None };
        let Lit::Str(text) = &lit.lit else { return None };
        Some(text.value().trim().to_string())
    });
    let text = lines.collect::<Vec<_>>().join(" ");
    // Links of the library's documentation lead nowhere here.
    text.replace("[`", "`").replace("`]", "`").replace('|', "\\|")
}

fn snake(name: &str) -> String {
    let mut out = String::new();
    for (k, c) in name.char_indices() {
        if c.is_uppercase() && k > 0 {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

fn section_of(ty: &str) -> String {
    let known =
        [("ParamGroupConfig", "param_groups"), ("EarlyStoppingConfig", "early_stopping"), ("WarmupConfig", "warmup")];
    let name = known.iter().find(|(name, _)| *name == ty).map(|(_, section)| section.to_string());
    name.unwrap_or_else(|| snake(ty.trim_end_matches("Config")))
}

/// A table of keys.
fn rows(out: &mut String, keys: &[Key]) {
    out.push_str("| key | type | default | example | |\n|---|---|---|---|---|\n");
    for key in keys {
        let example = key.example.as_ref().map_or(String::new(), |value| format!("`{} = {value}`", key.name));
        let _ = writeln!(out, "| `{}` | {} | {} | {example} | {} |", key.name, key.kind, key.default, key.doc);
    }
    out.push('\n');
}

thread_local! {
    /// What is wrong with examples.
    static PROBLEMS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn problem(text: String) {
    PROBLEMS.with_borrow_mut(|problems| problems.push(text));
}

/// Reads settings.
fn parses(text: &str) {
    let parsed: Result<Config, _> = toml::from_str(text);
    if let Err(error) = parsed {
        problem(format!("an example is not read: {}\n{text}", error.message()));
    }
}

/// A section made of a struct; each key's example is read by itself.
fn section(out: &mut String, source: &Source, name: &str, ty: &str, table: &str) {
    let item = &source.structs[ty];
    let whole = serde(&item.attrs).iter().any(|m| m == "default");
    let keys = source.keys(ty, &item.fields, whole);
    let _ = writeln!(out, "## {name}\n\n{}\n", doc(&item.attrs));
    rows(out, &keys);
    let required: String =
        keys.iter().filter(|k| k.default == "required").map(|k| format!("{} = {}\n", k.name, example(ty, k))).collect();
    for key in &keys {
        let line = format!("{} = {}\n", key.name, example(ty, key));
        let line = if key.default == "required" { String::new() } else { line };
        let partner = if key.name == "init_partial" { "init = \"a\"\n" } else { "" };
        parses(&format!("{table}{partner}{required}{line}"));
    }
}

fn example<'k>(owner: &str, key: &'k Key) -> &'k str {
    key.example.as_deref().unwrap_or_else(|| {
        problem(format!("{owner}.{}: add an example of its value to EXAMPLES", key.name));
        "1"
    })
}

/// A section made of an enum that is told apart by `type`; all keys of a variant are read together.
fn variants(out: &mut String, source: &Source, name: &str, ty: &str, wrap: &dyn Fn(&str) -> String) {
    let item = &source.enums[ty];
    let _ = writeln!(out, "## {name}\n\n{}\n", doc(&item.attrs));
    for variant in &item.variants {
        let kind = snake(&variant.ident.to_string());
        let inner = match &variant.fields {
            Fields::Unnamed(fields) => tokens(&fields.unnamed[0].ty),
            _ => String::new(),
        };
        let keys = match source.structs.get(&inner) {
            Some(item) => source.keys(&inner, &item.fields, serde(&item.attrs).iter().any(|m| m == "default")),
            None => source.keys(ty, &variant.fields, false),
        };
        let _ = writeln!(out, "### `type = \"{kind}\"`\n\n{}\n", doc(&variant.attrs));
        if !keys.is_empty() {
            rows(out, &keys);
        }
        let nested =
            keys.iter().any(|key| key.kind.contains("list of: [layer]") || key.kind.contains("list of: [schedule]"));
        if !nested {
            let settings: String = keys.iter().map(|key| format!(", {} = {}", key.name, example(ty, key))).collect();
            parses(&wrap(&format!("{{ type = \"{kind}\"{settings} }}")));
        }
    }
}

fn page() -> String {
    let source = Source::read();
    let mut out = String::from(
        "# Settings\n\nEvery key of a settings file (TOML) for `wgrad train`, with its type, its default and an example. A file may leave out\n\
         any key with a default; unknown keys are refused. Single settings can be changed from the command line,\n\
         `--set optimizer.lr=0.1`. `wgrad train --out RUN` leaves all settings that were used in `RUN/config.toml`.\n\n\
         This page is made from the source of the settings by `tests/settings_page.rs`, which fails if they differ.\n\n",
    );
    section(&mut out, &source, "The top level", "Config", "");
    section(&mut out, &source, "data", "DataConfig", "[data]\n");
    section(&mut out, &source, "augment", "AugmentConfig", "[data.augment]\n");
    section(&mut out, &source, "model", "ModelConfig", "[model]\n");
    variants(&mut out, &source, "layers", "LayerConfig", &|layer| format!("[model]\nlayers = [{layer}]\n"));
    variants(&mut out, &source, "initialisers", "InitConfig", &|init| {
        format!("[model]\nlayers = [{{ type = \"linear\", out_features = 2, weight_init = {init} }}]\n")
    });
    variants(&mut out, &source, "loss", "LossConfig", &|loss| format!("loss = {loss}\n"));
    variants(&mut out, &source, "optimizer", "OptimizerConfig", &|optimizer| format!("optimizer = {optimizer}\n"));
    section(&mut out, &source, "param_groups", "ParamGroupConfig", "[[param_groups]]\n");
    variants(&mut out, &source, "schedule", "ScheduleConfig", &|schedule| format!("schedule = {schedule}\n"));
    section(&mut out, &source, "warmup", "WarmupConfig", "[schedule]\ntype = \"cosine\"\n[schedule.warmup]\n");
    section(&mut out, &source, "early_stopping", "EarlyStoppingConfig", "[early_stopping]\n");
    section(&mut out, &source, "checkpoint", "CheckpointConfig", "[checkpoint]\n");
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

#[test]
fn the_page_of_settings_is_what_the_source_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide/settings.md");
    let page = page();
    let problems = PROBLEMS.with_borrow(|problems| problems.join("\n"));
    assert!(problems.is_empty(), "{problems}");
    if std::env::var_os("WGRAD_WRITE_DOCS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let differs = written.lines().zip(page.lines()).position(|(a, b)| a != b);
    assert!(
        written == page,
        "docs/guide/settings.md is out of date (line {:?}): WGRAD_WRITE_DOCS=1 cargo test --test settings_page writes it",
        differs.map(|line| line + 1)
    );
}
