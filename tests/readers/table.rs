//! Reading tables: an example for each rule, and round trips.
use proptest::prelude::*;
use std::io::Read;
use wgrad::data::table::{Column, MOST_COLUMNS, Table, TableOptions, read_table};

fn read(text: impl AsRef<[u8]>) -> Table {
    read_table(text.as_ref(), &TableOptions::default()).unwrap()
}

fn options(delimiter: Option<char>, header: Option<bool>) -> TableOptions {
    TableOptions { delimiter, header, comment: None }
}

fn error(text: impl AsRef<[u8]>) -> String {
    read_table(text.as_ref(), &TableOptions::default()).unwrap_err()
}

fn texts(values: &[&str]) -> Column {
    Column::Text(values.iter().map(|v| if v.is_empty() { None } else { Some(v.to_string()) }).collect())
}

fn numbers(values: &[f64]) -> Column {
    Column::Numbers(values.to_vec())
}

/// NaN-proof comparison.
fn same(a: &Column, b: &Column) -> bool {
    format!("{a:?}") == format!("{b:?}")
}

#[test]
fn header_quotes_blanks_and_line_ends() {
    for end in ["\n", "\r\n", "\r"] {
        for bom in ["", "\u{feff}"] {
            for last in ["", end] {
                let lines = ["", " a ,\"b \"\"x\"\"\",c", "", "1, two,\"3", "\"", "   ", "4,\"five, six\",7"];
                let table = read(format!("{bom}{}{last}", lines.join(end)));
                assert_eq!(table.names, ["a", "b \"x\"", "c"]);
                assert_eq!(table.columns[0], numbers(&[1.0, 4.0]));
                assert_eq!(table.columns[1], texts(&["two", "five, six"]));
                assert_eq!(table.columns[2], numbers(&[3.0, 7.0]));
                assert_eq!(table.lines, [4, 7], "{end:?} {bom:?} {last:?}");
            }
        }
    }
}

#[test]
fn delimiters() {
    for delimiter in [",", ";", "\t"] {
        let table = read(format!("a{delimiter}b\n1{delimiter}2\n"));
        assert_eq!(table.names, ["a", "b"]);
    }
    let table = read("x;y\n1,5;2,5\n-3;1e2\n");
    assert_eq!(table.columns, [numbers(&[1.5, -3.0]), numbers(&[2.5, 100.0])]);
    let table = read("1,5;2,5\n1,7;2,9\n");
    assert_eq!(table.columns, [numbers(&[1.5, 1.7]), numbers(&[2.5, 2.9])]);
    let table = read("x;y\n1,5;1\n2.5;2\n");
    assert_eq!(table.columns[0], texts(&["1,5", "2.5"]));
    let table = read("x;y\n1.234,5;1\n2,5;2\n");
    assert_eq!(table.columns[0], texts(&["1.234,5", "2,5"]));
    let table = read("a,\"x;y\"\n1,\"2;3\"\n4,\"5;6\"\n");
    assert_eq!(table.names, ["a", "x;y"]);
    assert_eq!(read("a,\"x;y\"\n1,\"2;3\"\n4,\"5;6\"\n").names, ["a", "x;y"]);
    assert_eq!(read("0\t5\" ; 3\"\n1\t5\" ; 4\"\n").columns[1], texts(&["5\" ; 3\"", "5\" ; 4\""]));
    assert_eq!(read("1,5\"\n2,6\"\n").columns[1], texts(&["5\"", "6\""]));
    let table = read("x\n1\n2.5\n");
    assert_eq!((table.names.len(), &table.columns[0]), (1, &numbers(&[1.0, 2.5])));
    let table = read_table("a|b\n1|2\n".as_bytes(), &options(Some('|'), None)).unwrap();
    assert_eq!(table.names, ["a", "b"]);
    for bad in ['é', '"', '\n'] {
        assert!(read_table("a".as_bytes(), &options(Some(bad), None)).unwrap_err().contains("delimiter"));
    }
}

#[test]
fn comments() {
    let with = TableOptions { comment: Some('#'), ..Default::default() };
    let table = read_table("# a, b; c\n# \"\nx,y\n#\n1,\"#2\"\n".as_bytes(), &with).unwrap();
    assert_eq!((table.names, table.lines), (vec!["x".to_string(), "y".to_string()], vec![5]));
    assert_eq!(table.columns[1], texts(&["#2"]));
    let same = TableOptions { comment: Some('#'), delimiter: Some('#'), header: None };
    assert!(read_table("1".as_bytes(), &same).unwrap_err().contains("same"));
}

