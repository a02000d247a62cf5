//! Storage of variables.

use crate::shape::TensorType;
use crate::variable::Variable;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// The storage of one variable, or of several of one dtype in an arena.
#[derive(Debug, Clone, PartialEq)]
pub struct Storage {
    /// The variables and the offsets of their first elements, ascending.
    pub slots: Vec<(Variable, usize)>,
    /// The type of the whole storage.
    pub ty: TensorType,
}

impl Storage {
    /// The storage of a single variable.
    pub fn alone(variable: &Variable) -> Self {
        Storage { slots: vec![(variable.clone(), 0)], ty: variable.tensor_type() }
    }
    /// Its ID, unique in a session.
    pub fn id(&self) -> u64 {
        self.slots[0].0.id()
    }
    /// The offset of a variable's first element.
    pub fn offset(&self, variable: &Variable) -> Option<usize> {
        self.slots.iter().find(|(v, _)| v == variable).map(|&(_, offset)| offset)
    }
    /// The variable that contains all elements of a range.
    pub fn variable_at(&self, range: &Range<usize>) -> Option<&Variable> {
        let contains = |(variable, offset): &&(Variable, usize)| {
            *offset <= range.start && range.end <= offset + variable.tensor_type().shape.elements()
        };
        self.slots.iter().find(contains).map(|(variable, _)| variable)
    }
}

/// The storage of each variable of a session. A variable is never moved, because compiled programs refer to its
/// storage.
#[derive(Debug, Clone, Default)]
pub struct Placement(HashMap<u64, Arc<Storage>>);

impl Placement {
    /// The storage of a variable, if it has one.
    pub fn get(&self, variable: &Variable) -> Option<&Arc<Storage>> {
        self.0.get(&variable.id())
    }
    /// The storage of a variable and the offset of its first element, if it has one.
    pub fn find(&self, variable: &Variable) -> Option<(&Arc<Storage>, usize)> {
        let storage = self.get(variable)?;
        Some((storage, storage.offset(variable)?))
    }
    /// Assigns a storage to its variables, unless they already have it; returns whether it is new.
    pub fn put(&mut self, storage: &Arc<Storage>) -> bool {
        let new = !self.0.contains_key(&storage.id());
        if new {
            self.0.extend(storage.slots.iter().map(|(variable, _)| (variable.id(), storage.clone())));
        }
        new
    }
}
