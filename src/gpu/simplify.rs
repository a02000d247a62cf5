//! Dead code elimination in shaders, based on their constants.
//!
//! The source of a kernel contains all of its variants, selected by constants, and functions that only some of them
//! call. A driver would translate and inline everything before it eliminates most of it: lavapipe then takes twice as
//! long to build a pipeline.

use wgpu::naga::compact::{KeepUnused, compact};
use wgpu::naga::front::wgsl::{Frontend, Options};
use wgpu::naga::valid::Capabilities;
use wgpu::naga::{Arena, Block, Expression, Literal, Module, Span, Statement};

/// Parses one of wgrad's own shaders, which is valid, and removes branches that are never taken and everything that
/// only they use. `None` if the source cannot be parsed after all: compiling it then reports the error.
pub(super) fn simplify(text: &str) -> Option<Module> {
    // Features that the device lacks are rejected later, when the module is validated for it.
    let options = Options { parse_doc_comments: false, capabilities: Capabilities::all() };
    let mut module = Frontend::new_with_options(options).parse(text).ok()?;
    let functions = module.functions.iter_mut().map(|(_, function)| function);
    for function in functions.chain(module.entry_points.iter_mut().map(|entry| &mut entry.function)) {
        prune(&mut function.body, &function.expressions);
        // These are only names, but those from a removed branch would keep calls of removed functions alive.
        function.named_expressions.clear();
    }
    compact(&mut module, KeepUnused::No);
    Some(module)
}

/// Replaces each `if` on a constant by the branch taken, and each block by its statements.
fn prune(block: &mut Block, expressions: &Arena<Expression>) {
    let mut kept: Vec<(Statement, Span)> = Vec::with_capacity(block.len());
    for (mut statement, span) in std::mem::take(block).span_into_iter() {
        match &mut statement {
            Statement::If { condition, accept, reject } => {
                prune(accept, expressions);
                prune(reject, expressions);
                if let Expression::Literal(Literal::Bool(taken)) = expressions[*condition] {
                    let chosen = if taken { accept } else { reject };
                    kept.extend(std::mem::take(chosen).span_into_iter());
                } else {
                    kept.push((statement, span));
                }
            }
            Statement::Block(inner) => {
                prune(inner, expressions);
                kept.extend(std::mem::take(inner).span_into_iter());
            }
            Statement::Loop { body, continuing, .. } => {
                prune(body, expressions);
                prune(continuing, expressions);
                kept.push((statement, span));
            }
            Statement::Switch { cases, .. } => {
                cases.iter_mut().for_each(|case| prune(&mut case.body, expressions));
                kept.push((statement, span));
            }
            _ => kept.push((statement, span)),
        }
        // Statements after a jump are unreachable, and invalid.
        let jumps = |(statement, _): &(Statement, Span)| {
            matches!(statement, Statement::Return { .. } | Statement::Break | Statement::Continue | Statement::Kill)
        };
        if kept.last().is_some_and(jumps) {
            break;
        }
    }
    for (statement, span) in kept {
        block.push(statement, span);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgpu::naga::valid::{ValidationFlags, Validator};

    #[test]
    fn dead_branches_are_removed_and_the_rest_is_valid() {
        let text = "const WIDE: u32 = 0u;
            @group(0) @binding(0) var<storage, read> narrow: array<f32>;
            @group(0) @binding(1) var<storage, read> wide: array<vec4<f32>>;
            @group(0) @binding(2) var<storage, read_write> c: array<f32>;
            fn one(i: u32) -> f32 { return narrow[i]; }
            fn four(i: u32) -> f32 { return wide[i].x; }
            fn load(i: u32) -> f32 {
                { if WIDE == 0u { return one(i); } }
                if WIDE > 1u { return four(i + 1u); }
                return four(i);
            }
            @compute @workgroup_size(1)
            fn main(@builtin(local_invocation_index) i: u32) {
                for (var k = 0u; WIDE == 1u; k += 1u) { c[k] = four(k); }
                for (var k = 0u; k < i; k += 1u) {
                    if WIDE == 1u { let v = four(k); c[k] = v + 1.0; } else { c[k] = load(k); }
                }
                if i > 2u { c[i] = 1.0; }
            }";
        let module = simplify(text).unwrap();
        Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&module).unwrap();
        let functions: Vec<_> = module.functions.iter().filter_map(|(_, f)| f.name.as_deref()).collect();
        let buffers: Vec<_> = module.global_variables.iter().filter_map(|(_, v)| v.name.as_deref()).collect();
        assert_eq!(functions, ["one", "load"]);
        assert_eq!(buffers, ["narrow", "c"]);
        let load = module.functions.iter().find(|(_, f)| f.name.as_deref() == Some("load")).unwrap().1;
        assert!(!load.body.iter().any(|s| matches!(s, Statement::If { .. })), "{:?}", load.body);
        // Conditions on run-time values stay.
        let main = &module.entry_points[0].function.body;
        assert_eq!(main.iter().filter(|s| matches!(s, Statement::If { .. })).count(), 1);
        assert!(simplify("fn main( {").is_none());
    }
}