#[test]
fn headers() {
    assert_eq!(read("5.1,3.5,setosa\n4.9,3.0,virginica\n").names, ["0", "1", "2"]);
    assert_eq!(read(",1,2\n3,4,5\n").names, ["0", "1", "2"]);
    assert_eq!(read("name,2019\nx,1\n").names, ["0", "1"]);
    assert_eq!(read("name,2019,n\nx,1,2\n").names, ["name", "2019", "n"]);
    assert_eq!(read("a,b\n?,x\n1,y\n").names, ["a", "b"]);
    assert_eq!(read("a,b\nx,y\n").names, ["0", "1"]);
    let table = read_table("a,b\nx,y\n".as_bytes(), &options(None, Some(true))).unwrap();
    assert_eq!((table.names, table.lines), (vec!["a".to_string(), "b".to_string()], vec![2]));
    let table = read_table("a,b\n1,2\n".as_bytes(), &options(None, Some(false))).unwrap();
    assert_eq!(table.columns[0], texts(&["a", "1"]));
    assert_eq!(read("1,x\n").names, ["0", "1"]);
    assert_eq!(error("a,b\n"), "the only row has no number: data.header = true or false says whether it is a header");
    assert_eq!(error("a,b,a,c,b\n1,2,3,4,5\n"), "the header repeats \"a\", \"b\"");
    assert_eq!(error("a,,b, \n1,2,3,4\n"), "the header has no name for column 2, 4 (counted from 1)");
    let only = read_table("a,b\n\n".as_bytes(), &options(None, Some(true))).unwrap_err();
    assert_eq!(only, "has a header but no rows");
}

#[test]
fn values() {
    let table = read("a,b,c,d\n1,true,inf,0x1\n,NA,1e999,2\nN/A,false,3,3\nnan,?,4,4\nnull,x,5,5\n+.5,y,6,6\n");
    let nan = f64::NAN;
    assert!(same(&table.columns[0], &numbers(&[1.0, nan, nan, nan, nan, 0.5])));
    assert_eq!(table.columns[1], texts(&["true", "", "false", "", "x", "y"]));
    assert!(matches!(&table.columns[2], Column::Text(_)));
    assert!(matches!(&table.columns[3], Column::Text(_)));
    let table = read("x\n1\n\"\"\n2\n");
    assert!(same(&table.columns[0], &numbers(&[1.0, nan, 2.0])));
    assert!(same(&read("x,y\n1,NULL\n2,NaN\n").columns[1], &numbers(&[nan, nan])));
}

#[test]
fn errors() {
    assert_eq!(error(""), "has no rows");
    assert_eq!(error("\n \n\r\n"), "has no rows");
    assert_eq!(error("a,b\r\n1,2\r\n\r\n3\r\n"), "line 4 has 1 field, but line 1 has 2");
    assert_eq!(error("a,b\n1,2\n3,4,5\n"), "line 3 has 3 fields, but line 1 has 2");
    assert_eq!(error("a,b\n1,2\n3,\"4\n5,6\n"), "the row on line 3 has a quote that is never closed");
    assert_eq!(error("a,b\n1,2\n3,\"4\n"), "the row on line 3 has a quote that is never closed");
    assert_eq!(error("a,b\n1,2\n3,\"4"), "the row on line 3 has a quote that is never closed");
    assert_eq!(read("a,b\n3,\"4\n\"").lines, [2]);
    assert_eq!(error(b"a,b\n1,\"x\ny\xFF\"\n"), "line 3 is not UTF-8");
    assert_eq!(error(b"a,b\n\"x\ny\",\xFF\n"), "line 3 is not UTF-8");
    assert!(error(b"\xFF\xFEa\0").contains("UTF-16"));
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("no disk"))
        }
    }
    let failed = read_table("1,2\n".as_bytes().chain(Failing), &TableOptions::default()).unwrap_err();
    assert_eq!(failed, "cannot be read: no disk");
}

