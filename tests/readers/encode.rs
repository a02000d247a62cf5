//! Encoding tables: an example for each rule.
use proptest::prelude::*;
use wgrad::data::TargetKind;
use wgrad::data::table::{
    Column, EncodedTargets, Encoder, MOST_CATEGORIES, Table, TableOptions, TableSettings, read_table,
};

fn read(text: &str) -> Table {
    read_table(text.as_bytes(), &TableOptions::default()).unwrap()
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

fn settings(target: &[&str], categories: &[&str], ignore: &[&str]) -> TableSettings {
    TableSettings {
        target: strings(target),
        categories: strings(categories),
        ignore: strings(ignore),
        fill_missing: false,
    }
}

fn fit(table: &Table, settings: &TableSettings, kind: TargetKind) -> Result<Encoder, String> {
    Encoder::fit(table, settings, kind, &(0..table.rows()).collect::<Vec<_>>())
}

const COLORS: &str = "size,color,n,kind\n1,red,10,cat\n2,blue,9,dog\n3,red,10,cat\n";

#[test]
fn features_by_name() {
    let table = read(COLORS);
    let encoder = fit(&table, &settings(&["kind"], &["color", "n"], &[]), TargetKind::Auto).unwrap();
    assert_eq!(encoder.feature_names(), ["size", "color=blue", "color=red", "n=9", "n=10"]);
    assert_eq!(encoder.width(), 5);
    let expected = [1.0, 0.0, 1.0, 0.0, 1.0, 2.0, 1.0, 0.0, 1.0, 0.0, 3.0, 0.0, 1.0, 0.0, 1.0];
    assert_eq!(encoder.features(&table).unwrap(), (expected.to_vec(), 5));
    assert_eq!(encoder.targets(&table).unwrap(), EncodedTargets::Classes(vec![0, 1, 0]));
    assert_eq!(encoder.class_names().unwrap(), ["cat", "dog"]);
    assert_eq!(encoder.target_names(), ["kind"]);
    // Another order, more columns, no target.
    let other = read("extra,n,color,size\nx,9,red,7\n");
    assert_eq!(encoder.features(&other).unwrap(), (vec![7.0, 0.0, 1.0, 1.0, 0.0], 5));
    let lacking = "there is no column \"kind\" (the target); the columns are \"extra\", \"n\", \"color\", \"size\"";
    assert_eq!(encoder.targets(&other).unwrap_err(), lacking);
    let unseen = encoder.features(&read("n,color,size\n\n9,green,7\n")).unwrap_err();
    assert_eq!(unseen, "line 3, column \"color\": \"green\" is not among the values of the training table");
    let unseen = encoder.features(&read("n,color,size\n11,red,7\n")).unwrap_err();
    assert_eq!(unseen, "line 2, column \"n\": \"11\" is not among the values of the training table");
    let unseen = encoder.targets(&read("kind,size\ncow,7\n")).unwrap_err();
    assert_eq!(unseen, "line 2, column \"kind\": \"cow\" is not among the values of the training table");
    let large = encoder.features(&read("n,color,size\n9,red,1e39\n")).unwrap_err();
    assert_eq!(large, "line 2, column \"size\": 1e39 is too large for f32");
    let text = encoder.features(&read("n,color,size\n9,red,1\n9,red,big\n")).unwrap_err();
    assert_eq!(text, "line 3, column \"size\": \"big\" is not a number");
    let json = serde_json::to_string(&encoder).unwrap();
    assert_eq!(serde_json::from_str::<Encoder>(&json).unwrap(), encoder);
}

#[test]
fn features_by_place() {
    let table = read("1,5,10\n2,6,20\n1,7,30\n2,8,40\n");
    let encoder = fit(&table, &settings(&["0"], &[], &["1"]), TargetKind::Values).unwrap();
    assert_eq!(encoder.features(&table).unwrap().0, [10.0, 20.0, 30.0, 40.0]);
    assert_eq!(encoder.features(&read("5,10\n")).unwrap().0, [10.0]);
    assert_eq!(encoder.features(&read("10\n")).unwrap().0, [10.0]);
    assert!(encoder.features(&read("1,2,3,4\n")).unwrap_err().contains("there must be 3, 2 or 1"));
    assert!(encoder.targets(&read("5,10\n")).unwrap_err().contains("no column \"0\""));
    let named = read("y,i,x\n1,5,10\n2,6,20\n");
    let encoder = fit(&named, &settings(&["0"], &[], &["i"]), TargetKind::Values).unwrap();
    assert_eq!(encoder.target_names(), ["y"]);
    assert_eq!(encoder.features(&read("5,10\n")).unwrap().0, [10.0]);
}

#[test]
fn numbers_as_categories_whatever_the_column_is() {
    let table = read("x,c\n1,01\n2,b\n3,2.0\n");
    let encoder = fit(&table, &settings(&[], &["c"], &[]), TargetKind::Auto).unwrap();
    assert_eq!(encoder.feature_names(), ["x", "c=1", "c=2", "c=b"]);
    assert_eq!(encoder.features(&read("x,c\n1,1\n2,2\n")).unwrap().0, [1.0, 1.0, 0.0, 0.0, 2.0, 0.0, 1.0, 0.0]);
    assert_eq!(encoder.targets(&table).unwrap(), EncodedTargets::None);
    assert!(encoder.class_names().is_none() && encoder.target_names().is_empty());
}

#[test]
fn columns_named_wrongly() {
    let table = read(COLORS);
    let text = fit(&table, &settings(&["kind"], &[], &[]), TargetKind::Auto).unwrap_err();
    assert_eq!(text, "column \"color\" is text (\"red\" on line 2): name it in `categories` or `ignore`");
    for (bad, list) in [
        (settings(&["knid"], &[], &[]), "target"),
        (settings(&[], &["4"], &[]), "categories"),
        (settings(&[], &[], &["-1"]), "ignore"),
    ] {
        let unknown = fit(&table, &bad, TargetKind::Auto).unwrap_err();
        let known = format!("(`{list}`); the columns are \"size\", \"color\", \"n\", \"kind\"");
        assert!(unknown.starts_with("there is no column ") && unknown.ends_with(&known), "{unknown}");
    }
    let twice = fit(&table, &settings(&["kind"], &["color"], &["3"]), TargetKind::Auto).unwrap_err();
    assert_eq!(twice, "column \"3\" of `ignore` is named twice");
    let none = fit(&table, &settings(&["kind"], &[], &["size", "color", "n"]), TargetKind::Auto).unwrap_err();
    assert_eq!(none, "no column is left as a feature");
    let wide = read(&(0..30).map(|c| format!("c{c}")).collect::<Vec<_>>().join(",").to_string().add_row(30));
    assert!(fit(&wide, &settings(&["x"], &[], &[]), TargetKind::Auto).unwrap_err().ends_with("\"c19\" and 10 more"));
}

trait AddRow {
    fn add_row(&self, width: usize) -> String;
}

impl AddRow for String {
    fn add_row(&self, width: usize) -> String {
        format!("{self}\n{}\n", vec!["1"; width].join(","))
    }
}

#[test]
fn missing() {
    let table = read("a,c,y\n1,u,1\n?,v,2\n3,,3\n5,v,4\n100,u,5\n200,u,6\n");
    let mut with = settings(&["y"], &["c"], &[]);
    let refused = fit(&table, &with, TargetKind::Values).unwrap_err();
    let expected = "line 3, column \"a\": the value is missing (and 1 other value is missing); set `data.missing` to \
                    \"mean\", or name the column in `data.ignore`";
    assert_eq!(refused, expected);
    with.fill_missing = true;
    let encoder = Encoder::fit(&table, &with, TargetKind::Values, &[0, 1, 2, 3]).unwrap();
    let (features, width) = encoder.features(&table).unwrap();
    assert_eq!(width, 3);
    assert_eq!(features[3..9], [3.0, 0.0, 1.0, 3.0, 0.0, 1.0]);
    let tie = Encoder::fit(&table, &with, TargetKind::Values, &[0, 1]).unwrap();
    assert_eq!(tie.features(&table).unwrap().0[6..9], [3.0, 1.0, 0.0]);
    let empty = Encoder::fit(&table, &with, TargetKind::Values, &[1]).unwrap_err();
    assert_eq!(empty, "column \"a\" has no value in the training rows that could replace missing ones");
    let outside = Encoder::fit(&table, &with, TargetKind::Values, &[6]).unwrap_err();
    assert_eq!(outside, "training row 6 is none of the 6 rows of the table");
    let complete = read("a,c,y\n1,u,1\n2,v,2\n");
    let strict = fit(&complete, &settings(&["y"], &["c"], &[]), TargetKind::Values).unwrap();
    let later = strict.features(&read("a,c\n1,u\n2,NA\n")).unwrap_err();
    assert_eq!(later, "line 3, column \"c\": the value is missing");
    let target = fit(&read("a,y\n1,1\n2,\n"), &settings(&["y"], &[], &[]), TargetKind::Auto).unwrap_err();
    assert_eq!(target, "line 3, column \"y\": the value is missing; a target must not be missing");
    assert_eq!(
        strict.targets(&read("a,c,y\n1,u,1\n2,v,?\n")).unwrap_err(),
        "line 3, column \"y\": the value is missing"
    );
}

/// The target column `y` with these values, next to a feature.
fn with_target(values: &[&str]) -> Table {
    let rows: Vec<String> = values.iter().enumerate().map(|(row, value)| format!("{row},{value}\n")).collect();
    let text = format!("x,y\n{}", rows.concat());
    read_table(text.as_bytes(), &TableOptions { header: Some(true), ..Default::default() }).unwrap()
}

fn targets(values: &[&str], kind: TargetKind) -> Result<(EncodedTargets, Option<Vec<String>>), String> {
    let table = with_target(values);
    let encoder = fit(&table, &settings(&["y"], &[], &[]), kind)?;
    Ok((encoder.targets(&table)?, encoder.class_names().map(<[String]>::to_vec)))
}

#[test]
fn kinds_of_targets() {
    use TargetKind::{Auto, Classes, Values};
    let classes =
        |classes: &[u32], names: &[&str]| Ok((EncodedTargets::Classes(classes.to_vec()), Some(strings(names))));
    let values = |values: &[f32]| Ok((EncodedTargets::Values { values: values.to_vec(), width: 1 }, None));
    assert_eq!(targets(&["1", "0", "1", "0"], Auto), classes(&[1, 0, 1, 0], &["0", "1"]));
    assert_eq!(targets(&["1", "0", "1"], Auto), values(&[1.0, 0.0, 1.0]));
    assert_eq!(targets(&["2", "0", "2", "0"], Auto), values(&[2.0, 0.0, 2.0, 0.0]));
    assert_eq!(targets(&["0", "0", "0", "0"], Auto), values(&[0.0; 4]));
    assert_eq!(targets(&["0.5", "0", "1", "0"], Auto), values(&[0.5, 0.0, 1.0, 0.0]));
    assert_eq!(targets(&["-1", "0", "1", "0"], Auto), values(&[-1.0, 0.0, 1.0, 0.0]));
    assert_eq!(targets(&["10", "9", "-1.5", "10"], Classes), classes(&[2, 1, 0, 2], &["-1.5", "9", "10"]));
    assert_eq!(targets(&["b", "a", "b"], Auto), classes(&[1, 0, 1], &["a", "b"]));
    assert_eq!(targets(&["1", "0", "1", "0"], Values), values(&[1.0, 0.0, 1.0, 0.0]));
    assert_eq!(targets(&["b", "a"], Values).unwrap_err(), "target column \"y\" is text, but values must be numbers");
    assert_eq!(targets(&["1e39", "1"], Values).unwrap_err(), "line 2, column \"y\": 1e39 is too large for f32");
    let table = read("a,b,c,t\n1,0,5,x\n2,1,6,y\n");
    let encoder = fit(&table, &settings(&["c", "a"], &[], &["t"]), Auto).unwrap();
    let expected = EncodedTargets::Values { values: vec![5.0, 1.0, 6.0, 2.0], width: 2 };
    assert_eq!(encoder.targets(&table).unwrap(), expected);
    assert_eq!(encoder.target_names(), ["c", "a"]);
    let several = fit(&table, &settings(&["c", "a"], &[], &["t"]), Classes).unwrap_err();
    assert_eq!(several, "`target` names 2 columns, but classes are in a single one");
    assert!(fit(&table, &settings(&["c", "t"], &[], &[]), Auto).unwrap_err().contains("\"t\" is text"));
}

#[test]
fn limits() {
    let values: Vec<String> = (0..=MOST_CATEGORIES).map(|value| format!("v{value}")).collect();
    let table = with_target(&values.iter().map(String::as_str).collect::<Vec<_>>());
    let many = fit(&table, &settings(&[], &["y"], &[]), TargetKind::Auto).unwrap_err();
    assert_eq!(many, "column \"y\" has more than 10000 different values");
    let uneven = Table { names: strings(&["a"]), columns: vec![Column::Numbers(vec![1.0])], lines: vec![] };
    assert!(fit(&uneven, &settings(&[], &[], &[]), TargetKind::Auto).unwrap_err().contains("differ in length"));
    let huge = read("a\n1e308\n1e308\n");
    let fill = TableSettings { fill_missing: true, ..Default::default() };
    assert_eq!(fit(&huge, &fill, TargetKind::Auto).unwrap_err(), "the mean of column \"a\" is too large for f32");
    let settings: TableSettings = serde_json::from_str(r#"{"target":["y"]}"#).unwrap();
    assert_eq!(settings, self::settings(&["y"], &[], &[]));
    assert!(serde_json::from_str::<TableSettings>(r#"{"targets":["y"]}"#).is_err());
}

proptest! {
    #[test]
    fn one_hot_decodes_to_the_table(rows in prop::collection::vec((-1e30..1e30_f64, 0..5_u8, "[a-d]"), 1..40)) {
        let mut text = "x,n,t\n".to_string();
        for (x, n, t) in &rows {
            text += &format!("{x:e},{n},{t}\n");
        }
        let table = read(&text);
        let encoder = fit(&table, &settings(&["t"], &["n"], &[]), TargetKind::Auto).unwrap();
        let names = encoder.feature_names();
        let (features, width) = encoder.features(&table).unwrap();
        prop_assert_eq!(names.len(), width);
        let EncodedTargets::Classes(classes) = encoder.targets(&table).unwrap() else { panic!() };
        for (row, (x, n, t)) in rows.iter().enumerate() {
            let out = &features[row * width..][..width];
            prop_assert_eq!(out[0], *x as f32);
            prop_assert_eq!(out[1..].iter().sum::<f32>(), 1.0);
            let hot = out[1..].iter().position(|&v| v == 1.0).unwrap() + 1;
            prop_assert_eq!(&names[hot], &format!("n={n}"));
            prop_assert_eq!(&encoder.class_names().unwrap()[classes[row] as usize], t);
        }
    }
}
