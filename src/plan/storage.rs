//! Where variables live.

use crate::shape::TensorType;
use crate::variable::Variable;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Variables' storage: one variable, or several of one dtype side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Storage {
    /// The variables and their first elements' positions, ascending.
    pub slots: Vec<(Variable, usize)>,
    /// What holds them all.
    pub ty: TensorType,
}

impl Storage {
    /// A variable on its own.
    pub fn alone(variable: &Variable) -> Self {
        Storage { slots: vec![(variable.clone(), 0)], ty: variable.tensor_type() }
    }
    /// Its name: a number no other storage of a session has.
    pub fn id(&self) -> u64 {
        self.slots[0].0.id()
    }
    /// The first element's position of a variable.
    pub fn offset(&self, variable: &Variable) -> Option<usize> {
        self.slots.iter().find(|(v, _)| v == variable).map(|&(_, offset)| offset)
    }
    /// The variable that all elements of a range belong to.
    pub fn holder(&self, range: &Range<usize>) -> Option<&Variable> {
        let holds = |(variable, offset): &&(Variable, usize)| {
            *offset <= range.start && range.end <= offset + variable.tensor_type().shape.elements()
        };
        self.slots.iter().find(holds).map(|(variable, _)| variable)
    }
}

/// Where a session's variables have their storage. A variable stays where it was first put: compiled programs refer to it.
#[derive(Debug, Clone, Default)]
pub struct Placement(HashMap<u64, Arc<Storage>>);

impl Placement {
    /// The storage of a variable that has one.
    pub fn get(&self, variable: &Variable) -> Option<&Arc<Storage>> {
        self.0.get(&variable.id())
    }
    /// The storage of a variable that has one, and its first element's position there.
    pub fn find(&self, variable: &Variable) -> Option<(&Arc<Storage>, usize)> {
        let storage = self.get(variable)?;
        Some((storage, storage.offset(variable)?))
    }
    /// Puts variables in a storage, unless they are there already; whether it is new.
    pub fn put(&mut self, storage: &Arc<Storage>) -> bool {
        let new = !self.0.contains_key(&storage.id());
        if new {
            self.0.extend(storage.slots.iter().map(|(variable, _)| (variable.id(), storage.clone())));
        }
        new
    }
}
