//! What the user says about the columns of a table.

use super::cells::{Table, shown, shown_names};
use serde::{Deserialize, Serialize};

/// What the columns of a table are for. Every column that is not named here is a numeric feature.
///
/// A column is named by its name, or, where no column has that name, by its place counted from 0.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug, Default)]
#[serde(default, deny_unknown_fields)]
pub struct TableSettings {
    /// The columns to be predicted; none: the table has no target.
    pub target: Vec<String>,
    /// Feature columns whose values are names, not amounts; each value becomes a feature of 0 or 1.
    pub categories: Vec<String>,
    /// Columns that are not used.
    pub ignore: Vec<String>,
    /// Replace missing features by the mean (or, of categories, the most frequent value) of the training rows; without
    /// it, a missing feature is an error.
    pub fill_missing: bool,
}

/// The use of a column.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Role {
    Number,
    Category,
    Target,
    Ignored,
}

impl TableSettings {
    /// The role of each column, and the target columns in the order they are named in.
    pub(super) fn roles(&self, table: &Table) -> Result<(Vec<Role>, Vec<usize>), String> {
        let mut roles = vec![Role::Number; table.names.len()];
        let mut targets = Vec::new();
        let lists = [
            (&self.target, "target", Role::Target),
            (&self.categories, "categories", Role::Category),
            (&self.ignore, "ignore", Role::Ignored),
        ];
        for (names, list, role) in lists {
            for name in names {
                let index = find(table, name).ok_or_else(|| unknown(table, name, &format!("`{list}`")))?;
                let Some(place) = roles.get_mut(index) else {
                    return Err(unknown(table, name, &format!("`{list}`")));
                };
                if *place != Role::Number {
                    return Err(format!("column {} of `{list}` is named twice", shown(name)));
                }
                *place = role;
                if role == Role::Target {
                    targets.push(index);
                }
            }
        }
        Ok((roles, targets))
    }
}

/// The column of that name, or else of that place.
fn find(table: &Table, name: &str) -> Option<usize> {
    let named = table.names.iter().position(|known| known == name);
    named.or_else(|| name.parse().ok().filter(|&index| index < table.names.len()))
}

/// The message for a column that does not exist; `whose` says who asked for it.
pub(super) fn unknown(table: &Table, name: &str, whose: &str) -> String {
    let known = shown_names(table.names.iter().map(String::as_str));
    format!("there is no column {} ({whose}); the columns are {known}", shown(name))
}