#[test]
fn too_many_columns() {
    let most = ",".repeat(MOST_COLUMNS - 1);
    assert_eq!(read(format!("1{most}\n")).names.len(), MOST_COLUMNS);
    let expected = format!("line 2 has more than {MOST_COLUMNS} fields");
    assert_eq!(error(format!("\n1{most},\n")), expected);
    let quoted = "\"\n\",".repeat(MOST_COLUMNS + 1);
    let wide = read_table(quoted.as_bytes(), &options(Some(','), None)).unwrap_err();
    assert_eq!(wide, format!("line 1 has more than {MOST_COLUMNS} fields"));
}

/// Longer than what is read ahead, in small pieces.
#[test]
fn long_file_in_pieces() {
    struct Pieces<'a>(&'a [u8], usize);
    impl Read for Pieces<'_> {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            self.1 = self.1 % 7 + 1;
            let count = self.1.min(out.len()).min(self.0.len());
            out[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }
    let mut text = "id\tname\r\n".to_string();
    for row in 0..40_000 {
        text += &format!("{row}\t\"n\r\n{row}\"\r\n");
    }
    assert!(text.len() > 600_000);
    let table = read_table(Pieces(text.as_bytes(), 0), &TableOptions::default()).unwrap();
    assert_eq!(table, read(&text));
    assert_eq!((table.rows(), table.lines[39_999]), (40_000, 2 + 2 * 39_999));
    let Column::Text(names) = &table.columns[1] else { panic!() };
    assert_eq!(names[39_999].as_deref(), Some("n\n39999"));
}

proptest! {
    #[test]
    fn round_trip(
        rows in prop::collection::vec((any::<i32>(), "[a-z][a-zé\",;\t\n]{0,8}[a-z]", -1e300..1e300_f64), 2..20),
        delimiter in prop::sample::select(vec![b',', b';', b'\t', b'|']),
        crlf in any::<bool>(),
        bom in any::<bool>(),
    ) {
        let mut bytes = if bom { b"\xEF\xBB\xBF".to_vec() } else { Vec::new() };
        let end = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut writer = csv::WriterBuilder::new().delimiter(delimiter).terminator(end).from_writer(&mut bytes);
        writer.write_record(["n", "t", "f"]).unwrap();
        for (whole, text, float) in &rows {
            writer.write_record([&whole.to_string(), text, &format!("{float:e}")]).unwrap();
        }
        writer.flush().unwrap();
        drop(writer);
        let table = read_table(&bytes[..], &options(Some(char::from(delimiter)), None)).unwrap();
        prop_assert_eq!(&table.names, &["n", "t", "f"]);
        prop_assert_eq!(&table.columns[0], &numbers(&rows.iter().map(|r| f64::from(r.0)).collect::<Vec<_>>()));
        let present = |r: &(i32, String, f64)| Some(r.1.clone()).filter(|t| t != "null" && t != "nan");
        prop_assert_eq!(&table.columns[1], &Column::Text(rows.iter().map(present).collect()));
        prop_assert_eq!(&table.columns[2], &numbers(&rows.iter().map(|r| r.2).collect::<Vec<_>>()));
        let mut line = 2;
        for (row, (_, text, _)) in rows.iter().enumerate() {
            prop_assert_eq!(table.lines[row], line);
            line += 1 + text.matches('\n').count() as u64;
        }
    }

    #[test]
    fn guessed_round_trip(
        (width, values) in (1..6_usize).prop_flat_map(|w| (Just(w), prop::collection::vec(-1e9..1e9_f64, w..=w * 30))),
        delimiter in prop::sample::select(vec![",", ";", "\t"]),
        header in any::<bool>(),
    ) {
        let rows: Vec<&[f64]> = values.chunks_exact(width).collect();
        let mut text = String::new();
        if header {
            text += &(0..width).map(|c| format!("c{c}")).collect::<Vec<_>>().join(delimiter);
            text += "\n";
        }
        for row in &rows {
            text += &row.iter().map(f64::to_string).collect::<Vec<_>>().join(delimiter);
            text += "\n";
        }
        let table = read(&text);
        prop_assert_eq!(table.names.len(), width);
        prop_assert_eq!(table.names[0].starts_with('c'), header);
        for (c, column) in table.columns.iter().enumerate() {
            prop_assert_eq!(column, &numbers(&rows.iter().map(|row| row[c]).collect::<Vec<_>>()));
        }
    }
}
