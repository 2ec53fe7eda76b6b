//! A table that forgets a variant fails: the names stand in a `match` without `_`, so a new one does not compile
//! before it is named, and does not pass before it has a row.

/// `every_variant!(expected_of_all_rows, path::to::Plan { One, Two })`.
macro_rules! every_variant {
    ($expected:expr, $($part:ident)::+ { $($Variant:ident),+ $(,)? }) => {{
        use $($part)::+ as Plan;
        let name = |plan: &Plan| match plan { $(Plan::$Variant { .. } => stringify!($Variant)),+ };
        let seen: std::collections::BTreeSet<&str> = $expected.into_iter().map(|plan| name(&plan)).collect();
        $(assert!(seen.contains(stringify!($Variant)), "no row expects {}", stringify!($Variant));)+
    }};
}

pub(crate) use every_variant;

#[derive(Clone, Debug)]
enum Sample {
    One { with: u8 },
    Two,
}

#[test]
fn a_whole_table_passes() {
    let one = Sample::One { with: 1 };
    assert!(matches!(one, Sample::One { with: 1 }));
    every_variant!([one, Sample::Two], Sample { One, Two });
}

#[test]
#[should_panic(expected = "no row expects Two")]
fn a_table_without_a_variant_fails() {
    every_variant!([Sample::One { with: 1 }], Sample { One, Two });
}
