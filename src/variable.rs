//! Variables: values that stay on the device between runs.

use crate::array::Array;
use crate::shape::TensorType;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A value that stays on the device between runs: a parameter, an optimiser's state, a running statistic, a metric,
/// a data set.
///
/// A `Variable` is a cheap handle (clones are the same variable). Graphs refer to it with
/// [`Graph::variable`](crate::Graph::variable); all programs of one [`Session`](crate::Session) share its storage.
///
/// ```
/// use wgrad::{Array, Variable};
/// let w = Variable::new("weight", Array::from([1.0f32, 2.0]));
/// assert_eq!(w.name(), "weight");
/// ```
#[derive(Clone)]
pub struct Variable(Arc<Inner>);

struct Inner {
    id: u64,
    name: String,
    initial: Arc<Array>,
}

impl Variable {
    /// A variable with an initial value, which also fixes its shape and dtype.
    pub fn new(name: impl Into<String>, initial: impl Into<Array>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Variable(Arc::new(Inner { id, name: name.into(), initial: Arc::new(initial.into()) }))
    }
    /// The same variable under another name.
    pub fn renamed(&self, name: impl Into<String>) -> Self {
        Variable(Arc::new(Inner { id: self.0.id, name: name.into(), initial: self.0.initial.clone() }))
    }
    /// A number unique to this variable within the process.
    pub fn id(&self) -> u64 {
        self.0.id
    }
    /// The variable's name, used in messages.
    pub fn name(&self) -> &str {
        &self.0.name
    }
    /// The initial value. The variable keeps it until a program or [`Session::write`](crate::Session::write) changes
    /// it.
    pub fn initial(&self) -> &Array {
        &self.0.initial
    }
    /// The shape and dtype.
    pub fn tensor_type(&self) -> TensorType {
        self.0.initial.tensor_type()
    }
}

impl PartialEq for Variable {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}
impl Eq for Variable {}

impl std::fmt::Debug for Variable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Variable({} {})", self.name(), self.tensor_type())
    }
}
