//! Shaders without what their constants rule out.
//!
//! A kernel's text holds all of its forms, between which constants choose, and functions that only some of them call. A driver
//! would translate and inline all of that first and then throw most of it away: with it, building a pipeline takes
//! lavapipe twice as long.

use wgpu::naga::compact::{KeepUnused, compact};
use wgpu::naga::front::wgsl::{Frontend, Options};
use wgpu::naga::valid::Capabilities;
use wgpu::naga::{Arena, Block, Expression, Literal, Module, Span, Statement};

/// The module of one of wgrad's own shaders, which is valid, without branches that are never taken and whatever only they use.
/// `None` if it cannot be parsed after all: whoever compiles the text then says why.
pub(super) fn simplify(text: &str) -> Option<Module> {
    // What the device lacks is refused when the module is validated for it.
    let options = Options { parse_doc_comments: false, capabilities: Capabilities::all() };
    let mut module = Frontend::new_with_options(options).parse(text).ok()?;
    let functions = module.functions.iter_mut().map(|(_, function)| function);
    for function in functions.chain(module.entry_points.iter_mut().map(|entry| &mut entry.function)) {
        prune(&mut function.body, &function.expressions);
        // Names only, and those of a branch that is gone would keep calls of functions that are gone with it.
        function.named_expressions.clear();
    }
    compact(&mut module, KeepUnused::No);
    Some(module)
}

/// Puts what a constant condition chooses in the place of the `if`, and what blocks hold in theirs.
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
        // What follows a jump is never reached, and would not be valid.
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
    fn what_constants_rule_out_is_gone_and_the_rest_is_valid() {
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
        // What the device decides stays.
        let main = &module.entry_points[0].function.body;
        assert_eq!(main.iter().filter(|s| matches!(s, Statement::If { .. })).count(), 1);
        assert!(simplify("fn main( {").is_none());
    }
}
