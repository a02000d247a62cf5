//! A case: its name, operation, attributes and inputs.

use crate::data::npz::NpzArray;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::shape::Axes;
use crate::tensor::Tensor;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Why a case cannot be built.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The operation or an attribute is not supported.
    NotCovered(String),
    /// The case is invalid for its operation.
    Wrong(String),
}

/// A case listed in the index.
#[derive(Debug)]
pub(super) struct Case {
    /// The name of the case and of its file.
    pub(super) name: String,
    /// The operation.
    pub(super) op: String,
    attrs: Value,
    read: RefCell<BTreeSet<String>>,
}

/// Reads the cases of a folder.
pub(super) fn read_index(folder: &Path) -> Result<Vec<Case>> {
    let path = folder.join("index.json");
    let text = std::fs::read_to_string(&path).map_err(|e| Error::file(&path, format!("could not read: {e}")))?;
    let index: Value = serde_json::from_str(&text).map_err(|e| Error::file(&path, format!("is not JSON: {e}")))?;
    let list = index["cases"].as_array().ok_or_else(|| Error::file(&path, "has no list `cases`"))?;
    let case = |entry: &Value| -> Result<Case> {
        let text = |key: &str| {
            let value = entry[key].as_str().filter(|text| !text.contains(['/', '\\']));
            value.map(String::from).ok_or_else(|| Error::file(&path, format!("has a case without a `{key}`: {entry}")))
        };
        let read = RefCell::default();
        Ok(Case { name: text("case")?, op: text("op")?, attrs: entry["attrs"].clone(), read })
    };
    list.iter().map(case).collect()
}

impl Case {
    /// An attribute; null if there is none.
    fn get(&self, key: &str) -> &Value {
        self.read.borrow_mut().insert(key.to_string());
        &self.attrs[key]
    }
    /// The attributes that were never read.
    pub(super) fn unread(&self) -> Vec<String> {
        let read = self.read.borrow();
        let keys = self.attrs.as_object().into_iter().flat_map(|attrs| attrs.keys());
        keys.filter(|key| !read.contains(*key) && *key != "note").cloned().collect()
    }
    /// Marks attributes as read that carry no information of their own, such as whether an input is present.
    pub(super) fn implied(&self, keys: &[&str]) {
        self.read.borrow_mut().extend(keys.iter().map(|key| key.to_string()));
    }
    /// Whether an attribute is given.
    pub(super) fn has(&self, key: &str) -> bool {
        !self.get(key).is_null()
    }
    pub(super) fn flag(&self, key: &str, default: bool) -> bool {
        self.get(key).as_bool().unwrap_or(default)
    }
    /// A number, which may be a string such as `"inf"`.
    pub(super) fn number(&self, key: &str, default: f64) -> f64 {
        let value = self.get(key);
        value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(default)
    }
    pub(super) fn integer(&self, key: &str, default: i64) -> isize {
        self.get(key).as_i64().unwrap_or(default) as isize
    }
    pub(super) fn text(&self, key: &str) -> &str {
        self.get(key).as_str().unwrap_or_default()
    }
    /// A number, or a list of them; `default` if there is none.
    pub(super) fn sizes(&self, key: &str, default: &[usize]) -> Result<Vec<usize>, Trouble> {
        match self.get(key) {
            Value::Null => Ok(default.to_vec()),
            value => {
                let one = |v: &Value| v.as_u64().map(|n| n as usize);
                let list = match value {
                    Value::Array(list) => list.iter().map(one).collect(),
                    value => one(value).map(|n| vec![n]),
                };
                list.ok_or_else(|| Trouble::NotCovered(format!("`{key}` is {value}")))
            }
        }
    }
    /// A signed integer, or a list of them.
    pub(super) fn integers(&self, key: &str) -> Option<Vec<isize>> {
        match self.get(key) {
            Value::Array(list) => list.iter().map(|v| v.as_i64().map(|n| n as isize)).collect(),
            value => value.as_i64().map(|n| vec![n as isize]),
        }
    }
    /// The axes given by `dim` (or `dims`, `axis`), or by a part of the name of the operation or the case: `_all`,
    /// `_last`, `_dim1`, `_dims_0_2`.
    pub(super) fn axes(&self) -> Axes {
        if let Some(list) = ["dim", "dims", "axis"].iter().find_map(|key| self.integers(key)) {
            return if list.is_empty() { Axes::All } else { Axes::List(list) };
        }
        for name in [&self.op, &self.name] {
            let words: Vec<&str> = name.split('_').collect();
            if words.contains(&"last") {
                return (-1).into();
            }
            for (k, word) in words.iter().enumerate() {
                let digits = |word: &str| word.parse::<isize>().ok();
                let own = word.strip_prefix("dims").or_else(|| word.strip_prefix("dim"));
                let Some(own) = own else { continue };
                let more = words[k + 1..].iter().map_while(|word| digits(word));
                let list: Vec<isize> = digits(own).into_iter().chain(more).collect();
                if !list.is_empty() {
                    return Axes::List(list);
                }
            }
        }
        Axes::All
    }
    /// The axis given by `dim`, or `default` if there is not exactly one.
    pub(super) fn axis(&self, default: isize) -> isize {
        match self.axes() {
            Axes::List(list) if list.len() == 1 => list[0],
            _ => default,
        }
    }
    /// Whether reduced axes are kept, with size 1.
    pub(super) fn keepdim(&self) -> bool {
        self.flag("keepdim", self.op.contains("keep") && !self.has("keepdim"))
    }
    /// The error of a case that is invalid for its operation.
    pub(super) fn wrong<T>(&self, message: impl Into<String>) -> Result<T, Trouble> {
        Err(Trouble::Wrong(message.into()))
    }
}

/// The inputs of a case's graph.
pub(super) struct Inputs<'g> {
    /// Names, tensors and values.
    pub(super) list: Vec<(String, Tensor<'g>, NpzArray)>,
}

impl<'g> Inputs<'g> {
    /// Adds an input for every array `in.*`.
    pub(super) fn new(graph: &'g Graph, arrays: &BTreeMap<String, NpzArray>) -> Self {
        let given =
            arrays.iter().filter_map(|(key, value)| Some((key.strip_prefix("in.")?.to_string(), value.clone())));
        let input = |(name, value): (String, NpzArray)| {
            let tensor = graph.input(&name, value.array.shape.clone(), super::dtype(&value));
            (name, tensor, value)
        };
        Inputs { list: given.map(input).collect() }
    }
    /// The input of this name, if any.
    pub(super) fn find(&self, name: &str) -> Option<Tensor<'g>> {
        self.list.iter().find(|(n, _, _)| n == name).map(|(_, t, _)| *t)
    }
    /// The input of this name, or an error.
    pub(super) fn get(&self, name: &str) -> Result<Tensor<'g>, Trouble> {
        self.find(name).ok_or_else(|| Trouble::NotCovered(format!("there is no input `{name}`")))
    }
    /// The first of these inputs that is present.
    pub(super) fn any(&self, names: &[&str]) -> Result<Tensor<'g>, Trouble> {
        let found = names.iter().find_map(|name| self.find(name));
        found.ok_or_else(|| Trouble::NotCovered(format!("there is no input `{}`", names[0])))
    }
    /// The operand of an operation of one tensor.
    pub(super) fn x(&self) -> Result<Tensor<'g>, Trouble> {
        self.any(&["x", "input", "a", "logits"])
    }
    /// All float inputs but upstream gradients: `a`, `b`, `c`, … or `x0`, `x1`, ….
    pub(super) fn all(&self) -> Vec<Tensor<'g>> {
        let operands = self.list.iter().filter(|(name, t, _)| !name.starts_with("grad_out") && t.dtype().is_float());
        operands.map(|(_, t, _)| *t).collect()
    }
}
